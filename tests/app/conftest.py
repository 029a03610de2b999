"""The page as a program of its own, and a browser that looks at it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image

from tests.app.browsing import PATIENCE, answer
from tests.app.recording import record
from tests.conftest import CHECKOUT
from tests.extras import CHROMIUM

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

STARTED_WITHIN = 180
"""Seconds; a busy machine imports torch and gradio slowly."""


@dataclass
class Served:
    """A running page."""

    process: subprocess.Popen[str]
    folder: Path
    """Where its temporary files are."""
    address: str = ""
    lines: list[str] = field(default_factory=list)
    """What it has said."""

    def listen(self) -> None:
        started = threading.Event()

        def read() -> None:
            for line in self.process.stderr:
                self.lines.append(line)
                if found := re.search(r"the page is at (http://\S+)", line):
                    self.address = found[1]
                    started.set()
            started.set()

        threading.Thread(target=read, daemon=True).start()
        assert started.wait(STARTED_WITHIN), "".join(self.lines)
        assert self.address, "".join(self.lines)

    def visitors(self) -> set[Path]:
        """Folders of those who have the page open."""
        return {path for path in self.folder.glob("fewshot-film-*/tmp*") if path.is_dir()}


@pytest.fixture(scope="package")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("served")
    words = ["app", "--port", "0", "--device", "cpu", "--file_mib", "2", "--megapixels", "4", "--archive_mib", "40",
             "--visitor_mib", "64", "--total_mib", "140"]  # fmt: skip
    process = subprocess.Popen(
        [sys.executable, "-m", "fewshot_film", *words],
        cwd=CHECKOUT,
        env={**os.environ, "TMPDIR": str(folder)},
        stderr=subprocess.PIPE,
        text=True,
    )
    served = Served(process, folder)
    try:
        served.listen()
        yield served
    finally:
        process.terminate()
        process.wait(30)
        process.stderr.close()
    assert "Traceback" not in "".join(served.lines), "".join(served.lines)
    assert list(folder.glob("fewshot-film-*")) == [], "the page left files behind"


@pytest.fixture(scope="package")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        shown = record(tmp_path_factory.mktemp("webcam") / "things.mjpeg")
        flags = [
            "--no-sandbox",
            "--use-fake-device-for-media-stream",
            "--use-fake-ui-for-media-stream",
            f"--use-file-for-fake-video-capture={shown}",
        ]
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=flags)
        yield browser
        browser.close()


@pytest.fixture
def visit(served: Served, browser: Browser) -> Iterator[Callable[..., Page]]:
    """Opens the page as one more visitor; nothing may be asked of any other address."""
    contexts, elsewhere = [], []

    def note(address: str) -> None:
        if not address.startswith((served.address, "data:", "blob:")):
            elsewhere.append(address)

    def open_page(width: int = 1280, height: int = 900, color_scheme: str = "light") -> Page:
        size = {"width": width, "height": height}
        context = browser.new_context(viewport=size, accept_downloads=True, color_scheme=color_scheme)
        context.set_default_timeout(PATIENCE)
        context.on("request", lambda request: note(request.url))
        contexts.append(context)
        page = context.new_page()
        page.questions = []
        page.on("dialog", lambda dialog: answer(page, dialog))
        page.goto(served.address)
        page.get_by_role("tab", name="Teach").wait_for()
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert elsewhere == []


@pytest.fixture
def keep(tmp_path: Path) -> Callable[[Page, str, int], None]:
    """Takes an image of the page down to a height."""

    def take(page: Page, name: str, height: int) -> None:
        path = Path(os.environ.get("FEWSHOT_FILM_SCREENSHOTS", tmp_path)) / f"app-{name}.png"
        page.set_viewport_size({"width": 1280, "height": height})
        page.wait_for_timeout(1500)  # what fades in is there
        page.screenshot(path=path)
        image = Image.open(path).convert("P", palette=Image.Palette.ADAPTIVE, colors=256)
        image.save(path, optimize=True)
        assert np.asarray(Image.open(path).convert("L")).std() > 10

    return take
