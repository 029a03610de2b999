"""A set of Meta-Dataset as its own converter leaves it: ``dataset_spec.json`` beside one record file a class.

Triantafillou et al., "Meta-Dataset: A Dataset of Datasets for Learning to Learn from Few Examples", ICLR 2020.
"""

from __future__ import annotations

import logging
import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from fewshot_film.data.errors import SourceError
from fewshot_film.data.meta_dataset_spec import SPEC_FILE, DatasetSpec, RecordClass, read_spec
from fewshot_film.data.source import ImageSource
from fewshot_film.data.tfrecord import index_records, read_picture
from fewshot_film.errors import MissingFileError
from fewshot_film.images import MAX_PIXELS, open_image
from fewshot_film.run.files import write_atomically

log = logging.getLogger(__name__)

INDEX_FILE = ".fewshot-film-index.npz"
"""Where the records begin, kept beside them, as finding out takes minutes for ImageNet."""

ORDERED = frozenset({"traffic_sign"})
"""Sets whose neighbouring records are frames of one object."""


class RecordSource(ImageSource):
    """Classes of one set of Meta-Dataset; see `meta_dataset`."""

    def __init__(self, root: Path, spec: DatasetSpec, parts: Sequence[str]) -> None:
        classes = [entry for part in parts for entry in spec.classes[part]]
        paths = [_class_files(root, entry, spec.sharded) for entry in classes]
        index = _index(root, [path for shards in paths for path in shards])
        sizes = [sum(len(index[path]) for path in shards) for shards in paths]
        for entry, shards, size in zip(classes, paths, sizes, strict=True):
            if size != entry.pictures:
                raise SourceError(
                    f"{spec.name}: '{shards[0]}' and its shards hold {size} records, but {SPEC_FILE} says "
                    f"{entry.pictures} for class '{entry.name}'; convert the class again, or copy both again"
                )
        super().__init__(
            spec.name,
            [entry.name for entry in classes],
            np.repeat(np.arange(len(classes)), sizes),
            [f"{path.name}#{number}" for path, records in index.items() for number in range(len(records))],
            ordered=spec.name in ORDERED,
            groups=spec.groups[parts[0]] if len(parts) == 1 else None,
        )
        self._root = root
        self._paths = list(index)
        self._stamps: list[str] = [_stamp(path) for path in index]
        self._path_of = np.repeat(np.arange(len(index)), [len(records) for records in index.values()])
        self._records = np.concatenate([np.zeros((0, 2), np.int64), *index.values()])

    def load(self, index: int, *, min_side: int | None = None, max_pixels: int = MAX_PIXELS) -> Image.Image:
        """See `ImageSource.load`."""
        file = self.files[index]
        offset, length = self._records[index].tolist()
        data = read_picture(self._paths[self._path_of[index]], offset, length, file)
        return open_image(data, file, min_side=min_side, max_pixels=max_pixels)

    def stamp(self, index: int) -> str:
        """See `ImageSource.stamp`."""
        return self._stamps[int(self._path_of[index])]

    @property
    def identity(self) -> str:
        """See `ImageSource.identity`."""
        return f"meta-dataset records at {self._root.resolve()}"


def meta_dataset(root: str | Path, split: str | None = None) -> ImageSource:
    """Open one set of Meta-Dataset.

    Args:
        root: the folder of the set: ``dataset_spec.json`` and files ``<class number>.tfrecords``.
        split: ``train``, ``val`` or ``test`` classes as the set has them; None for all.

    Returns:
        A source that also says how its classes hang together where the set has a hierarchy (ImageNet) or
        superclasses (Omniglot), so that `fewshot_film.episodes.MetaDatasetSampler` draws as Meta-Dataset does.

    Raises:
        FileNotFoundError: there is no ``dataset_spec.json``, or the file of a class is missing.
        SourceError: there is no such split, the description is malformed, or a record file is cut short or damaged.
    """
    root = Path(root)
    spec = read_spec(root)
    if split is not None and split not in spec.classes:
        raise SourceError(f"{spec.name}: no split '{split}'; there are {', '.join(spec.classes)}")
    return RecordSource(root, spec, tuple(spec.classes) if split is None else (split,))


def _class_files(root: Path, entry: RecordClass, sharded: bool) -> list[Path]:
    expected = f"{entry.number}_*.tfrecords" if sharded else f"{entry.number}.tfrecords"
    found = sorted(root.glob(expected))
    if not found:
        raise MissingFileError(
            f"'{root / expected}' is missing, the records of class '{entry.name}' that {SPEC_FILE} names; "
            "convert the set again, or copy the rest of it"
        )
    return found


def _stamp(path: Path) -> str:
    status = path.stat()
    return f"{status.st_size}:{status.st_mtime_ns}"


def _index(root: Path, paths: Sequence[Path]) -> dict[Path, np.ndarray]:
    """Where the records of every file are, in the order given; kept, as long as the files stay the same."""
    kept = _read_index(root / INDEX_FILE)
    keys = {path: f"{path.name}:{_stamp(path)}" for path in paths}
    index = {path: kept[key] if key in kept else index_records(path) for path, key in keys.items()}
    if any(key not in kept for key in keys.values()):
        names = {path.name for path in paths}
        others = {key: records for key, records in kept.items() if key.partition(":")[0] not in names}
        try:
            _write_index(root / INDEX_FILE, others | {keys[path]: records for path, records in index.items()})
        except OSError as error:
            log.info("the index of '%s' cannot be stored (%s) and will be rebuilt next time", root, error)
    return index


def _write_index(path: Path, index: dict[str, np.ndarray]) -> None:
    def write(temporary: Path) -> None:
        with temporary.open("wb") as file:
            np.savez(file, **index)  # type: ignore[arg-type]

    write_atomically(path, write)


def _read_index(path: Path) -> dict[str, np.ndarray]:
    """The kept index; nothing where there is none or it is damaged."""
    try:
        with np.load(path, allow_pickle=False) as content:
            return dict(content)
    except (OSError, ValueError, EOFError, zipfile.BadZipFile):
        return {}
