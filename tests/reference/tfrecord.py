"""Writer of TensorFlow's record files and of Meta-Dataset's folders, one bit and one byte at a time."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path


def crc32c(data: bytes) -> int:
    """CRC with the Castagnoli polynomial, reflected; RFC 3720, appendix B.4."""
    remainder = 0xFFFFFFFF
    for byte in data:
        remainder ^= byte
        for _ in range(8):
            remainder = (remainder >> 1) ^ (0x82F63B78 if remainder & 1 else 0)
    return remainder ^ 0xFFFFFFFF


def checksum(data: bytes) -> bytes:
    crc = crc32c(data)
    rotated = (crc // 2**15 + crc * 2**17) % 2**32
    return ((rotated + 0xA282EAD8) % 2**32).to_bytes(4, "little")


def record(data: bytes) -> bytes:
    length = len(data).to_bytes(8, "little")
    return length + checksum(length) + data + checksum(data)


def varint(value: int) -> bytes:
    digits = []
    while True:
        value, digit = divmod(value, 128)
        digits.append(digit + 128 * (value > 0))
        if not value:
            return bytes(digits)


def field(number: int, content: bytes) -> bytes:
    return varint(number * 8 + 2) + varint(len(content)) + content


def example(image: bytes, label: int, *, packed: bool = True, label_first: bool = False) -> bytes:
    """``tf.train.Example`` with the two features that Meta-Dataset's converter writes."""
    integers = field(1, varint(label)) if packed else varint(8) + varint(label)
    entries = [
        field(1, b"image") + field(2, field(1, field(1, image))),
        field(1, b"label") + field(2, field(3, integers)),
    ]
    return field(1, b"".join(field(1, entry) for entry in (entries[::-1] if label_first else entries)))


def write_classes(root: Path, pictures: Mapping[int, Sequence[bytes]]) -> None:
    root.mkdir(parents=True, exist_ok=True)
    for number, files in pictures.items():
        (root / f"{number}.tfrecords").write_bytes(b"".join(record(example(file, number)) for file in files))


def write_spec(root: Path, content: Mapping[str, object]) -> None:
    root.mkdir(parents=True, exist_ok=True)
    common = {"path": "/where/it/was/made", "file_pattern": "{}.tfrecords"}
    (root / "dataset_spec.json").write_text(json.dumps({**common, **content}, indent=2))


def flat_spec(name: str, per_part: Sequence[int], sizes: Sequence[int]) -> dict[str, object]:
    return {
        "name": name,
        "classes_per_split": dict(zip(("TRAIN", "VALID", "TEST"), per_part, strict=True)),
        "images_per_class": {str(number): size for number, size in enumerate(sizes)},
        "class_names": {str(number): f"thing {number}" for number in range(len(sizes))},
        "__class__": "DatasetSpecification",
    }


def bi_level_spec(name: str, per_part: Sequence[int], superclasses: Sequence[int], pictures: int) -> dict[str, object]:
    total = sum(superclasses)
    return {
        "name": name,
        "superclasses_per_split": dict(zip(("TRAIN", "VALID", "TEST"), per_part, strict=True)),
        "classes_per_superclass": {str(number): size for number, size in enumerate(superclasses)},
        "images_per_class": {str(number): pictures for number in range(total)},
        "superclass_names": {str(number): f"alphabet {number}" for number in range(len(superclasses))},
        "class_names": {str(number): f"character {number}" for number in range(total)},
        "__class__": "BiLevelDatasetSpecification",
    }


def hierarchical_spec(
    name: str, graphs: Sequence[Mapping[str, Sequence[str]]], pictures: Mapping[str, int]
) -> dict[str, object]:
    """Graphs as children by node, of training, validation and test; their leaves are numbered in order of name."""
    parts = dict(zip(("TRAIN", "VALID", "TEST"), graphs, strict=True))
    leaves = [leaf for graph in graphs for leaf in sorted(node for node, below in graph.items() if not below)]
    return {
        "name": name,
        "split_subgraphs": {
            part: [
                {
                    "wn_id": node,
                    "words": f"word of {node}",
                    "children_ids": list(below),
                    "parents_ids": [other for other, theirs in graph.items() if node in theirs],
                }
                for node, below in graph.items()
            ]
            for part, graph in parts.items()
        },
        "images_per_class": {
            part: {node: sum(pictures[leaf] for leaf in leaves_below(graph, node)) for node in graph}
            for part, graph in parts.items()
        },
        "class_names": {str(number): leaf for number, leaf in enumerate(leaves)},
        "__class__": "HierarchicalDatasetSpecification",
    }


def leaves_below(graph: Mapping[str, Sequence[str]], node: str) -> set[str]:
    if not graph[node]:
        return {node}
    return set().union(*(leaves_below(graph, child) for child in graph[node]))
