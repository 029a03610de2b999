"""What the webcam of the tests shows: three things, one after the other, again and again."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw

if TYPE_CHECKING:
    from playwright.sync_api import Page

THINGS = {"red disk": (200, 40, 40), "green square": (40, 160, 60), "blue triangle": (50, 70, 200)}
"""The things and their colours, in the order in which they are shown."""
FRAMES = 300
"""How long each is shown: 10 seconds at the 30 frames a second of Chromium's fake webcam."""
_SIZE, _MOVES = (320, 240), 30
_MIDDLE_PIXEL = """() => {
    const video = document.querySelector(".webcam video");
    if (!video?.videoWidth) return [0, 0, 0];
    const canvas = document.createElement("canvas");
    [canvas.width, canvas.height] = [video.videoWidth, video.videoHeight];
    const context = canvas.getContext("2d");
    context.drawImage(video, 0, 0);
    return [...context.getImageData(canvas.width / 2, canvas.height / 2, 1, 1).data].slice(0, 3);
}"""


def record(path: Path) -> Path:
    """Write the stream, as JPEG files one after the other."""
    with path.open("wb") as file:
        for name in THINGS:
            frames = [_frame(name, number) for number in range(_MOVES)]
            for number in range(FRAMES):
                file.write(frames[number % _MOVES])
    return path


def _frame(name: str, number: int) -> bytes:
    """One thing, which moves a little, before a bright wall."""
    pixels = np.random.default_rng(number).normal(200, 10, (_SIZE[1], _SIZE[0], 3)).clip(0, 255).astype(np.uint8)
    image = Image.fromarray(pixels)
    left, top, side = 85 + number, 60, 120
    box, draw = (left, top, left + side, top + side), ImageDraw.Draw(image)
    if name == "red disk":
        draw.ellipse(box, fill=THINGS[name])
    elif name == "green square":
        draw.rectangle(box, fill=THINGS[name])
    else:
        draw.polygon([(left, top + side), (left + side, top + side), (left + side // 2, top)], fill=THINGS[name])
    file = io.BytesIO()
    image.save(file, "JPEG", quality=90)
    return file.getvalue()


def wait_for_thing(page: Page, name: str) -> None:
    """Wait until the webcam begins to show a thing, so that it is shown for seconds to come."""
    _wait(page, name, is_shown=False)
    _wait(page, name, is_shown=True)


def _wait(page: Page, name: str, *, is_shown: bool) -> None:
    for _ in range(600):
        near = np.abs(np.subtract(page.evaluate(_MIDDLE_PIXEL), THINGS[name])).max() < 60
        if near == is_shown:
            return
        page.wait_for_timeout(100)
    raise AssertionError(f"the webcam does not show the {name}")
