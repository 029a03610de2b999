"""Small data sets in CLEVR's layouts, written without the code under test."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from clevr.data.errors import DataError


@contextmanager
def fine_or_refused(prefix: str) -> Iterator[None]:
    """The block may raise a :class:`DataError`, if its text begins with the place of the fault."""
    try:
        yield
    except DataError as error:
        if not str(error).startswith(prefix):
            pytest.fail(f"expected an error that begins with {prefix!r}, got {error}")


def an_object(**changes: Any) -> dict[str, Any]:
    record = {
        "shape": "cube",
        "size": "large",
        "color": "red",
        "material": "metal",
        "3d_coords": [0.5, -1.0, 0.7],
        "rotation": 30.0,
        "pixel_coords": [60, 40, 11.5],
    }
    return {**record, **changes}


def a_scene(index: int = 0, split: str = "val", **changes: Any) -> dict[str, Any]:
    """A red cube, and a blue ball to its left and in front of it."""
    record = {
        "split": split,
        "image_index": index,
        "image_filename": f"CLEVR_{split}_{index:06d}.png",
        "objects": [an_object(), an_object(shape="sphere", color="blue", size="small")],
        "directions": {"left": [-1.0, 0.0, 0.0], "right": [1.0, 0.0, 0.0]},
        "relationships": {
            "left": [[1], []],
            "right": [[], [0]],
            "front": [[1], []],
            "behind": [[], [0]],
        },
    }
    return {**record, **changes}


def a_node(function: str, inputs: list[int], *values: str) -> dict[str, Any]:
    return {"function": function, "inputs": inputs, "value_inputs": list(values)}


def a_program() -> list[dict[str, Any]]:
    """How many red things are there?"""
    return [a_node("scene", []), a_node("filter_color", [0], "red"), a_node("count", [1])]


def a_question(index: int = 0, split: str = "val", **changes: Any) -> dict[str, Any]:
    record = {
        "split": split,
        "image_index": index,
        "image_filename": f"CLEVR_{split}_{index:06d}.png",
        "question_index": 10 * index,
        "question_family_index": 84,
        "question": "How many red things are there?",
        "answer": "1",
        "program": a_program(),
    }
    return {**record, **changes}


def without(record: dict[str, Any], *keys: str) -> dict[str, Any]:
    return {key: value for key, value in record.items() if key not in keys}


def write_json(path: Path, content: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


def write_clevr(root: Path, split: str = "val", num_scenes: int = 2) -> Path:
    """CLEVR's own layout, one question an image."""
    info = {"split": split, "version": "1.0"}
    scenes = [a_scene(index, split) for index in range(num_scenes)]
    questions = [a_question(index, split) for index in range(num_scenes)]
    write_json(root / f"scenes/CLEVR_{split}_scenes.json", {"info": info, "scenes": scenes})
    write_json(root / f"questions/CLEVR_{split}_questions.json", {"info": info, "questions": questions})
    for scene in scenes:
        write_picture(root / "images" / split / scene["image_filename"])
    return root


def write_picture(path: Path, size: tuple[int, int] = (12, 8)) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, (90, 100, 110)).save(path)
    return path


def pack(folder: Path, archive: Path, prefix: str = "") -> Path:
    """Zip a folder."""
    with zipfile.ZipFile(archive, "w") as file:
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                file.write(path, prefix + path.relative_to(folder).as_posix())
    return archive
