"""A set of Meta-Dataset as its own converter leaves it: ``dataset_spec.json`` beside one record file per class.

The specification says which classes a set has, in which part, and how they hang together. Three kinds exist: flat sets,
Omniglot's classes of superclasses, and ImageNet's classes as the leaves of a graph. Classes are numbered through, those
of the training part first, then validation, then test.

Triantafillou et al., "Meta-Dataset: A Dataset of Datasets for Learning to Learn from Few Examples", ICLR 2020, and the
files at github.com/google-research/meta-dataset.
"""

from __future__ import annotations

import json
import logging
import zipfile
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from graphlib import TopologicalSorter
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from fewshot_film.data.errors import SourceError, data_not_found
from fewshot_film.data.groups import ClassGroups
from fewshot_film.data.source import ImageSource
from fewshot_film.data.tfrecord import index_records, read_image
from fewshot_film.errors import InvalidValueError, MissingFileError
from fewshot_film.images import MAX_PIXELS, open_image
from fewshot_film.run.files import write_atomically

SPEC_FILE = "dataset_spec.json"
PARTS = {"train": "TRAIN", "val": "VALID", "test": "TEST"}
"""Our names of the parts, and those in the file."""


@dataclass(frozen=True)
class RecordClass:
    """One class of the set."""

    number: int
    """Names its file."""
    name: str
    """Unique in the set."""
    pictures: int
    """How many the set says it has."""


@dataclass(frozen=True)
class DatasetSpec:
    """What ``dataset_spec.json`` says."""

    name: str
    """Name of the set, such as ``omniglot`` or ``ilsvrc_2012``."""
    classes: Mapping[str, tuple[RecordClass, ...]]
    """Classes of ``train``, ``val`` and ``test``."""
    groups: Mapping[str, ClassGroups | None]
    """How the classes of each part hang together; None in flat sets."""
    sharded: bool
    """Whether a class lies in several files, ``<number>_<shard>.tfrecords``."""


def read_spec(root: Path) -> DatasetSpec:
    """Read the description of the set whose records lie in ``root``.

    Raises:
        FileNotFoundError: there is no ``dataset_spec.json``.
        SourceError: it is not JSON, of a kind that is not known, or lacks something.
    """
    path = root / SPEC_FILE
    if not path.is_file():
        raise _not_found(root)
    try:
        content = json.loads(path.read_text("utf-8"))
    except ValueError as error:
        raise SourceError(f"'{path}' is not JSON ({error}); copy it again") from error
    kind = content.get("__class__") if isinstance(content, dict) else None
    if kind not in _KINDS:
        raise SourceError(f"'{path}' describes a set of kind {kind!r}; expected one of {', '.join(_KINDS)}")
    try:
        layout = _KINDS[kind](content)
        classes = _classes(content, layout)
        pattern = content["file_pattern"]
        groups = layout.groups(classes)
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        raise SourceError(f"'{path}' lacks what a {kind} has, or has it in another form: {error!r}") from error
    if pattern not in ("{}.tfrecords", "{}_{}.tfrecords"):
        raise SourceError(f"'{path}': file_pattern is {pattern!r}; expected '{{}}.tfrecords' or '{{}}_{{}}.tfrecords'")
    return DatasetSpec(str(content["name"]), classes, groups, pattern == "{}_{}.tfrecords")


def _not_found(root: Path) -> FileNotFoundError:
    inside = sorted(path.parent.name for path in root.glob(f"*/{SPEC_FILE}")) if root.is_dir() else []
    if inside:
        return FileNotFoundError(
            f"meta-dataset: '{root}' holds several sets ({', '.join(inside)}); name one of these folders"
        )
    return data_not_found(
        "meta-dataset",
        root,
        f"{SPEC_FILE} and files <class number>.tfrecords",
        "convert a set as github.com/google-research/meta-dataset describes",
    )


Classes = Mapping[str, tuple[RecordClass, ...]]


@dataclass(frozen=True)
class _Layout:
    """What differs between the kinds of sets."""

    sizes: Mapping[str, int]
    """Classes of every part."""
    pictures: Callable[[str, int, str], int]
    """Images of a class, by its part, number and name."""
    groups: Callable[[Classes], Mapping[str, ClassGroups | None]]
    """How the classes of each part hang together."""


