"""Whether an image looks like those that a model was trained on: a warning where it does not. Imports no torch."""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from clevr.reasoning.image_statistics import GROUPS, LENGTH, image_statistics
from fewshot_film.errors import InvalidValueError
from fewshot_film.images import upright
from fewshot_film.run.errors import SavedModelError

MIN_IMAGES = 100
"""Of fewer images the statistics say too little."""
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

    def warning(self, image: Image.Image) -> str:
        """What to say to a person who asks about an image; empty if it looks like the training images.

        Args:
            image: any mode and size.
        """
        if self.has_unusual_shape(image):
            least, most = self.aspects
            usual = f"{least:.1f}" if most - least < 0.1 else f"{least:.1f} to {most:.1f}"
            return (
                f"This image does not look like a CLEVR scene (it is {image.width} x {image.height} pixels, and the "
                f"model was trained on images {usual} times as wide as high); the answer may be meaningless."
            )
        statistics = image_statistics(image)
        distance = float(self._distances(statistics[None])[0])
        if distance <= self.threshold:
            return ""
        return (
            f"This image does not look like a CLEVR scene (it differs from the images that the model was trained on, "
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
                f"what the model's training images look like is damaged ({error}); "
                "make it again with `clevr-film calibrate MODEL DATA`"
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
        images: at least :data:`MIN_IMAGES`, any modes and sizes.
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
        raise InvalidValueError(f"{len(statistics)} images; expected at least {MIN_IMAGES}")
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
