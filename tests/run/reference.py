"""Slow, independent double-precision NumPy versions of what the training loop computes."""

from __future__ import annotations

import math

import numpy as np


def train_linear(
    batches: list[tuple[np.ndarray, np.ndarray]],
    weight: np.ndarray,
    bias: np.ndarray,
    *,
    accumulate: int,
    optimizer: str,
    learning_rate: float,
    weight_decay: float,
    momentum: float,
    clip_norm: float | None,
    warmup_steps: int,
    cosine: bool,
) -> tuple[np.ndarray, np.ndarray]:
    """Fit ``y = x @ weight + bias`` by squared error, written from the textbook formulas."""
    values = np.concatenate([weight, bias])
    first, second = np.zeros_like(values), np.zeros_like(values)
    steps = len(batches) // accumulate
    for step in range(steps):
        gradient = np.zeros_like(values)
        for x, y in batches[step * accumulate : (step + 1) * accumulate]:
            error = x @ values[:-1] + values[-1] - y
            slope = 2 * np.concatenate([x.T @ error, [error.sum()]]) / len(y)
            gradient += slope / accumulate
        norm = math.sqrt(sum(part**2 for part in gradient))
        if clip_norm is not None and norm > clip_norm:
            gradient *= clip_norm / (norm + 1e-6)
        rate = rate_at(step, steps, learning_rate, warmup_steps, cosine)
        if optimizer == "adamw":
            values = values - rate * weight_decay * values
        else:
            gradient = gradient + weight_decay * values
        if optimizer == "sgd":
            first = gradient if step == 0 else momentum * first + gradient
            values = values - rate * first
        else:
            first = 0.9 * first + 0.1 * gradient
            second = 0.999 * second + 0.001 * gradient**2
            corrected = first / (1 - 0.9 ** (step + 1)), second / (1 - 0.999 ** (step + 1))
            values = values - rate * corrected[0] / (np.sqrt(corrected[1]) + 1e-8)
    return values[:-1], values[-1:]


def rate_at(step: int, steps: int, peak: float, warmup_steps: int, cosine: bool) -> float:
    """Learning rate of the update number ``step``, from 0."""
    if step < warmup_steps:
        return peak * (step + 1) / (warmup_steps + 1)
    if not cosine:
        return peak
    return peak * (1 + math.cos(math.pi * (step - warmup_steps) / (steps - warmup_steps))) / 2
