"""Simple CNAPS's classifier step by step as the paper writes it: double precision, one class at a time."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def covariance(rows: Array) -> Array:
    """Sample covariance, (D, D); zero for a single row."""
    num_rows, dim = rows.shape
    if num_rows == 1:
        return np.zeros((dim, dim))
    mean = rows.sum(0) / num_rows
    total = np.zeros((dim, dim))
    for row in rows:
        total += np.outer(row - mean, row - mean)
    return total / (num_rows - 1)


def class_covariances(features: Array, labels: NDArray[np.int64], one_shot: str = "zero") -> dict[int, Array]:
    """Q_k of every class."""
    dim = features.shape[1]
    task = covariance(features)
    found = {}
    for label in sorted(set(labels.tolist())):
        own = features[labels == label]
        weight = len(own) / (len(own) + 1)
        own_covariance = covariance(own)
        if len(own) == 1 and one_shot == "broadcast":
            own_covariance = np.full((dim, dim), own[0].var(ddof=1))
        found[label] = weight * own_covariance + (1 - weight) * task + np.eye(dim)
    return found


def distances(features: Array, labels: NDArray[np.int64], queries: Array, one_shot: str = "zero") -> Array:
    """Squared Mahalanobis distances, (Q, way), classes in the sorted order of their labels."""
    columns = []
    for label, matrix in class_covariances(features, labels, one_shot).items():
        mean = features[labels == label].mean(0)
        inverse = np.linalg.inv(matrix)
        columns.append([(query - mean) @ inverse @ (query - mean) for query in queries])
    return np.array(columns).T
