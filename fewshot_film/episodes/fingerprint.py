"""A digest of an episode list, to show that two learners saw the same episodes."""

from __future__ import annotations

import hashlib
import json
from typing import Protocol

import numpy as np

from fewshot_film.data.image_set import ImageSet
from fewshot_film.episodes.episode import Episodes, Plan
from fewshot_film.errors import InvalidValueError


class Sampler(Episodes, Protocol):
    """Episodes that are determined by their indices: any sampler over an `ImageSet`."""

    images: ImageSet
    """The images it draws from."""

    def plan(self, index: int) -> Plan:
        """Indices of one episode."""


def fingerprint(sampler: Sampler, count: int) -> str:
    """SHA-256 of the first ``count`` episodes: class names and image files, in order, on any machine.

    Images enter by their ids and not by their pixels, so learners that see them at different sizes can show
    that their episodes are the same.

    Raises:
        ValueError: ``count`` is negative.
    """
    if count < 0:
        raise InvalidValueError(f"count must be at least 0, got {count}")
    images = sampler.images
    digest = hashlib.sha256(_text([images.name, images.class_names, list(images.files)]))
    for index in range(count):
        plan = sampler.plan(index)
        for indices in (plan.classes, plan.support, plan.support_labels, plan.query, plan.query_labels):
            digest.update(len(indices).to_bytes(8, "little"))
            digest.update(np.asarray(indices, "<i8").tobytes())
    return digest.hexdigest()


def _text(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=True).encode("ascii")
