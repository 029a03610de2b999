"""The set encoder written out with loops over images and pixels, in double precision."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def convolve(maps: Array, weight: Array, bias: Array) -> Array:
    """3 x 3 convolution with zero padding: (N, C, H, W) -> (N, K, H, W)."""
    count, _, height, width = maps.shape
    padded = np.pad(maps, ((0, 0), (0, 0), (1, 1), (1, 1)))
    out = np.zeros((count, len(weight), height, width))
    for row in range(height):
        for column in range(width):
            patch = padded[:, :, row : row + 3, column : column + 3]
            out[:, :, row, column] = np.tensordot(patch, weight, axes=([1, 2, 3], [1, 2, 3])) + bias
    return out


def normalise(maps: Array, weight: Array, bias: Array, eps: float = 1e-5) -> Array:
    """BatchNorm with the statistics of the maps themselves."""
    mean = maps.mean((0, 2, 3), keepdims=True)
    variance = ((maps - mean) ** 2).mean((0, 2, 3), keepdims=True)
    return (maps - mean) / np.sqrt(variance + eps) * weight[None, :, None, None] + bias[None, :, None, None]


def pool(maps: Array) -> Array:
    """2 x 2 max-pooling; a last odd row or column is left out."""
    height, width = maps.shape[2] // 2 * 2, maps.shape[3] // 2 * 2
    maps = maps[:, :, :height, :width]
    return np.maximum.reduce([maps[:, :, i::2, j::2] for i in (0, 1) for j in (0, 1)])


def encode(images: Array, blocks: list[dict[str, Array]]) -> Array:
    """Code of a set of images (N, C, H, W)."""
    maps = images
    for block in blocks:
        maps = convolve(maps, block["conv.weight"], block["conv.bias"])
        maps = np.maximum(normalise(maps, block["norm.weight"], block["norm.bias"]), 0)
        maps = pool(maps)
    return np.mean([picture.mean((1, 2)) for picture in maps], axis=0)
