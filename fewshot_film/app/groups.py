"""The classes of a visitor, and the predictions of a classifier that was adapted to them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from fewshot_film.app.images import PageImage
from fewshot_film.app.verdicts import Verdict
from fewshot_film.classifier import FewShotClassifier

NEAREST = 6
"""Number of similar support images shown with a prediction."""


@dataclass
class Group:
    """One class of a visitor."""

    number: int
    """Identifies the class, whatever its name."""
    name: str
    """Its name, as predictions show it."""
    images: list[PageImage] = field(default_factory=list)
    """Its support images."""
    in_field: str = ""
    """The last known content of the text field on its card."""


def filled(groups: Iterable[Group]) -> list[Group]:
    """The classes that have images."""
    return [group for group in groups if group.images]


def pixels(images: Sequence[PageImage]) -> Tensor:
    """What the network reads of the images, ``(N, C, H, W)`` uint8."""
    return torch.stack([image.pixels for image in images])


def predict(
    classifier: FewShotClassifier,
    groups: Sequence[Group],
    queries: Sequence[PageImage],
    reject: float | None,
    nearest: int = NEAREST,
) -> list[Verdict]:
    """A prediction for every query.

    Args:
        classifier: fitted to the images of the groups, with their numbers as labels.
        groups: the classes, in the order in which their images were given.
        queries: images to classify, at least one.
        reject: share of true members that may be rejected as unknown; None rejects nothing.
        nearest: number of similar support images to find for each; 0 saves the time.
    """
    support = [(image, group.name) for group in groups for image in group.images]
    images = pixels(queries)
    answers = classifier.answer(images, reject=reject)
    alike = _nearest(classifier, images, support, nearest) if nearest else [()] * len(queries)
    names = {group.number: group.name for group in groups}
    columns = [names[number] for number in classifier.classes_.tolist()]
    verdicts = []
    for row, query in enumerate(queries):
        shares = dict(zip(columns, answers.probabilities[row].tolist(), strict=True))
        far = None if answers.relative_distances is None else float(answers.relative_distances[row])
        best, nearest_class = max(shares, key=shares.__getitem__), columns[answers.distances[row].argmin()]
        verdicts.append(Verdict(query, best, nearest_class, far, shares, alike[row]))
    return verdicts


def _nearest(
    classifier: FewShotClassifier, images: Tensor, support: Sequence[tuple[PageImage, str]], count: int
) -> Sequence[tuple[tuple[PageImage, str, float], ...]]:
    """For every image the support images that are most similar to it, with their classes and distances."""
    distances, places = classifier.nearest_support(images, min(count, len(support)))
    return [
        tuple((*support[place], float(far)) for place, far in zip(places_of_one, far_of_one, strict=True))
        for places_of_one, far_of_one in zip(places.tolist(), distances.tolist(), strict=True)
    ]
