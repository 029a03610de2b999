"""What a folder holds, so that two can be compared, and whether each file of it is whole."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch
import torch
import yaml
from PIL import Image

from fewshot_film.run.checkpoint import load_checkpoint

_TIMES = frozenset({"seconds", "processor_seconds", "config_sha256"})
"""Keys of times, and of a checksum over settings with times among them."""
_NOT_COMPARED = frozenset({"environment.json", ".lock", "report.html"})
_TEMPORARY = re.compile(r"\.tmp(-|$)|\.(new|old)$")


def is_temporary(path: Path, root: Path) -> bool:
    """Whether a file is one in the making, by its name or by that of a folder around it."""
    return any(_TEMPORARY.search(part) for part in path.relative_to(root).parts)


def files_of(root: Path) -> Iterator[Path]:
    """Every file below a folder, in order; or the file itself."""
    if root.is_file():
        yield root
    else:
        yield from sorted(path for path in root.rglob("*") if path.is_file())


def content_of(root: Path) -> dict[str, str]:
    """A hash of every file by its path: of what it says, without times and without the folder's own name.

    Left out: temporary files, curves for TensorBoard, the record of starts, locks, and HTML pages.
    """
    found = {}
    for path in files_of(root):
        name = str(path.relative_to(root))
        if path.name not in _NOT_COMPARED and "tensorboard" not in path.parts and not is_temporary(path, root):
            found[name] = _digest(path, root)
    return found


def differences(one: Mapping[str, str], other: Mapping[str, str]) -> list[str]:
    """Names of files that are not in both, or not equal."""
    return sorted(name for name in one.keys() | other.keys() if one.get(name) != other.get(name))


def torn_files(root: Path) -> list[str]:
    """Files with a final name whose content is not whole, each with what is wrong."""
    found = []
    for path in files_of(root):
        check = _CHECKS.get(path.suffix)
        if check is None or is_temporary(path, root) or "tensorboard" in path.parts:
            continue
        try:
            check(path)
        except Exception as error:  # whatever a reader says of half a file
            found.append(f"{path.relative_to(root)}: {type(error).__name__}: {error}")
    return found


def leftovers(root: Path) -> list[str]:
    """Temporary files that are still there."""
    return [str(path.relative_to(root)) for path in files_of(root) if is_temporary(path, root)]


def _digest(path: Path, root: Path) -> str:
    hidden = str(root).encode()
    if path.suffix == ".ckpt":
        return _hash_of(vars(load_checkpoint(path)), hidden)
    if path.suffix == ".json":
        return _hash_of(_result_of(json.loads(path.read_text(encoding="utf-8"))), hidden)
    if path.suffix == ".jsonl":
        return _hash_of([json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()], hidden)
    data = path.read_bytes()
    if path.suffix == ".md":
        data = re.sub(rb"\d+ minutes|\| [\d.]+ \|$", b"", data, flags=re.MULTILINE)
    return hashlib.sha256(data.replace(hidden, b"ROOT")).hexdigest()


def _result_of(record: Any) -> Any:
    """Of a result file its results alone: commands, commits and machines differ."""
    is_result = isinstance(record, dict) and {"results", "command", "hardware"} <= set(record)
    return record["results"] if is_result else record


def _hash_of(value: Any, hidden: bytes) -> str:
    digest = hashlib.sha256()
    _feed(digest, value, hidden)
    return digest.hexdigest()


def _feed(digest: Any, value: Any, hidden: bytes) -> None:
    """Take in a value, however nested; tensors by their bytes."""
    if hasattr(value, "__dataclass_fields__"):
        value = vars(value)
    if isinstance(value, torch.Tensor):
        digest.update(f"{value.dtype}{tuple(value.shape)}".encode() + value.detach().numpy().tobytes())
    elif isinstance(value, Mapping):
        for key in sorted(value, key=str):
            if key not in _TIMES:
                digest.update(repr(key).encode())
                _feed(digest, value[key], hidden)
    elif isinstance(value, list | tuple):
        digest.update(f"{len(value)}:".encode())
        for item in value:
            _feed(digest, item, hidden)
    else:
        digest.update(repr(value).encode().replace(hidden, b"ROOT"))


def _check_lines(path: Path) -> None:
    """Curves are added to line by line: the last line may be in the making."""
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    for line in lines if path.name != "metrics.jsonl" else lines[:-1]:
        json.loads(line)


def _check_image(path: Path) -> None:
    with Image.open(path) as image:
        image.load()


def _check_table(path: Path) -> None:
    rows = list(csv.reader(io.StringIO(path.read_text(encoding="utf-8"))))
    assert len({len(row) for row in rows}) == 1, "lines of different lengths"


def _check_page(path: Path) -> None:
    assert path.read_text(encoding="utf-8").endswith("</html>\n"), "the page does not end"


def _check_text(path: Path) -> None:
    assert path.read_text(encoding="utf-8").endswith("\n"), "the text does not end"


_CHECKS: dict[str, Callable[[Path], Any]] = {
    ".ckpt": load_checkpoint,
    ".csv": _check_table,
    ".html": _check_page,
    ".json": lambda path: json.loads(path.read_text(encoding="utf-8")),
    ".jsonl": _check_lines,
    ".md": _check_text,
    ".npy": lambda path: np.load(path, mmap_mode="r"),
    ".npz": lambda path: dict(np.load(path).items()),
    ".png": _check_image,
    ".safetensors": safetensors.torch.load_file,
    ".yaml": lambda path: yaml.safe_load(path.read_text(encoding="utf-8")),
}
