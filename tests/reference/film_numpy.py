"""Slow double-precision oracles for the FiLM core, written from the papers with plain loops and NumPy."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def film(x: Array, gamma: Array, beta: Array) -> Array:
    """Perez et al., eq. 2, one feature map at a time; gamma and beta are (1, C) or (B, C)."""
    out = np.empty_like(x)
    for example in range(x.shape[0]):
        row = example if gamma.shape[0] > 1 else 0
        for channel in range(x.shape[1]):
            out[example, channel] = gamma[row, channel] * x[example, channel] + beta[row, channel]
    return out


def coordinate_maps(height: int, width: int) -> Array:
    """x in the first map, y in the second, both from -1 to 1."""
    maps = np.empty((2, height, width))
    for row in range(height):
        for column in range(width):
            maps[0, row, column] = -1 if width == 1 else -1 + 2 * column / (width - 1)
            maps[1, row, column] = -1 if height == 1 else -1 + 2 * row / (height - 1)
    return maps


def linear(x: Array, layer: tuple[Array, Array]) -> Array:
    """Wx + b for every row."""
    weight, bias = layer
    return np.stack([weight @ row + bias for row in x])


def relu(x: Array) -> Array:
    return np.maximum(x, 0)


def residual_net(x: Array, layers: list[tuple[Array, Array]]) -> Array:
    """x + Wx three times, ReLU between (not after)."""
    for index, layer in enumerate(layers):
        x = x + linear(x, layer)
        if index < len(layers) - 1:
            x = relu(x)
    return x


def values_of_site(hidden: Array, gamma_net: list, beta_net: list, r_gamma: Array, r_beta: Array) -> tuple:
    """gamma = 1 + net * r and beta = net * r; nets start with a projection when they have four layers."""

    def run(layers: list[tuple[Array, Array]]) -> Array:
        if len(layers) == 4:
            return residual_net(relu(linear(hidden, layers[0])), layers[1:])
        return residual_net(hidden, layers)

    return 1 + run(gamma_net) * r_gamma, run(beta_net) * r_beta


def local_code(features: Array, first: tuple, residual: list, last: tuple) -> Array:
    """CNAPs' set code of one stage: linear, ReLU, residual net, mean over the set, linear, ReLU."""
    per_example = residual_net(relu(linear(features, first)), residual)
    return relu(linear(per_example.mean(axis=0, keepdims=True), last))


def batch_norm(x: Array, mean: Array, var: Array, weight: Array, bias: Array, eps: float) -> Array:
    """BatchNorm in evaluation mode, one channel at a time."""
    out = np.empty_like(x)
    for channel in range(x.shape[1]):
        normalised = (x[:, channel] - mean[channel]) / np.sqrt(var[channel] + eps)
        out[:, channel] = weight[channel] * normalised + bias[channel]
    return out


def normalise(x: Array, eps: float) -> Array:
    """Zero mean and unit variance (divided by the count, as all norms do) of one vector or map."""
    return (x - x.mean()) / np.sqrt(((x - x.mean()) ** 2).mean() + eps)


def layer_norm(x: Array, eps: float) -> Array:
    """LayerNorm without affine part over the last axis of tokens (B, T, C), token by token."""
    return np.stack([np.stack([normalise(token, eps) for token in example]) for example in x])


def ada_layer_norm(x: Array, scale: Array, shift: Array, eps: float) -> Array:
    """Peebles and Xie, "Scalable Diffusion Models with Transformers", ICCV 2023: (1 + scale) LN(x) + shift."""
    out = layer_norm(x, eps)
    for example in range(len(x)):
        for token in range(x.shape[1]):
            out[example, token] = (1 + scale[example]) * out[example, token] + shift[example]
    return out


def conditional_instance_norm(x: Array, gammas: Array, betas: Array, styles: list[int], eps: float) -> Array:
    """Dumoulin et al., "A Learned Representation for Artistic Style", ICLR 2017, eq. 5: a row of values per style."""
    out = np.empty_like(x)
    for example, style in enumerate(styles):
        for channel in range(x.shape[1]):
            out[example, channel] = gammas[style, channel] * normalise(x[example, channel], eps) + betas[style, channel]
    return out


def conditional_batch_norm(
    x: Array, gamma: Array, beta: Array, gamma_change: Array, beta_change: Array, eps: float
) -> Array:
    """De Vries et al., "Modulating early visual processing by language", NIPS 2017, eqs. 2 to 4, in training mode."""
    out = np.empty_like(x)
    for channel in range(x.shape[1]):
        normalised = normalise(x[:, channel], eps)
        for example in range(len(x)):
            scale, shift = (
                gamma[channel] + gamma_change[example, channel],
                beta[channel] + beta_change[example, channel],
            )
            out[example, channel] = scale * normalised[example] + shift
    return out


def spade(x: Array, gamma: Array, beta: Array, eps: float) -> Array:
    """Park et al., "Semantic Image Synthesis with Spatially-Adaptive Normalization", CVPR 2019, eq. 1.

    As the authors' code has it, gamma is 1 + what the convolution over the segmentation map says.
    """
    out = np.empty_like(x)
    for channel in range(x.shape[1]):
        normalised = normalise(x[:, channel], eps)
        for example, row, column in np.ndindex(normalised.shape):
            at = (example, channel, row, column)
            out[at] = (1 + gamma[at]) * normalised[example, row, column] + beta[at]
    return out
