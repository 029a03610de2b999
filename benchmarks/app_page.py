"""How long a visitor of the browser app waits, as seen in a browser: for files that keep a classifier, and for others.

    python -m benchmarks.app_page keep --browser /usr/bin/chromium

Chromium without a window presses the page's own buttons; wall times, so the machine should have nothing else to do.
It needs the package playwright.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Annotated, Any

from fewshot_film.run.command import Command, main
from fewshot_film.run.results import summary, write_result
from fewshot_film.run.settings import Settings, at_least

RESULTS = Path(__file__).parent / "results"
BUTTONS = ("Save classifier", "Export as ONNX", "Share as a web page")
_PATIENCE = 120_000
"""Milliseconds for everything that a page is waited for."""


@dataclass(frozen=True)
class KeepConfig(Settings):
    """How the files that keep a classifier are asked for."""

    models: tuple[str, ...] = ("photos-small",)
    """Models that are adapted to the photos that ship."""
    rounds: Annotated[int, at_least(2)] = 3
    """Clicks on each button of one page; the first is counted apart."""
    browser: str = "/usr/bin/chromium"
    """Chromium or Chrome."""
    out: Path = RESULTS / "app_keep.json"
    """Result file."""


@contextmanager
def served(*words: str) -> Iterator[str]:
    """The address of the app, run as a program of its own."""
    command = [sys.executable, "-m", "fewshot_film", "app", "--port", "0", *words]
    with tempfile.TemporaryFile("w+") as said:
        process = subprocess.Popen(command, stderr=said, text=True)
        try:
            yield _address(process, said)
        finally:
            process.terminate()
            process.wait(30)


def _address(process: subprocess.Popen[str], said: IO[str]) -> str:
    """Where the app says that the page is, once it does."""
    while process.poll() is None:
        said.seek(0)
        if found := re.search(r"the page is at (http://\S+)", said.read()):
            return found[1]
        time.sleep(0.1)
    said.seek(0)
    raise SystemExit(f"the app ended: {said.read()}")


@contextmanager
def visited(browser: Any, address: str) -> Iterator[Any]:
    """The page, opened as one more visitor, who answers every question with yes."""
    context = browser.new_context(viewport={"width": 1400, "height": 900}, accept_downloads=True)
    context.set_default_timeout(_PATIENCE)
    page = context.new_page()
    page.on("dialog", lambda dialog: dialog.accept())
    page.goto(address)
    page.get_by_role("tab", name="Teach").wait_for()
    yield page
    context.close()


def keep(config: KeepConfig) -> None:
    """Measure every button in an app of its own: what one has loaded would be there for the next."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=config.browser, args=["--no-sandbox"])
        results = {
            model: {button: _clicks(browser, model, button, config.rounds) for button in BUTTONS}
            for model in config.models
        }
        browser.close()
    write_result(config.out, config=config, seed=0, results=results)
    for model, buttons in results.items():
        for button, found in buttons.items():
            print(f"{model:16} {button:22} first {found['first, s']:5.2f} s, then {found['later, s']['mean']:5.2f} s")


def _clicks(browser: Any, model: str, button: str, rounds: int) -> dict[str, Any]:
    """Seconds from a click to the file, in an app that has done nothing but adapt."""
    with served("--models", f'["{model}"]') as address, visited(browser, address) as page:
        page.get_by_role("button", name="Example: photos").click()
        page.get_by_text("Adapted to").wait_for()
        page.wait_for_timeout(1000)
        seconds, size = [], 0
        for _ in range(rounds):
            began = time.perf_counter()
            with page.expect_download() as expected:
                page.get_by_role("button", name=button).click()
            size = Path(expected.value.path()).stat().st_size
            seconds.append(time.perf_counter() - began)
    return {"first, s": seconds[0], "later, s": summary(seconds[1:]), "MiB": size / 2**20}


COMMANDS = [
    Command(
        "keep",
        KeepConfig,
        "benchmarks.app_page:keep",
        "From a click on Save, ONNX or Share to the downloaded file.",
        ("python -m benchmarks.app_page keep --rounds 3",),
    ),
]

if __name__ == "__main__":
    sys.exit(main("python -m benchmarks.app_page", COMMANDS))
