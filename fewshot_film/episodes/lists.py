"""Episodes kept in a file: the same images in the same order, bit for bit, on any machine.

The file is JSON. It names every image by its class, its id in the source and a digest of its decoded pixels, holds
the episodes as positions among them, and ends with the SHA-256 of all of it.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from fewshot_film.data.image_set import ImageSet
from fewshot_film.episodes.episode import Episode, Episodes, Plan, build_episode
from fewshot_film.errors import InvalidValueError, UserError
from fewshot_film.run.files import write_text_atomically


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


log = logging.getLogger(__name__)

FORMAT = "fewshot-film episodes"
VERSION = 1
_PARTS = ("classes", "support", "support_labels", "query", "query_labels")


class EpisodeListError(UserError, ValueError):
    """An episode list that is damaged, or was made from different images."""


class EpisodeList:
    """A fixed number of episodes; a sampler like the others.

    Args:
        images: the images that the plans count in.
        plans: one per episode.
    """

    def __init__(self, images: ImageSet, plans: Sequence[Plan]) -> None:
        self.images = images
        self._plans = tuple(plans)

    def __len__(self) -> int:
        return len(self._plans)

    def plan(self, index: int) -> Plan:
        """Indices of episode ``index``.

        Raises:
            IndexError: the list has fewer episodes.
        """
        if not 0 <= index < len(self):
            raise IndexError(f"the list has episodes 0 to {len(self) - 1}, there is no {index}")
        return self._plans[index]

    def __getitem__(self, index: int) -> Episode:
        """Episode ``index``, from 0 on."""
        return build_episode(self.images, self.plan(index), index)


def save_episodes(path: str | Path, samplers: Mapping[str, Sampler], count: int) -> str:
    """Save the first episodes of samplers over one set of images to a file.

    Args:
        path: the file; its folder is made.
        samplers: by name, such as ``5-way 1-shot``; at least one.
        count: episodes of each.

    Returns:
        The list's SHA-256, which stands in the file too.

    Raises:
        ValueError: there is no sampler, they draw from different sets, or ``count`` is below 1.
    """
    sets = {id(sampler.images): sampler.images for sampler in samplers.values()}
    if len(sets) != 1 or count < 1:
        raise InvalidValueError(f"{len(sets)} sets of images and {count} episodes; expected 1 and at least 1")
    (images,) = sets.values()
    plans = {name: [sampler.plan(index) for index in range(count)] for name, sampler in samplers.items()}
    used = np.unique(np.concatenate([part for some in plans.values() for plan in some for part in _pictures(plan)]))
    content: dict[str, Any] = {
        "format": FORMAT,
        "version": VERSION,
        "source": images.name,
        "image_size": images.image_size,
        "channels": images.num_channels,
        "classes": list(images.class_names),
        "picture_classes": images.labels[used].tolist(),
        "picture_files": [images.files[index] for index in used.tolist()],
        "picture_digests": [f"{int(digest):016x}" for digest in images.digests[used]],
        "episodes": {name: [_record(plan, used) for plan in some] for name, some in plans.items()},
    }
    digest = _digest(content)
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text_atomically(path, json.dumps({**content, "sha256": digest}, ensure_ascii=False) + "\n")
    return digest


def load_episodes(path: str | Path, images: ImageSet) -> dict[str, EpisodeList]:
    """Load the episodes of a file, for a set of images.

    Args:
        path: written by :func:`save_episodes`.
        images: the images; more than the list names do not matter. Their content is compared where they are of the
            size that the list was made at.

    Raises:
        FileNotFoundError: there is no such file.
        EpisodeListError: the file is damaged, or an image is missing, differs or lies in another class.
    """
    content = _read(Path(path))
    places = _find_pictures(path, content, images)
    classes = _find_classes(path, content, images)
    try:
        return {
            name: EpisodeList(images, [_plan(record, places, classes) for record in records])
            for name, records in content["episodes"].items()
        }
    except (KeyError, IndexError, TypeError, ValueError) as error:
        raise EpisodeListError(f"{path} is damaged ({error}); create the list again") from None


def _pictures(plan: Plan) -> tuple[np.ndarray, np.ndarray]:
    return plan.support, plan.query


def _record(plan: Plan, used: np.ndarray) -> dict[str, list[int]]:
    """A plan as JSON holds it, images counted among those that are used."""
    record = {name: getattr(plan, name) for name in _PARTS}
    record |= {name: np.searchsorted(used, record[name]) for name in ("support", "query")}
    return {name: values.tolist() for name, values in record.items()}


def _plan(record: Mapping[str, list[int]], places: np.ndarray, classes: np.ndarray) -> Plan:
    parts = {name: np.asarray(record[name], dtype=np.int64) for name in _PARTS}
    parts |= {name: places[parts[name]] for name in ("support", "query")}
    return Plan(**{**parts, "classes": classes[parts["classes"]]})


def _digest(content: Mapping[str, Any]) -> str:
    text = json.dumps(content, ensure_ascii=True, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode("ascii")).hexdigest()


def _read(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise EpisodeListError(f"{path} is no episode list ({error}); expected one that this project wrote") from None
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise EpisodeListError(f"{path} is no episode list; expected one that this project wrote")
    if content.get("version") != VERSION:
        raise EpisodeListError(
            f"{path} has list format {content.get('version')}, this version reads {VERSION}; use the version of the "
            "project that wrote it"
        )
    said = content.pop("sha256", None)
    if said != _digest(content):
        raise EpisodeListError(
            f"{path} was changed after it was written (its SHA-256 differs); download the file again"
        )
    return content


def _find_classes(path: str | Path, content: Mapping[str, Any], images: ImageSet) -> np.ndarray:
    """The set's number of each of the list's classes, -1 for those that the set lacks: no image of them is used."""
    place = {name: number for number, name in enumerate(images.class_names)}
    return np.array([place.get(name, -1) for name in content["classes"]], dtype=np.int64)


def _find_pictures(path: str | Path, content: Mapping[str, Any], images: ImageSet) -> np.ndarray:
    """The set's index of each of the list's images."""
    files, names = content["picture_files"], [content["classes"][label] for label in content["picture_classes"]]
    place = {file: index for index, file in enumerate(images.files)}
    indices = np.array([place.get(file, -1) for file in files], dtype=np.int64)
    is_there = indices >= 0
    moved = [
        there and images.class_names[images.labels[index]] != name
        for there, index, name in zip(is_there, indices, names, strict=True)
    ]
    changed = is_there & _differ(path, content, images, indices)
    for which, what in (
        (~is_there, "are not there"),
        (moved, "lie in another class"),
        (changed, "differ, or are decoded otherwise"),
    ):
        rows = np.flatnonzero(which).tolist()
        if rows:
            first = ", ".join(f"'{files[row]}'" for row in rows[:3])
            raise EpisodeListError(
                f"{path} was made of other images than {images}: {len(rows)} of {len(files)} {what}, first {first}; "
                f"open the source '{content['source']}' as it was, or create the list again"
            )
    return indices


def _differ(path: str | Path, content: Mapping[str, Any], images: ImageSet, indices: np.ndarray) -> np.ndarray:
    """Images whose pixels have changed, as far as can be determined."""
    size, channels = content["image_size"], content["channels"]
    if (images.image_size, images.num_channels) != (size, channels):
        log.info(
            "%s was made of images of %d x %d pixels with %d channels: their content is not compared",
            path,
            size,
            size,
            channels,
        )
        return np.zeros(len(indices), dtype=bool)
    said = np.array([int(digest, 16) for digest in content["picture_digests"]], dtype=np.uint64)
    differ: np.ndarray = images.digests[indices] != said
    return differ
