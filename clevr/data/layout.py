"""Where the files of a split lie: in a folder, in a zip that is read in place, or in shards.

CLEVR's own layouts are known, and those that are found in the wild.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from clevr.data.errors import DataNotFoundError
from clevr.data.naming import images_name, questions_name, scenes_name
from clevr.data.shards import SHARDS, ShardStorage, sharded_splits
from clevr.data.storage import Storage, open_storage
from clevr.world.spec import CLEVR, WorldSpec
from clevr.world.world_file import WORLD_FILE, load_world

HOW_TO_GET = (
    "Get CLEVR v1.0 or CoGenT from https://cs.stanford.edu/people/jcjohns/clevr/ and give the unpacked "
    "folder, or make a set with: clevr-film generate --split train --scenes 100 --out DIR"
)
LAYOUTS = """\
  images/{split}/, scenes/CLEVR_{split}_scenes.json, questions/CLEVR_{split}_questions.json
  {split}/images/, {split}/CLEVR_scenes.json, {split}/CLEVR_questions.json
  images/, CLEVR_scenes.json, CLEVR_questions.json  (split "new": what CLEVR's generator writes)
  shards/{split}/index.json and the tar files that it lists (what clevr-film generate --shards writes)"""


@dataclass(frozen=True)
class SplitFiles:
    """The files of one split. A part that does not exist is None: no scenes in the test split, for one."""

    storage: Storage
    split: str
    questions: str | None
    scenes: str | None
    images: str | None
    """The folder of the images."""
    world: WorldSpec = CLEVR
    """What its scenes are of: the ``world.yaml`` of the data set, or CLEVR's."""
    questions_storage: Storage | None = None
    """Where the questions lie; None: with the rest."""

    def storage_of(self, path: str) -> Storage:
        """Where a file of the split lies: the questions, the scenes, or an image."""
        return self.storage if path != self.questions or self.questions_storage is None else self.questions_storage


def find_split(root: str | Path, split: str, *, humans: bool = False) -> SplitFiles:
    """Find the files of a split below a folder or inside a zip.

    Args:
        root: folder or zip; one folder around the data (``CLEVR_v1.0/``) is looked into.
        split: ``train``, ``val``, ``test``, CoGenT's ``trainA``, ``valA``, ``valB``, ``testA``, ``testB``, or
            ``new``, as the reference generator calls what it makes.
        humans: take the questions of CLEVR-Humans, ``CLEVR-Humans-<split>.json``, which lies in the root,
            in ``questions/`` or ``CLEVR-Humans/`` there, or in ``CLEVR-Humans/`` or ``CLEVR-Humans.zip`` beside it.
    Raises:
        DataNotFoundError: there is no such split; says where was looked for what, and which splits there are.
    """
    storage = open_storage(root)
    found = next(_matches(storage, split), None) or _in_shards(storage, split)
    if found is None:
        there = ", ".join(list_splits(root)) or "none"
        raise DataNotFoundError(
            f"no split {split!r} in {storage.label('')}; splits there: {there}. Looked for one of:\n"
            f"{LAYOUTS.format(split=split)}\n{HOW_TO_GET}"
        )
    found = replace(found, world=world_of(storage))
    return _with_humans(found, storage) if humans else found


def world_of(storage: Storage) -> WorldSpec:
    """The world of a data set.

    Raises:
        WorldError: its ``world.yaml`` does not describe one.
    """
    for prefix in _prefixes(storage):
        path = f"{prefix}{WORLD_FILE}"
        if _exists(storage, path):
            with storage.open(path) as stream:
                return load_world(stream, storage.label(path))
    return CLEVR


def list_splits(root: str | Path) -> list[str]:
    """Names of the splits that have questions or scenes below a folder or inside a zip."""
    storage = open_storage(root)
    names = set(sharded_splits(storage.root))
    for prefix in _prefixes(storage):
        for kind in ("questions", "scenes"):
            for name in storage.files(f"{prefix}{kind}"):
                match = re.fullmatch(rf"CLEVR_(\w+)_{kind}\.json", name)
                names.update(match.groups() if match else ())
        folders = storage.folders(prefix.rstrip("/"))
        names.update(folder for folder in folders if _wild(storage, prefix + folder))
    return sorted(names) or (["new"] if _wild(storage, "") else [])


def _matches(storage: Storage, split: str) -> Iterator[SplitFiles]:
    for prefix in _prefixes(storage):
        own = (questions_name(split), scenes_name(split), images_name(split))
        yield from _existing(storage, split, *(prefix + name for name in own))
        for folder in [f"{prefix}{split}/"] + ([prefix] if split == "new" else []):
            wild = ("CLEVR_questions.json", "CLEVR_scenes.json", "images")
            yield from _existing(storage, split, *(folder + name for name in wild))


def _in_shards(storage: Storage, split: str) -> SplitFiles | None:
    """The split, if it was written as shards."""
    if split not in sharded_splits(storage.root):
        return None
    shards = ShardStorage(storage.root / SHARDS / split)
    return SplitFiles(shards, split, questions_name(split), scenes_name(split), images_name(split))


def _existing(storage: Storage, split: str, questions: str, scenes: str, images: str) -> Iterator[SplitFiles]:
    """The split, if it has questions or scenes."""
    has_questions, has_scenes = _exists(storage, questions), _exists(storage, scenes)
    if has_questions or has_scenes:
        has_images = bool(storage.files(images))
        yield SplitFiles(
            storage,
            split,
            questions=questions if has_questions else None,
            scenes=scenes if has_scenes else None,
            images=images if has_images else None,
        )


def _with_humans(files: SplitFiles, data: Storage) -> SplitFiles:
    name = f"CLEVR-Humans-{files.split}.json"
    for storage, folder in _humans_folders(data):
        if _exists(storage, folder + name):
            return replace(files, questions=folder + name, questions_storage=storage)
    raise DataNotFoundError(
        f"no {name} for {data.label('')}; looked in it, in questions/ and CLEVR-Humans/ there, and in "
        "CLEVR-Humans/ and CLEVR-Humans.zip beside it. Get CLEVR-Humans.zip from "
        "https://cs.stanford.edu/people/jcjohns/iep/"
    )


def _humans_folders(data: Storage) -> Iterator[tuple[Storage, str]]:
    """Where the questions of CLEVR-Humans may lie: in a data set, or beside it."""
    yield from ((data, prefix + folder) for prefix in _prefixes(data) for folder in ("", "questions/", "CLEVR-Humans/"))
    beside = data.root.resolve().parent / "CLEVR-Humans"
    for path in (beside, beside.with_suffix(".zip")):
        if path.exists():
            storage = open_storage(path)
            yield from ((storage, prefix) for prefix in _prefixes(storage))


def _prefixes(storage: Storage) -> list[str]:
    """The root, and the one folder that everything is packed in, if there is only one."""
    folders = [name for name in storage.folders() if not name.startswith(".")]
    return ["", f"{folders[0]}/"] if len(folders) == 1 else [""]


def _wild(storage: Storage, folder: str) -> bool:
    return bool({"CLEVR_questions.json", "CLEVR_scenes.json"} & set(storage.files(folder)))


def _exists(storage: Storage, path: str) -> bool:
    folder, _, name = path.rpartition("/")
    return name in storage.files(folder)