def _classes(content: Mapping[str, Any], layout: _Layout) -> Classes:
    names = {int(number): str(name) for number, name in content["class_names"].items()}
    seen = Counter(names.values())
    first, classes = 0, {}
    for part in PARTS:
        numbers = range(first, first + layout.sizes[part])
        first = numbers.stop
        classes[part] = tuple(
            RecordClass(n, names[n] if seen[names[n]] == 1 else f"{names[n]} ({n})", layout.pictures(part, n, names[n]))
            for n in numbers
        )
    return classes


def _total(pictures: int | Mapping[str, int]) -> int:
    """Images of a class; some sets say it for each of two pools."""
    return sum(pictures.values()) if isinstance(pictures, Mapping) else pictures


def _flat(content: Mapping[str, Any]) -> _Layout:
    counts = content["images_per_class"]
    sizes = {part: content["classes_per_split"][theirs] for part, theirs in PARTS.items()}
    return _Layout(sizes, lambda _, number, __: _total(counts[str(number)]), dict.fromkeys)


def _bi_level(content: Mapping[str, Any]) -> _Layout:
    counts, titles = content["images_per_class"], content.get("superclass_names", {})
    per_superclass = {int(number): size for number, size in content["classes_per_superclass"].items()}
    first, of_part = 0, {}
    for part, theirs in PARTS.items():
        numbers = range(first, first + content["superclasses_per_split"][theirs])
        first = numbers.stop
        of_part[part] = [(str(titles.get(str(n), n)), per_superclass[n]) for n in numbers]
    sizes = {part: sum(size for _, size in owned) for part, owned in of_part.items()}

    def groups(classes: Classes) -> Mapping[str, ClassGroups]:
        return {part: ClassGroups("members", _cut(classes[part], owned)) for part, owned in of_part.items()}

    return _Layout(sizes, lambda _, number, __: _total(counts[str(number)]), groups)


def _cut(classes: Sequence[RecordClass], sizes: Iterable[tuple[str, int]]) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """Superclasses own the classes one after the other."""
    names = iter([entry.name for entry in classes])
    return tuple((title, tuple(islice(names, size))) for title, size in sizes)


def _hierarchical(content: Mapping[str, Any]) -> _Layout:
    graphs = {
        part: {node["wn_id"]: list(node["children_ids"]) for node in content["split_subgraphs"][theirs]}
        for part, theirs in PARTS.items()
    }
    counts = {part: content["images_per_class"][theirs] for part, theirs in PARTS.items()}

    def groups(classes: Classes) -> Mapping[str, ClassGroups]:
        found = {}
        for part, graph in graphs.items():
            leaves = {node for node, children in graph.items() if not children}
            other = leaves ^ {entry.name for entry in classes[part]}
            if other:
                raise InvalidValueError(f"the leaves of the {PARTS[part]} graph are not its classes, see {min(other)}")
            found[part] = ClassGroups("leaves", tuple(spans(graph).items()))
        return found

    sizes = {part: sum(not children for children in graph.values()) for part, graph in graphs.items()}
    return _Layout(sizes, lambda part, _, name: _total(counts[part][name]), groups)


def spans(children: Mapping[str, Sequence[str]]) -> dict[str, tuple[str, ...]]:
    """The leaves below every inner node of a graph without cycles, each once, sorted; nodes sorted too.

    Args:
        children: the children of every node; a leaf has none.

    Raises:
        KeyError: a child is no node.
        ValueError: there is a cycle.
    """
    below: dict[str, frozenset[str]] = {}
    for node in TopologicalSorter(children).static_order():  # children come before their parents
        below[node] = frozenset().union(*(below[child] for child in children[node])) or frozenset((node,))
    return {node: tuple(sorted(below[node])) for node in sorted(children) if children[node]}


_KINDS: dict[str, Callable[[Mapping[str, Any]], _Layout]] = {
    "DatasetSpecification": _flat,
    "BiLevelDatasetSpecification": _bi_level,
    "HierarchicalDatasetSpecification": _hierarchical,
}


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
        data = read_image(self._paths[self._path_of[index]], offset, length, file)
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
