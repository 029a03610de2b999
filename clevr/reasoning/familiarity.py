"""Whether an image looks like those that a model was trained on: a warning where it does not. Imports no torch.

An image is described by a few numbers by which CLEVR's scenes differ from others. All of CLEVR's images show objects on
the same grey ground under three lamps. So the ground's brightness is a smooth function of the place, most of the image
is nearly grey, and little of it changes from one pixel to the next.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from clevr.config.commands import MIN_IMAGES
from fewshot_film.errors import InvalidValueError, SavedModelError, counted
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


_VARIANTS = 3
"""Changed copies of every training image."""
_QUANTILE = 0.999
"""Share of the changed training images that count as familiar."""
_STRETCH = 1.4
"""How far the shape of an image may be from those of the training images."""
_RIDGE = 0.02
"""Added to every variance, as a share of it, so that numbers that go together are not trusted too far."""


@dataclass(frozen=True)
class Familiarity:
    """What a model's training images look like: a Gaussian over their statistics.

    The distance of an image is Mahalanobis's, divided by the square root of the number of statistics: about 1 for
    the training images.
    """

    mean: NDArray[np.float64]
    """Of the statistics, ``(29,)``."""
    covariance: NDArray[np.float64]
    """Of the statistics, ``(29, 29)``."""
    threshold: float
    """Largest distance of an image that is familiar."""
    aspects: tuple[float, float]
    """The smallest and the largest width of a training image, divided by its height."""

    def distance(self, image: Image.Image) -> float:
        """How far an image is from the training images, at least 0.

        Args:
            image: any mode and size.
        """
        return float(self._distances(image_statistics(image)[None])[0])

    def warning(self, image: Image.Image, kind: str = "a CLEVR scene") -> str:
        """The warning for an image; empty if it looks like the training images.

        Args:
            image: any mode and size.
            kind: what the training images show.
        """
        if self.has_unusual_shape(image):
            least, most = self.aspects
            usual = f"{least:.1f}" if most - least < 0.1 else f"{least:.1f} to {most:.1f}"
            return (
                f"This image does not look like {kind} (it is {image.width} x {image.height} pixels, and the "
                f"model was trained on images {usual} times as wide as high); the answer may be meaningless."
            )
        statistics = image_statistics(image)
        distance = float(self._distances(statistics[None])[0])
        if distance <= self.threshold:
            return ""
        return (
            f"This image does not look like {kind} (it differs from the images that the model was trained on, "
            f"most of all in its {self._largest(statistics)}); the answer may be meaningless."
        )

    def has_unusual_shape(self, image: Image.Image) -> bool:
        """Whether an image is much narrower or wider, for its height, than the training images."""
        least, most = self.aspects
        return not least / _STRETCH <= image.width / image.height <= most * _STRETCH

    def to_json(self) -> dict[str, Any]:
        """Plain values, for the settings of a saved model; numbers have six digits."""
        rows, columns = np.tril_indices(LENGTH)
        return {
            "threshold": _rounded(self.threshold),
            "aspects": [_rounded(value) for value in self.aspects],
            "mean": [_rounded(value) for value in self.mean],
            "covariance": [_rounded(value) for value in self.covariance[rows, columns]],
        }

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> Familiarity:
        """Read what :meth:`to_json` made.

        Raises:
            SavedModelError: a value is missing or wrong.
        """
        try:
            mean = np.array(record["mean"], np.float64)
            covariance = np.zeros((LENGTH, LENGTH))
            covariance[np.tril_indices(LENGTH)] = record["covariance"]
            least, most = map(float, record["aspects"])
            found = cls(mean, covariance + np.tril(covariance, -1).T, float(record["threshold"]), (least, most))
            if mean.shape != (LENGTH,) or not np.linalg.eigvalsh(found.covariance).min() > 0:
                raise InvalidValueError("they are not those of a Gaussian")
        except (KeyError, TypeError, ValueError, np.linalg.LinAlgError) as error:
            raise SavedModelError(
                f"the model's statistics of its training images are damaged ({error}); "
                "compute them again with `clevr-film calibrate MODEL DATA`"
            ) from None
        return found

    def _distances(self, statistics: NDArray[np.float64]) -> NDArray[np.float64]:
        """Distances ``(N,)`` of statistics ``(N, 29)``."""
        off = statistics - self.mean
        squares: NDArray[np.float64] = (off * np.linalg.solve(self.covariance, off.T).T).sum(1)
        return np.sqrt(squares / LENGTH)

    def _largest(self, statistics: NDArray[np.float64]) -> str:
        """Name of the group of statistics that are farthest off, each in its own standard deviations."""
        squares = (statistics - self.mean) ** 2 / self.covariance.diagonal()
        return max(GROUPS, key=lambda name: float(squares[GROUPS[name]].mean()))


def fit_familiarity(images: Iterable[Image.Image], seed: int = 0) -> Familiarity:
    """Describe training images.

    Each is also taken in changed copies: cut, mirrored, scaled, lighter, darker, with another tint and contrast, with
    noise, and as a JPEG. So an image of the same kind by another camera or renderer is familiar too. The Gaussian is
    that of half of the images, the threshold is set by the others.

    Args:
        images: at least :data:`~clevr.config.commands.MIN_IMAGES`, any modes and sizes.
        seed: of the changes.

    Raises:
        ValueError: there are too few images.
    """
    rng = np.random.default_rng(seed)
    statistics, aspects = [], []
    for image in images:
        aspects.append(image.width / image.height)
        statistics.append([image_statistics(changed(image, rng)) for _ in range(_VARIANTS)])
    if len(statistics) < MIN_IMAGES:
        raise InvalidValueError(f"{counted(len(statistics), 'image')}; expected at least {MIN_IMAGES}")
    half = np.array(statistics[::2]).reshape(-1, LENGTH)
    covariance = np.cov(half.T)
    covariance += np.diag(_RIDGE * covariance.diagonal() + 1e-9)
    fitted = Familiarity(half.mean(0), covariance, np.inf, (min(aspects), max(aspects)))
    others = fitted._distances(np.array(statistics[1::2]).reshape(-1, LENGTH))
    return Familiarity(fitted.mean, covariance, float(np.quantile(others, _QUANTILE)), fitted.aspects)


def changed(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """An image as another camera, renderer or file format might show it.

    Args:
        image: any mode and size.
        rng: source of all randomness.
    """
    image = _reframed(upright(image, "the image"), rng)
    light = np.asarray(image) / 255.0
    light = light ** np.exp(rng.uniform(-0.15, 0.15)) * np.exp(rng.uniform(-0.2, 0.2))
    light = light * np.exp(rng.uniform(-0.03, 0.03, 3))
    light = light.mean() + (light - light.mean()) * np.exp(rng.uniform(-0.1, 0.1))
    levels = light * 255 + rng.normal(size=light.shape) * rng.uniform(0, 4)
    image = Image.fromarray(np.clip(np.round(levels), 0, 255).astype(np.uint8))
    scale = rng.uniform(0.4, 1)
    if image.width * scale > 60:
        size = (round(image.width * scale), max(1, round(image.height * scale)))
        image = image.resize(size, Image.Resampling.BILINEAR)
    if rng.random() < 0.5:
        buffer = io.BytesIO()
        image.save(buffer, "JPEG", quality=int(rng.integers(50, 96)))
        image = Image.open(buffer).convert("RGB")
    return image


def _reframed(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """An image with some of it cut off on each side, mirrored in half of the cases.

    Up to 12 % of the height on each side: an image of 3 to 2 shows a scene of 4 to 3 without a ninth of its rows.
    """
    left, right = rng.uniform(0, 0.06, 2) * image.width
    top, bottom = rng.uniform(0, 0.12, 2) * image.height
    image = image.crop((int(left), int(top), int(image.width - right), int(image.height - bottom)))
    return image.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if rng.random() < 0.5 else image


def _rounded(value: float) -> float:
    return float(f"{value:.6g}")
