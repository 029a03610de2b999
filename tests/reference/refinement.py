"""Soft k-means with a full covariance matrix a class, step by step: double precision, loops, one inverse a class."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def softmax(logits: Array) -> Array:
    """Shares of every row."""
    powers = np.exp(logits - logits.max(1, keepdims=True))
    return powers / powers.sum(1, keepdims=True)


def step(pictures: Array, shares: Array) -> Array:
    """Minus the squared distances of all images to the classes that the shares make, (M, way)."""
    num_pictures, dim = pictures.shape
    about_mean = pictures - pictures.mean(0)
    task = about_mean.T @ about_mean / (num_pictures - 1)
    columns = []
    for weights in shares.T:
        count = weights.sum()
        mean = sum(weight * picture for weight, picture in zip(weights, pictures, strict=True)) / count
        own = np.zeros((dim, dim))
        for weight, picture in zip(weights, pictures, strict=True):
            own += weight * np.outer(picture - mean, picture - mean) / count
        share = count / (count + 1)
        inverse = np.linalg.inv(share * own + (1 - share) * task + np.eye(dim))
        columns.append([-(picture - mean) @ inverse @ (picture - mean) for picture in pictures])
    return np.array(columns).T


def refine(support: Array, members: NDArray[np.int64], queries: Array, max_steps: int, min_steps: int) -> list[Array]:
    """Logits of the queries before the first step and after every one, (Q, way) each."""
    known = np.eye(members.max() + 1)[members]
    pictures = np.concatenate([support, queries])
    centred = np.concatenate([support - support.mean(0), queries - support.mean(0)])
    task_only = support - support.mean(0)
    logits = first_logits(task_only, known, centred[len(support) :])
    found = [logits]
    for number in range(max_steps):
        logits = step(pictures, np.concatenate([known, softmax(logits)]))[len(support) :]
        found.append(logits)
        if number + 1 >= min_steps and (logits.argmax(1) == found[-2].argmax(1)).all():
            break
    return found


def first_logits(support: Array, known: Array, queries: Array) -> Array:
    """Logits by the support set alone, with class covariances divided by their number of images."""
    dim = support.shape[1]
    task = support.T @ support / max(len(support) - 1, 1)
    columns = []
    for weights in known.T:
        own = support[weights > 0]
        share = len(own) / (len(own) + 1)
        deviations = own - own.mean(0)
        inverse = np.linalg.inv(share * deviations.T @ deviations / len(own) + (1 - share) * task + np.eye(dim))
        columns.append([-(query - own.mean(0)) @ inverse @ (query - own.mean(0)) for query in queries])
    return np.array(columns).T
