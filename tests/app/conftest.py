"""The page as a program of its own, and a browser that looks at it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import CHECKOUT
from tests.extras import CHROMIUM

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
    words = ["app", "--port", "0", "--device", "cpu", "--file_mib", "2", "--megapixels", "4", "--archive_mib", "40"]
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
def browser() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        flags = ["--no-sandbox", "--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"]
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=flags)
        yield browser
        browser.close()
