"""Images to start with: photographs, and classes of the generated data sets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fewshot_film.data import open_source
from fewshot_film.data.photos import photos_folder
from fewshot_film.data.source import ImageSource

PHOTOS = "photos"
"""The example that is made of photographs."""
GENERATED = {"creatures": "creature", "glyphs": "letter", "textures": "pattern"}
"""Generated data sets that serve as examples, and how their classes are named."""
EXAMPLES = (PHOTOS, *GENERATED)
_CLASSES, _SHOTS = 5, 4
_STRANGER = {"creatures": "textures", "glyphs": "creatures", "textures": "glyphs"}
"""The data set of the one query that belongs to no class."""

Chosen = tuple[ImageSource, Sequence[int]]
"""Images of a source, by their indices."""


@dataclass(frozen=True)
class Example:
    """Some classes, a query of each, and one that belongs to none."""

    support: Chosen
    """The images of the classes."""
    names: dict[int, str]
    """Names of the classes, by label."""
    queries: tuple[Chosen, ...]
    """The queries."""


def example(name: str) -> Example:
    """One of :data:`EXAMPLES`."""
    return _photos() if name == PHOTOS else _generated(name)


def _photos() -> Example:
    labelled, unknown = (open_source("folder", photos_folder() / part) for part in ("labelled", "unknown"))
    firsts = [int(np.flatnonzero(unknown.labels == label)[0]) for label in range(len(unknown.class_names))]
    firsts.sort(key=lambda index: unknown.class_names[unknown.labels[index]] not in labelled.class_names)
    return Example((labelled, range(len(labelled))), dict(enumerate(labelled.class_names)), ((unknown, firsts),))


def _generated(name: str) -> Example:
    source = open_source(name, split="test")
    apart = len(source.class_names) // _CLASSES
    members = [np.flatnonzero(source.labels == place * apart)[: _SHOTS + 1].tolist() for place in range(_CLASSES)]
    return Example(
        (source, [index for some in members for index in some[:_SHOTS]]),
        {place * apart: f"{GENERATED[name]} {'ABCDE'[place]}" for place in range(_CLASSES)},
        ((source, [some[_SHOTS] for some in members]), (open_source(_STRANGER[name], split="test"), [0])),
    )
