"""A contact sheet: pictures of a data set with their questions and answers, as one picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from PIL import Image, ImageDraw, ImageFont

Font = ImageFont.ImageFont | ImageFont.FreeTypeFont
BACKGROUND, INK, ANSWER_INK = (255, 255, 255), (40, 40, 40), (0, 90, 160)
FONT_SIZE, LINE, GAP = 13, 17, 12


@dataclass
class Entry:
    """One picture and what is asked about it."""

    title: str
    picture: Image.Image
    questions: list[tuple[str, str]] = field(default_factory=list)
    """Texts and answers."""


def contact_sheet(entries: Sequence[Entry], *, columns: int = 4, width: int = 320) -> Image.Image:
    """Lay pictures out in rows, each with its questions below and the answers behind them.

    Args:
        entries: pictures and questions.
        columns: pictures in a row.
        width: of one picture on the sheet, in pixels; larger and smaller ones are scaled.
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


def _cell(entry: Entry, width: int) -> Image.Image:
    font = ImageFont.load_default(FONT_SIZE)
    picture = entry.picture.resize((width, round(entry.picture.height * width / entry.picture.width)))
    lines = [(entry.title, ""), *(line for asked in entry.questions for line in _wrap(*asked, font, width))]
    cell = Image.new("RGB", (width, picture.height + LINE * len(lines) + GAP), BACKGROUND)
    cell.paste(picture, (0, 0))
    pen = ImageDraw.Draw(cell)
    for number, (text, answer) in enumerate(lines):
        top = picture.height + GAP // 2 + LINE * number
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
