"""Contact sheets: images of a data set with their questions and answers, a model's marked where wrong, as one image."""

from __future__ import annotations

import colorsys
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from clevr.data.reader import ClevrSplit
from clevr.data.table import QuestionTable
from clevr.questions.tokens import SPECIAL_TOKENS
from clevr.world.ground_truth import GroundTruth

Font = ImageFont.ImageFont | ImageFont.FreeTypeFont
BACKGROUND, INK, ANSWER_INK = (255, 255, 255), (40, 40, 40), (0, 90, 160)
FONT_SIZE, LINE, GAP = 13, 17, 12


@dataclass
class SheetEntry:
    """One image and what is asked about it."""

    title: str
    image: Image.Image
    questions: list[tuple[str, str]] = field(default_factory=list)
    """Texts and answers."""


def contact_sheet(entries: Sequence[SheetEntry], *, columns: int = 4, width: int = 320) -> Image.Image:
    """Lay images out in rows, each with its questions below and the answers behind them.

    Args:
        entries: images and questions.
        columns: images in a row.
        width: of one image on the sheet, in pixels; larger and smaller ones are scaled.
    """
    cells = [_cell(entry, width) for entry in entries]
    rows = [cells[first : first + columns] for first in range(0, len(cells), columns)]
    heights = [max(cell.height for cell in row) for row in rows]
    size = (columns * (width + GAP) + GAP, sum(heights) + GAP * (len(rows) + 1))
    sheet = Image.new("RGB", size, BACKGROUND)
    top = GAP
    for row, height in zip(rows, heights, strict=True):
        for column, cell in enumerate(row):
            sheet.paste(cell, (GAP + column * (width + GAP), top))
        top += height + GAP
    return sheet


def _cell(entry: SheetEntry, width: int) -> Image.Image:
    font = ImageFont.load_default(FONT_SIZE)
    image = entry.image.resize((width, round(entry.image.height * width / entry.image.width)))
    lines = [(entry.title, ""), *(line for asked in entry.questions for line in _wrap(*asked, font, width))]
    cell = Image.new("RGB", (width, image.height + LINE * len(lines) + GAP), BACKGROUND)
    cell.paste(image, (0, 0))
    pen = ImageDraw.Draw(cell)
    for number, (text, answer) in enumerate(lines):
        top = image.height + GAP // 2 + LINE * number
        pen.text((0, top), text, INK, font)
        pen.text((pen.textlength(text + "  ", font), top), answer, ANSWER_INK, font)
    return cell


def _wrap(question: str, answer: str, font: Font, width: int) -> list[tuple[str, str]]:
    """Lines that fit the width, as text and answer; the answer stands behind the last one."""
    lines: list[str] = []
    line = ""
    for word in question.split():
        longer = f"{line} {word}" if line else word
        if line and font.getlength(longer) > width:
            lines.append(line)
            longer = f"  {word}"
        line = longer
    if font.getlength(f"{line}  {answer}") > width:
        lines.append(line)
        line = ""
    return [*((text, "") for text in lines), (line, answer)]


def ground_truth_image(image: Image.Image, truth: GroundTruth) -> Image.Image:
    """An image with boxes around its objects, and below it, at half the size: masks of what is visible and of whole
    objects (lighter where one hides another), depth (near is light) and normals.

    Args:
        image: of any size.
        truth: what is where in it, in the same size.
    """
    count = len(truth.whole)
    colors = np.array([colorsys.hsv_to_rgb(number * 0.381966 % 1, 0.75, 1) for number in range(count)]).reshape(-1, 3)
    visible = (truth.visible[..., None].numpy() * colors[:, None, None]).sum(0)
    whole = (truth.whole[..., None].numpy() * colors[:, None, None]).sum(0)
    overlap = np.maximum(truth.whole.sum(0).numpy()[..., None], 1) * 0.75
    depth = truth.depth.numpy()
    near, far = depth.min(), np.quantile(depth[np.isfinite(depth)], 0.98)
    shade = 1 - np.clip((depth - near) / max(far - near, 1e-6), 0, 1)[..., None].repeat(3, 2)
    parts = (visible, whole / overlap, shade, truth.normals.permute(1, 2, 0).numpy() / 2 + 0.5)
    width, height = image.size
    sheet = Image.new("RGB", (width, height + 2 * (height // 2)), BACKGROUND)
    boxed = image.copy()
    pen = ImageDraw.Draw(boxed)
    for color, (left, top, right, bottom) in zip(
        (colors * 255).astype(int).tolist(), truth.boxes.tolist(), strict=True
    ):
        pen.rectangle((left, top, max(right - 1, left), max(bottom - 1, top)), outline=tuple(color))
    sheet.paste(boxed, (0, 0))
    for place, part in enumerate(parts):
        pixels = Image.fromarray((part.clip(0, 1) * 255).round().astype(np.uint8)).resize((width // 2, height // 2))
        sheet.paste(pixels, (place % 2 * (width - width // 2), height + place // 2 * (height // 2)))
    return sheet


def answer_sheet(
    split: ClevrSplit,
    table: QuestionTable,
    predicted: NDArray[np.int64],
    *,
    images: int = 8,
    questions: int = 6,
) -> Image.Image:
    """Some images, evenly spread over those asked about, each with some questions, wrong answers first.

    Args:
        split: where the images are.
        table: the questions.
        predicted: position of each given answer among those of the table's world, ``(N,)``.
        images: how many to show.
        questions: how many to show of each.
    """
    asked = np.unique(table.image)
    places = np.linspace(0, len(asked) - 1, min(images, len(asked))).astype(int)
    entries = []
    for image in asked[places]:
        numbers = np.flatnonzero(table.image == image)
        right = [_is_right(int(predicted[number]), int(table.answer[number])) for number in numbers]
        shown = numbers[np.argsort(right, kind="stable")][:questions]
        entries.append(_sheet_entry(split, table, predicted, table.images[int(image)], shown))
    return contact_sheet(entries)


def _is_right(given: int, true: int) -> bool:
    """Whether an answer is the true one, or no true one is known."""
    return true < 0 or true == given + len(SPECIAL_TOKENS)


def _sheet_entry(
    split: ClevrSplit, table: QuestionTable, predicted: NDArray[np.int64], name: str, numbers: NDArray[np.int64]
) -> SheetEntry:
    lines = [(table.texts[int(n)], _verdict(table, int(predicted[n]), int(table.answer[n]))) for n in numbers]
    return SheetEntry(name, split.load_image(name), lines)


def _verdict(table: QuestionTable, given: int, true: int) -> str:
    """The answer, and the true one where it is another."""
    answer, truth = table.answers[given + len(SPECIAL_TOKENS)], table.answers[true] if true >= 0 else ""
    return answer if truth in ("", answer) else f"{answer} (wrong: {truth})"
