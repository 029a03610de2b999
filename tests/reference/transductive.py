"""Transductive methods image by image: double precision, plain loops, in the notation of the papers."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def unit(features: Array) -> Array:
    """Rows of length 1."""
    return np.array([row / np.sqrt((row**2).sum()) for row in features])


def class_means(features: Array, shares: Array) -> Array:
    """Mean of every class, (way, D), by the shares of the images, (M, way)."""
    return np.array(
        [
            sum(share * row for share, row in zip(column, features, strict=True)) / column.sum()
            for column in shares.T
        ]
    )  # fmt: skip


def squared_distances(rows: Array, centres: Array) -> Array:
    """(M, way)."""
    return np.array([[((row - centre) ** 2).sum() for centre in centres] for row in rows])


def softmax(logits: Array) -> Array:
    """Shares of every row."""
    powers = np.exp(logits - logits.max(1, keepdims=True))
    return powers / powers.sum(1, keepdims=True)


def sinkhorn(cost: Array, rows: Array, columns: Array, penalty: float, steps: int = 20_000) -> Array:
    """The transport plan: rows and columns are scaled in turn until nothing changes."""
    plan = np.exp(-penalty * cost)
    for _ in range(steps):
        before = plan.copy()
        for row in range(len(plan)):
            plan[row] *= rows[row] / plan[row].sum()
        for column in range(plan.shape[1]):
            plan[:, column] *= columns[column] / plan[:, column].sum()
        if np.abs(plan - before).max() < 1e-15:
            break
    return plan


def soft_kmeans(support: Array, members: Array, queries: Array, scale: float, steps: int) -> Array:
    """Logits of the queries by the refined class means."""
    means = class_means(support, members)
    for _ in range(steps):
        shares = softmax(-scale * squared_distances(queries, means))
        means = class_means(np.concatenate([support, queries]), np.concatenate([members, shares]))
    return -scale * squared_distances(queries, means)


def pt_map(support: Array, members: Array, queries: Array, steps: int, rate: float, penalty: float) -> Array:
    """The plan from the queries to the last centres."""
    way = members.shape[1]
    centres = class_means(support, members)
    sums = (np.ones(len(queries)), np.full(way, len(queries) / way))
    for _ in range(steps):
        plan = sinkhorn(squared_distances(queries, centres), *sums, penalty)
        for label in range(way):
            total = sum(support[members[:, label] == 1]) + sum(plan[i, label] * queries[i] for i in range(len(queries)))
            estimate = total / (members[:, label].sum() + plan[:, label].sum())
            centres[label] = centres[label] + rate * (estimate - centres[label])
    return sinkhorn(squared_distances(queries, centres), *sums, penalty)


def self_transport(features: Array) -> Array:
    """Affinities of all images."""
    rows = unit(features)
    cost = squared_distances(rows, rows)
    np.fill_diagonal(cost, 1e9)
    plan = sinkhorn(cost, np.ones(len(rows)), np.ones(len(rows)), 10.0)
    np.fill_diagonal(plan, 1)
    return plan


def cosine(one: Array, other: Array) -> float:
    """Of two vectors."""
    return float(one @ other / np.sqrt((one @ one) * (other @ other)))


def rectified(support: Array, members: Array, queries: Array, scale: float) -> tuple[Array, Array]:
    """Class means rectified by the queries, and the queries shifted to the support set."""
    queries = np.array([query + support.mean(0) - queries.mean(0) for query in queries])
    means = class_means(support, members)
    found = []
    for label in range(members.shape[1]):
        total, weight = np.zeros(support.shape[1]), 0.0
        for image, member in zip([*support, *queries], [*members, *[None] * len(queries)], strict=True):
            similarities = np.array([cosine(image, mean) for mean in means])
            is_member = similarities.argmax() == label if member is None else member[label] == 1
            if is_member:
                share = softmax(scale * similarities[None])[0, label]
                total, weight = total + share * image, weight + share
        found.append(total / weight)
    return np.array(found), queries


def bd_cspn(support: Array, members: Array, queries: Array, scale: float) -> Array:
    """Scaled cosines of shifted queries and rectified means."""
    means, queries = rectified(support, members, queries, scale)
    return scale * np.array([[cosine(query, mean) for mean in means] for query in queries])


def laplacian_shot(costs: Array, queries: Array, neighbours: int, weight: float, steps: int) -> Array:
    """Assignments of the queries after so many bound updates."""
    between = squared_distances(queries, queries)
    shares = softmax(-costs)
    for _ in range(steps):
        updated = []
        for number, cost in enumerate(costs):
            nearest = [other for other in np.argsort(between[number]) if other != number][:neighbours]
            updated.append(softmax((weight * sum(shares[other] for other in nearest) - cost)[None])[0])
        shares = np.array(updated)
    return shares


def entropy(shares: Array, order: float) -> float:
    """Of one distribution: Tsallis' of an order, Shannon's where it is 1."""
    if order == 1:
        return -sum(share * np.log(share) for share in shares)
    return (1 - sum(share**order for share in shares)) / (order - 1)


def information_loss(weights: Array, task: tuple[Array, Array, Array], order: float, factors, temperature) -> float:
    """lambda CE - H(mean) + alpha mean H."""
    support, members, queries = task
    certain = softmax(-temperature / 2 * squared_distances(support, weights))
    shares = softmax(-temperature / 2 * squared_distances(queries, weights))
    known = -np.mean([np.log(row[member == 1][0]) for row, member in zip(certain, members, strict=True)])
    conditional = np.mean([entropy(row, order) for row in shares])
    return factors[0] * known - factors[1] * entropy(shares.mean(0), order) + factors[2] * conditional


def information_weights(task, order: float, factors, temperature: float, steps: int, rate: float) -> Array:
    """Class weights after so many Adam steps, with gradients from differences of the loss."""
    weights = class_means(*task[:2])
    first, second, tiny = np.zeros_like(weights), np.zeros_like(weights), 1e-5
    for step in range(1, steps + 1):
        gradient = np.zeros_like(weights)
        for place in np.ndindex(*weights.shape):
            nudge = np.zeros_like(weights)
            nudge[place] = tiny
            losses = [information_loss(weights + sign * nudge, task, order, factors, temperature) for sign in (1, -1)]
            gradient[place] = (losses[0] - losses[1]) / (2 * tiny)
        first, second = 0.9 * first + 0.1 * gradient, 0.999 * second + 0.001 * gradient**2
        weights = weights - rate * (first / (1 - 0.9**step)) / (np.sqrt(second / (1 - 0.999**step)) + 1e-8)
    return weights


def propagation(images, neighbours, alpha):
    """iLPC, section 3.2: the matrix that spreads labels over the graph of images of length 1."""
    count = len(images)
    affinities = np.zeros((count, count))
    for i in range(count):
        nearest = sorted((j for j in range(count) if j != i), key=lambda j: -(images[i] @ images[j]))[:neighbours]
        for j in nearest:
            affinities[i, j] = max(images[i] @ images[j], 0) ** 3
    weights = (affinities + affinities.T) / 2
    degrees = weights.sum(1)
    scaled = np.array([[weights[i, j] / np.sqrt(degrees[i] * degrees[j]) for j in range(count)] for i in range(count)])
    return np.linalg.inv(np.eye(count) - alpha * scaled)


def cleaning_losses(images, known, supposed, steps):
    """iLPC, section 3.4: mean cross-entropies of images during a training of a linear classifier, with momentum."""
    weight = np.stack([(known[:, k, None] * images).sum(0) / known[:, k].sum() for k in range(known.shape[1])])
    weight, bias = unit(weight), np.zeros(known.shape[1])
    speed, bias_speed, losses = np.zeros_like(weight), np.zeros_like(bias), np.zeros(len(images))
    for _ in range(steps):
        weight_slope, bias_slope = 5e-4 * weight, 5e-4 * bias
        for i, image in enumerate(images):
            shares = np.exp(weight @ image + bias)
            shares /= shares.sum()
            losses[i] -= np.log(shares[supposed[i].argmax()]) / steps
            weight_slope = weight_slope + np.outer(shares - supposed[i], image) / len(images)
            bias_slope = bias_slope + (shares - supposed[i]) / len(images)
        speed, bias_speed = 0.9 * speed + weight_slope, 0.9 * bias_speed + bias_slope
        weight, bias = weight - 0.1 * speed, bias - 0.1 * bias_speed
    return losses


def ilpc(images, members, neighbours, alpha, tau, clean, steps):
    """iLPC: the labels of the queries, ``(Q,)``, of images of length 1, those of the support set first."""
    shot, way = members.shape
    spread, labels = propagation(images, neighbours, alpha), dict(enumerate(members.argmax(1)))
    while len(labels) < len(images):
        waiting = [i for i in range(shot, len(images)) if i not in labels]
        known = np.zeros((len(images), way))
        for i, label in labels.items():
            known[i, label] = 1
        cost = -np.log((spread @ known)[waiting])
        plan = np.exp(-cost)
        if len(waiting) >= way:
            plan = sinkhorn(cost, np.ones(len(waiting)), np.full(way, len(waiting) / way), tau)
        pseudo = dict(zip(waiting, plan.argmax(1), strict=True))
        supposed = known.copy()
        for i, label in pseudo.items():
            supposed[i, label] = 1
        losses = cleaning_losses(images, known, supposed, steps)
        for label in range(way):
            labels.update(
                dict.fromkeys(sorted((i for i in waiting if pseudo[i] == label), key=losses.item)[:clean], label)
            )
    return np.array([labels[i] for i in range(shot, len(images))])


def propagated_labels(images, members, neighbours, alpha, width):
    """Label propagation (TPN, eq. 1 and 3) of images of length 1: what each query has of each class, ``(Q, way)``."""
    count = len(images)
    near = np.zeros((count, count), dtype=bool)
    for i in range(count):
        others = sorted((j for j in range(count) if j != i), key=lambda j: ((images[i] - images[j]) ** 2).sum())
        near[i, others[:neighbours]] = True
    links = [(i, j) for i in range(count) for j in range(count) if near[i, j] or near[j, i]]
    width *= np.mean([((images[i] - images[j]) ** 2).sum() for i, j in links])
    weights = np.zeros((count, count))
    for i, j in links:
        weights[i, j] = np.exp(-((images[i] - images[j]) ** 2).sum() / (2 * width))
    degrees = weights.sum(1)
    scaled = np.array([[weights[i, j] / np.sqrt(degrees[i] * degrees[j]) for j in range(count)] for i in range(count)])
    labels = np.zeros((count, members.shape[1]))
    labels[: len(members)] = members / members.sum(0)
    spread, power = labels.copy(), labels.copy()
    for _ in range(20_000):  # the series of (1 - alpha S)^-1
        power = alpha * scaled @ power
        spread += power
        if np.abs(power).max() < 1e-15:
            break
    return spread[len(members) :]
