"""A few numbers about an image by which CLEVR's scenes differ from other images. Imports no torch.

All of CLEVR's images show objects on the same grey ground under three lamps. So the ground's brightness is a smooth
function of the place, most of the image is nearly grey, and little of it changes from one pixel to the next.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from fewshot_film.images import upright

WIDTH, HEIGHT = 48, 32
"""Every image is brought to this size first, so that its own size hardly matters."""
GROUPS = {"lighting": slice(0, 12), "texture": slice(12, 18), "colours": slice(18, 29)}
"""What the numbers are about."""
LENGTH = 29

_DARK = 8.0
"""Added to brightness, in levels of 255, before its logarithm is taken."""
_TERMS = 8
"""Of the polynomial that describes the ground's brightness."""
_ROUNDS = 15


def image_statistics(image: Image.Image) -> NDArray[np.float64]:
    """Describe an image.

    Args:
        image: any mode and size.

    Returns:
        ``(29,)``: how the ground is lit (a polynomial of the place, fitted robustly to the logarithm of the
        brightness, and quantiles of what it leaves), how much neighbouring pixels differ, and how colourful image and
        ground are; logarithms where numbers are positive.
    """
    filtering = Image.Resampling.BOX if image.width > WIDTH else Image.Resampling.BILINEAR
    small = upright(image, "the image").resize((WIDTH, HEIGHT), filtering)
    pixels = np.asarray(small).astype(np.float64)
    brightness, chroma = pixels.mean(2), np.ptp(pixels, axis=2)
    lighting, distance = _fit_ground(np.log(brightness + _DARK).ravel(), chroma.ravel())
    ground = np.argsort(distance, kind="stable")[: distance.size // 2]
    left = np.log(np.quantile(distance, [0.25, 0.5, 0.65, 0.8]) + 0.01)
    colours = _colours(chroma.ravel(), pixels.reshape(-1, 3)[ground], float((distance < 0.05).mean()))
    return np.concatenate([lighting, left, _texture(brightness), colours])


def _fit_ground(values: NDArray[np.float64], chroma: NDArray[np.float64]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Coefficients of the ground's brightness, ``(8,)``, and how far every pixel is from it, ``(P,)``.

    Colourful pixels count little, and in every round those count less that the last one left far off.
    """
    plain = 1 / (1 + (chroma / max(12.0, 2 * float(np.quantile(chroma, 0.3)))) ** 2)
    weights, terms = plain, _PLACES
    for _ in range(_ROUNDS):
        weighted = terms * weights[:, None]
        coefficients = np.linalg.solve(weighted.T @ terms + 1e-3 * np.eye(_TERMS), weighted.T @ values)
        distance = np.abs(values - terms @ coefficients)
        scale = max(1.5 * float(np.median(distance)), 0.01)
        weights = plain / (1 + (distance / scale) ** 2) ** 2
    return coefficients, distance


def _texture(brightness: NDArray[np.float64]) -> NDArray[np.float64]:
    """How much neighbouring pixels differ, ``(6,)``."""
    slope = np.hypot(np.diff(brightness, axis=1)[:-1], np.diff(brightness, axis=0)[:, :-1])
    inner = brightness[1:-1, 1:-1]
    around = brightness[:-2, 1:-1] + brightness[2:, 1:-1] + brightness[1:-1, :-2] + brightness[1:-1, 2:]
    bend = np.abs(4 * inner - around)
    quantiles = [*np.quantile(slope, [0.25, 0.5, 0.75, 0.9]), *np.quantile(bend, [0.5, 0.75])]
    return np.log(np.array(quantiles) + 0.5)


def _colours(chroma: NDArray[np.float64], ground: NDArray[np.float64], share: float) -> NDArray[np.float64]:
    """How colourful image and ground are, the ground's share, its tint and how much that varies, ``(11,)``."""
    red_blue = np.log((ground[:, [0, 2]] + _DARK) / (ground[:, 1:2] + _DARK))
    everywhere = np.log(np.quantile(chroma, [0.25, 0.5, 0.75, 0.95]) + 0.5)
    on_ground = np.log(np.quantile(np.ptp(ground, axis=1), [0.5, 0.9]) + 0.5)
    tint = np.median(red_blue, axis=0)
    return np.concatenate([everywhere, on_ground, [share], tint, np.log(red_blue.std(0) + 0.005)])


def _places() -> NDArray[np.float64]:
    """The polynomial's terms at every pixel, ``(P, 8)``."""
    y, x = np.meshgrid(np.linspace(-1, 1, HEIGHT), np.linspace(-1, 1, WIDTH), indexing="ij")
    terms = [np.ones_like(x), x, y, x * x - 1 / 3, x * y, y * y - 1 / 3, x * x * y, y**3 - 0.6 * y]
    return np.stack(terms, -1).reshape(-1, _TERMS)


_PLACES = _places()
