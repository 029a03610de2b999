"""Write scenes, questions and pictures in CLEVR's format; every file is there whole or not at all."""

from __future__ import annotations

import io
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from clevr.questions.question import Question
from clevr.world.scene import Scene
from fewshot_film.run.files import write_atomically

LICENSE = "Creative Commons Attribution (CC-BY 4.0)"
COMPRESS_LEVEL = 2
"""Of zlib, 0 to 9. A picture of CLEVR is 15 % larger than at PIL's own 6, in a quarter of the time."""


def info_block(split: str, *, date: str = "", **more: Any) -> dict[str, Any]:
    """The ``info`` that CLEVR's files begin with.

    Args:
        split: name of the split.
        date: as a text; never taken from the clock, so that the same set is the same bytes.
        **more: further entries.
    """
    return {"split": split, "license": LICENSE, "version": "1.0", "date": date, **more}


def write_scenes(path: Path, scenes: Iterable[Scene], info: Mapping[str, Any]) -> None:
    """Write ``{"info": ..., "scenes": [...]}``, one scene a line."""
    write_lines(path, "scenes", (json_line(scene) for scene in scenes), info)


def write_questions(path: Path, questions: Iterable[Question], info: Mapping[str, Any]) -> None:
    """Write ``{"info": ..., "questions": [...]}``, one question a line."""
    write_lines(path, "questions", (json_line(question) for question in questions), info)


def json_line(record: Scene | Question) -> str:
    """One record as JSON without a line break.

    Raises:
        ValueError: it holds a number that JSON does not have (NaN, infinity).
    """
    return json.dumps(record.to_json(), allow_nan=False)


def write_lines(path: Path, key: str, lines: Iterable[str], info: Mapping[str, Any]) -> None:
    """Write ``{"info": info, key: [...]}`` from records that are JSON already.

    Args:
        path: the file; its folder is made.
        key: name of the list.
        lines: one record each, without line breaks; read once, not kept.
        info: the info block.
    """

    def write(temporary: Path) -> None:
        with temporary.open("w", encoding="utf-8", newline="\n") as file:
            file.write(f'{{"info": {json.dumps(dict(info))}, {json.dumps(key)}: [')
            for number, line in enumerate(lines):
                file.write(f"{',' if number else ''}\n{line}")
            file.write("\n]}\n")

    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, write)


def encode_png(pixels: NDArray[np.uint8]) -> bytes:
    """A picture as the bytes of a PNG file.

    Args:
        pixels: RGB, ``(3, H, W)``.
    """
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels.transpose(1, 2, 0))).save(
        buffer, format="png", compress_level=COMPRESS_LEVEL
    )
    return buffer.getvalue()
