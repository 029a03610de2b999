"""``clevr-film tasks``: lists the kinds of tasks with verifiers, and shows or writes some tasks."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Iterator
from pathlib import Path

from PIL import Image

from clevr.config.commands import TasksConfig
from clevr.data.contact_sheet import SheetEntry, contact_sheet
from clevr.data.writer import encode_png
from clevr.tasks import KINDS, Item, make
from fewshot_film.errors import counted
from fewshot_film.run.files import write_atomically, write_text_atomically

logger = logging.getLogger(__name__)

METADATA = "metadata.jsonl"
_AT_ONCE = 32
"""Tasks that are made at a time."""


def run(config: TasksConfig) -> None:
    """List the kinds, or print or write the tasks.

    Raises:
        TaskError: there is no such kind.
    """
    if config.kind is None:
        width = max(map(len, KINDS))
        sys.stdout.writelines(f"{name:{width}}  {kind.summary}\n" for name, kind in KINDS.items())
        return
    items = _write(config, config.out) if config.out else _print(config)
    entries = [_entry(item) for item in items if config.sheet]  # without a sheet too, this makes all items
    if config.sheet:
        config.sheet.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(config.sheet, lambda path: contact_sheet(entries).save(path, format="png"))
        logger.info("contact sheet: %s", config.sheet)


def as_image(item: Item) -> Image.Image:
    """The image of a task; two images side by side."""
    return Image.fromarray(item.image.permute(1, 2, 0).numpy())


def _entry(item: Item) -> SheetEntry:
    return SheetEntry(f"{item.task} {item.index}", as_image(item), [(item.prompt, item.answer)])


def describe(item: Item) -> str:
    """A task as text: prompt, working, answer."""
    return "\n".join([f"{item.index}: {item.prompt}", *(f"   {step}" for step in item.working), f"   = {item.answer}"])


def _make(config: TasksConfig, *, draw: bool) -> Iterator[Item]:
    assert config.kind is not None
    series = make(config.kind, seed=config.seed, difficulty=config.difficulty, width=config.width, height=config.height)
    numbers = range(config.start, config.start + config.items)
    for first in range(0, len(numbers), _AT_ONCE):
        yield from series.batch(numbers[first : first + _AT_ONCE], draw=draw)


def _print(config: TasksConfig) -> Iterator[Item]:
    for item in _make(config, draw=config.sheet is not None):
        sys.stdout.write(f"{describe(item)}\n")
        yield item


def _write(config: TasksConfig, folder: Path) -> Iterator[Item]:
    """Write images, then the file that names them; a folder without that file is not whole."""
    images = folder / "images"
    images.mkdir(parents=True, exist_ok=True)
    lines = []
    for item in _make(config, draw=True):
        name = f"images/{item.index:08d}.png"
        (folder / name).write_bytes(encode_png(item.image.numpy()))
        row = {"file_name": name, "question": item.prompt, "answer": item.answer, "metadata": item.metadata}
        lines.append(json.dumps(row, ensure_ascii=False) + "\n")
        yield item
    write_text_atomically(folder / METADATA, "".join(lines))
    logger.info("%s written to %s", counted(len(lines), "task"), folder)
