"""``dataset_spec.json``: which classes a set of Meta-Dataset has, in which part, and how they hang together.

Three kinds exist: flat sets, Omniglot's classes of superclasses, and ImageNet's classes as the leaves of a graph.
Classes are numbered through, those of the training part first, then validation, then test.

Source: Triantafillou et al., "Meta-Dataset", ICLR 2020, and the files at github.com/google-research/meta-dataset.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from graphlib import TopologicalSorter
from itertools import islice
from pathlib import Path
from typing import Any

from fewshot_film.data.errors import SourceError, data_not_found
from fewshot_film.data.groups import ClassGroups
from fewshot_film.errors import InvalidValueError

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
