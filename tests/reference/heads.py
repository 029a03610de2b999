"""Few-shot heads as their papers write them: double precision, one class and one query at a time."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tests.reference.mahalanobis import covariance

Array = NDArray[np.float64]
Labels = NDArray[np.int64]


def log_density(query: Array, mean: Array, matrix: Array) -> float:
    """Logarithm of the normal density at one point."""
    offset = query - mean
    square = offset @ np.linalg.inv(matrix) @ offset
    return float(-(square + np.linalg.slogdet(matrix)[1] + len(mean) * np.log(2 * np.pi)) / 2)


def normal_logits(features: Array, labels: Labels, queries: Array, matrices: list[Array]) -> Array:
    """Log-densities of all queries in all classes, (Q, way), classes in the sorted order of their labels."""
    means = [features[labels == label].mean(0) for label in np.unique(labels)]
    pairs = list(zip(means, matrices, strict=True))
    return np.array([[log_density(query, mean, matrix) for mean, matrix in pairs] for query in queries])


def within(features: Array, labels: Labels) -> Array:
    """Covariance about the class means, divided by N - way."""
    total = np.zeros((features.shape[1],) * 2)
    for row, label in zip(features, labels, strict=True):
        offset = row - features[labels == label].mean(0)
        total += np.outer(offset, offset)
    return total / max(len(features) - len(np.unique(labels)), 1)


def shrinkage_matrices(kind: str, features: Array, labels: Labels, shrinkage: float) -> list[Array]:
    """Covariances of LDA and QDA."""
    pooled, dim = within(features, labels), features.shape[1]
    spread = np.trace(pooled) / dim or np.trace(covariance(features)) / dim or 1.0
    identity = shrinkage * spread * np.eye(dim)
    if kind == "lda":
        return [(1 - shrinkage) * pooled + identity for _ in np.unique(labels)]
    return [(1 - shrinkage) * covariance(features[labels == label]) + identity for label in np.unique(labels)]


def fit_matrices(kind: str, features: Array, labels: Labels, weights: list[float]) -> list[Array]:
    """Covariances of FiT's heads."""
    *parts, identity = (max(weight, 1e-6) for weight in weights)
    shared = parts[-1] * covariance(features) + identity * np.eye(features.shape[1])
    if kind == "lda":
        return [shared for _ in np.unique(labels)]
    return [parts[0] * covariance(features[labels == label]) + shared for label in np.unique(labels)]


def attention(features: Array, labels: Labels, queries: Array, scale: float) -> Array:
    """Logarithms of the shares that matching networks give to the classes, (Q, way)."""
    rows = []
    for query in queries:
        cosines = [query @ row / np.linalg.norm(query) / np.linalg.norm(row) for row in features]
        powers = np.exp(scale * np.array(cosines))
        shares = powers / powers.sum()
        rows.append([np.log(shares[labels == label].sum()) for label in np.unique(labels)])
    return np.array(rows)


def three_layers(x: Array, layers: list[tuple[Array, Array]]) -> Array:
    """Linear layers with ELU between them."""
    for number, (weight, bias) in enumerate(layers):
        x = weight @ x + bias
        if number < len(layers) - 1:
            x = np.where(x > 0, x, np.exp(np.minimum(x, 0)) - 1)
    return x


def ridge(features: Array, labels: Labels, weights: Array, power: float, penalty: float) -> tuple[Array, Array]:
    """Intercept (way,) and coefficients (D, way) of ridge regression on transformed features.

    By least squares on the weighted rows, with a row of its own for the penalty on every coefficient.
    """
    rows = np.array([unit_power(row, power) for row in features])
    targets = (labels[:, None] == np.unique(labels)).astype(float)
    mean = np.average(rows, axis=0, weights=weights)
    amount = penalty * np.average([np.sum((row - mean) ** 2) for row in rows], weights=weights)
    roots, dim = np.sqrt(weights)[:, None], rows.shape[1]
    seen = np.hstack([roots, roots * rows])
    penalised = np.hstack([np.zeros((dim, 1)), np.sqrt(amount) * np.eye(dim)])
    wanted = np.vstack([roots * targets, np.zeros((dim, targets.shape[1]))])
    solution = np.linalg.lstsq(np.vstack([seen, penalised]), wanted, rcond=None)[0]
    return solution[0], solution[1:]


