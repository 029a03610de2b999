"""mini-ImageNet: 100 classes of ImageNet with 600 images each, 64/16/20 of them for train, val and test.

Vinyals et al., "Matching Networks", NeurIPS 2016; the split is that of Ravi and Larochelle, "Optimization as
a model for few-shot learning", ICLR 2017.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import numpy as np

from fewshot_film.data.arrays import ArraySource, load_arrays
from fewshot_film.data.errors import SourceError, data_not_found
from fewshot_film.data.source import FileSource, ImageSource
from fewshot_film.data.splits import Split, check_part, from_class_folders, published
from fewshot_film.data.stores import Store, open_store
from fewshot_film.errors import counted

PARTS = ("train", "val", "test")
_PICKLES = {
    "train": ("mini-imagenet-cache-train.pkl",),
    "val": ("mini-imagenet-cache-validation.pkl", "mini-imagenet-cache-val.pkl"),
    "test": ("mini-imagenet-cache-test.pkl",),
}


def mini_imagenet_split() -> Split:
    """WordNet ids of the train, val and test classes."""
    split: Split = published("mini-imagenet")
    return split


def mini_imagenet(root: str | Path, split: str | None = None) -> ImageSource:
    """Open mini-ImageNet.

    Args:
        root: a folder or zip with ``train.csv``, ``val.csv`` and ``test.csv`` (lines ``filename,label``) and
            the images anywhere below, found by their file names; or a folder with the pickles that
            learn2learn downloads, ``mini-imagenet-cache-train.pkl`` and so on; or a folder or zip with the
            images in folders named by WordNet ids, at any depth.
        split: ``train``, ``val`` or ``test``; None for all three.

    Raises:
        FileNotFoundError: neither layout is at ``root``.
        SourceError: there is no such split, or the files contradict each other.
    """
    root = Path(root)
    check_part("mini-imagenet", mini_imagenet_split(), split)
    wanted = PARTS if split is None else (split,)
    if root.exists():
        pickles = [_pickle(root, part) for part in wanted]
        if all(pickles):
            return _from_pickles([path for path in pickles if path is not None])
        store = open_store(root)
        lists = {part: _csv(store, part) for part in wanted}
        if all(lists.values()):
            return _from_lists(store, [name for name in lists.values() if name is not None])
        source = from_class_folders("mini-imagenet", store, mini_imagenet_split(), split)
        if source is not None:
            return source
    raise data_not_found(
        "mini-imagenet",
        root,
        f"{' and '.join(f'{part}.csv' for part in wanted)} beside the images, or "
        f"{' and '.join(_PICKLES[part][0] for part in wanted)}, or folders named by WordNet ids with the images",
        "learn2learn.vision.datasets.MiniImagenet(ROOT, mode=..., download=True) fetches the pickles; the "
        "lists are in github.com/twitter-research/meta-learning-lstm, the images are ImageNet's",
    )


def _pickle(root: Path, part: str) -> Path | None:
    return next((root / name for name in _PICKLES[part] if (root / name).is_file()), None)


def _csv(store: Store, part: str) -> str | None:
    """The list of a part, the one that lies highest."""
    found = [name for name in store.names() if PurePosixPath(name).name == f"{part}.csv"]
    return min(found, key=lambda name: (name.count("/"), name), default=None)


def _from_lists(store: Store, lists: list[str]) -> ImageSource:
    by_name: dict[str, str] = {}
    for file in store.names():
        other = by_name.setdefault(PurePosixPath(file).name, file)
        if other != file and not file.endswith(".csv"):
            raise SourceError(f"mini-imagenet: images '{other}' and '{file}' have the same file name")
    members, missing = [], []
    for name in lists:
        for picture, label in _rows(store, name):
            if picture in by_name:
                members.append((label, by_name[picture]))
            else:
                missing.append(picture)
    if missing:
        raise SourceError(
            f"mini-imagenet: {len(missing)} of {len(missing) + len(members)} images named in "
            f"{', '.join(lists)} are not below '{store.root}', first '{missing[0]}'"
        )
    return FileSource("mini-imagenet", store, members)


def _rows(store: Store, name: str) -> Iterator[tuple[str, str]]:
    reader = csv.DictReader(io.StringIO(store.read(name).decode("utf-8-sig")))
    if not {"filename", "label"} <= set(reader.fieldnames or ()):
        raise SourceError(f"mini-imagenet: '{name}' has not the columns filename,label: {reader.fieldnames}")
    for row in reader:
        yield row["filename"], row["label"]


def _from_pickles(paths: list[Path]) -> ImageSource:
    class_names: list[str] = []
    pictures, labels, files = [], [], []
    for path in paths:
        content = load_arrays(path)
        try:
            part, classes = content["image_data"], content["class_dict"]
            part_labels = np.full(len(part), -1)
            for class_name, indices in sorted(classes.items()):
                part_labels[np.asarray(indices)] = len(class_names)
                class_names.append(class_name)
        except (KeyError, TypeError, IndexError) as error:
            raise SourceError(f"mini-imagenet: '{path}' lacks image_data or class_dict: {error!r}") from error
        if (part_labels < 0).any():
            raise SourceError(
                f"mini-imagenet: '{path}' has {counted(int((part_labels < 0).sum()), 'image')} of no class"
            )
        pictures.append(part)
        labels.append(part_labels)
        files += [f"{path.name}/{index}" for index in range(len(part))]
    return ArraySource("mini-imagenet", class_names, np.concatenate(labels), np.concatenate(pictures), files)
