"""One inner step of a linear softmax classifier, and the loss after it, in NumPy and by hand."""

from __future__ import annotations

import numpy as np


def softmax(logits: np.ndarray) -> np.ndarray:
    shares = np.exp(logits - logits.max(1, keepdims=True))
    return shares / shares.sum(1, keepdims=True)


def gradient(weight, bias, x, labels):
    """Of the mean cross-entropy: ``(softmax - one hot)^T x / N``, and its column sums."""
    residual = softmax(x @ weight.T + bias)
    residual[np.arange(len(labels)), labels] -= 1
    residual /= len(labels)
    return residual.T @ x, residual.sum(0)


def after_one_step(weight, bias, weight_rate, bias_rate, x, labels):
    weight_gradient, bias_gradient = gradient(weight, bias, x, labels)
    return weight - weight_rate * weight_gradient, bias - bias_rate * bias_gradient


def loss(weight, bias, x, labels) -> float:
    shares = softmax(x @ weight.T + bias)
    return float(-np.log(shares[np.arange(len(labels)), labels]).mean())


def slope(function, values: np.ndarray, step: float = 1e-5) -> np.ndarray:
    """Gradient of a function of an array by central differences."""
    found = np.zeros_like(values)
    for place in np.ndindex(values.shape):
        ahead, behind = values.copy(), values.copy()
        ahead[place] += step
        behind[place] -= step
        found[place] = (function(ahead) - function(behind)) / (2 * step)
    return found