def ridge_logits_and_distances(
    features: Array, labels: Labels, queries: Array, weights: Array, power: float, penalty: float
) -> tuple[Array, Array]:
    """Logits of scale 1 and distances, (Q, way) each, one query and class at a time."""
    intercept, coefficients = ridge(features, labels, weights, power, penalty)
    rows, classes = np.array([unit_power(row, power) for row in features]), np.unique(labels)
    mean, way = np.average(rows, axis=0, weights=weights), len(classes)
    spread = np.sum(weights * np.sum((rows - mean) ** 2, axis=1)) / (weights.sum() - 1)
    logits, distances = np.zeros((len(queries), way)), np.zeros((len(queries), way))
    for number, query in enumerate(queries):
        z = unit_power(query, power)
        for column, label in enumerate(classes):
            own = labels == label
            centre = np.average(rows[own], axis=0, weights=weights[own])
            cosine = z @ centre / np.linalg.norm(centre)
            fitted = intercept[column] + z @ coefficients[:, column]
            prior = intercept[column] + mean @ coefficients[:, column]
            logits[number, column] = (1 - 1 / way) * (fitted - prior)
            distances[number, column] = max(0, (1 - cosine) / spread + 1 - (fitted - prior + 1 / way))
    return logits, distances


def unit_power(row: Array, power: float) -> Array:
    """One feature vector with its sizes raised to a power, at length 1."""
    raised: Array = np.sign(row) * np.abs(row) ** power
    return raised / np.linalg.norm(raised)


def sur_weights(support, labels, widths, scale, steps, rate):
    """SUR, section 3.2: Adadelta (decay 0.9, epsilon 1e-6) on the logits of the weights, gradients by differences."""
    parts = np.split(support, np.cumsum(widths)[:-1], axis=1)
    parts = [part / np.linalg.norm(part, axis=1, keepdims=True) for part in parts]

    def loss(logits):
        rows = np.concatenate([part / (1 + np.exp(-one)) for part, one in zip(parts, logits, strict=True)], 1)
        names = np.unique(labels).tolist()
        means = [rows[labels == name].mean(0) for name in names]
        total = 0.0
        for row, label in zip(rows, labels, strict=True):
            cosines = np.array([row @ mean / np.linalg.norm(row) / np.linalg.norm(mean) for mean in means])
            total += np.log(np.exp(scale * cosines).sum()) - scale * cosines[names.index(label)]
        return total / len(labels)

    logits = np.zeros(len(widths))
    squares, moves = np.zeros_like(logits), np.zeros_like(logits)
    for _ in range(steps):
        changes = 1e-6 * np.eye(len(widths))
        slope = np.array([(loss(logits + change) - loss(logits - change)) / 2e-6 for change in changes])
        squares = 0.9 * squares + 0.1 * slope**2
        move = np.sqrt(moves + 1e-6) / np.sqrt(squares + 1e-6) * slope
        moves = 0.9 * moves + 0.1 * move**2
        logits = logits - rate * move
    return 1 / (1 + np.exp(-logits))


def url_mapping(support, labels, scale, steps, rate):
    """URL, section 3.3: Adadelta (Zeiler 2012; decay 0.9, epsilon 1e-6) on the map, its gradients by differences."""

    def loss(mapping):
        mapped = support @ mapping.T
        means = [mapped[labels == label].mean(0) for label in np.unique(labels)]
        total = 0.0
        for row, label in zip(mapped, labels, strict=True):
            cosines = np.array([row @ mean / np.linalg.norm(row) / np.linalg.norm(mean) for mean in means])
            logits = scale * cosines
            total += np.log(np.exp(logits).sum()) - logits[np.unique(labels).tolist().index(label)]
        return total / len(labels)

    mapping = np.eye(support.shape[1])
    squares, moves = np.zeros_like(mapping), np.zeros_like(mapping)
    for _ in range(steps):
        slope = np.zeros_like(mapping)
        for place in np.ndindex(*mapping.shape):
            change = np.zeros_like(mapping)
            change[place] = 1e-6
            slope[place] = (loss(mapping + change) - loss(mapping - change)) / 2e-6
        squares = 0.9 * squares + 0.1 * slope**2
        move = np.sqrt(moves + 1e-6) / np.sqrt(squares + 1e-6) * slope
        moves = 0.9 * moves + 0.1 * move**2
        mapping = mapping - rate * move
    return mapping
