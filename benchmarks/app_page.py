"""How long a visitor of the browser app waits, as seen in a browser: for files that keep a classifier, and for others.

    python -m benchmarks.app_page keep --browser /usr/bin/chromium

Chromium without a window presses the page's own buttons; wall times, so the machine should have nothing else to do.
It needs the package playwright.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Annotated, Any

import numpy as np
from PIL import Image

from fewshot_film.data.photos import photos_folder
from fewshot_film.page import disk_use
from fewshot_film.run.command import Command, main
from fewshot_film.run.results import summary, write_result
from fewshot_film.run.settings import Settings, at_least, between

RESULTS = Path(__file__).parent / "results"
BUTTONS = ("Save classifier", "Export as ONNX", "Share as a web page")
_FLAGS = ["--no-sandbox", "--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"]
_COUNT = """() => {
    window.answered = 0;
    const answered = window.fewshotWebcam.answered.bind(window.fewshotWebcam);
    window.fewshotWebcam.answered = () => (window.answered++, answered());
}"""
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


@dataclass
class Server:
    """The running app.

    Args:
        address: where the page is.
        process: its number.
        folder: where its files are.

    Attributes:
        most_disk: most bytes that its files were seen to take.
    """

    address: str
    process: int
    folder: Path
    most_disk: int = 0

    def look(self) -> None:
        """See how much of the disk it takes now."""
        self.most_disk = max(self.most_disk, disk_use(self.folder))

    def most_memory(self) -> int:
        """Most bytes of memory that it has taken so far, of which Linux keeps account; -1 elsewhere."""
        status = Path(f"/proc/{self.process}/status")
        found = re.search(r"VmHWM:\s+(\d+) kB", status.read_text(encoding="utf-8")) if status.exists() else None
        return 1024 * int(found[1]) if found else -1


@contextmanager
def served(*words: str) -> Iterator[Server]:
    """The app, run as a program of its own."""
    command = [sys.executable, "-m", "fewshot_film", "app", "--port", "0", *words]
    with tempfile.TemporaryFile("w+") as said, tempfile.TemporaryDirectory() as folder:
        process = subprocess.Popen(command, stderr=said, text=True, env={**os.environ, "TMPDIR": folder})
        try:
            yield Server(_address(process, said), process.pid, Path(folder))
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
    """Measure every button in an app of its own, as what one has loaded is there for the next; then the webcam."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=config.browser, args=_FLAGS)
        results = {
            model: {
                **{button: _clicks(browser, model, button, config.rounds) for button in BUTTONS},
                "webcam predictions per second": _live(browser, model, config.rounds),
            }
            for model in config.models
        }
        browser.close()
    write_result(config.out, config=config, seed=0, results=results)
    for model, found in results.items():
        for button in BUTTONS:
            seconds = found[button]
            print(
                f"{model:16} {button:22} first {seconds['first, s']:5.2f} s, then {seconds['later, s']['mean']:5.2f} s"
            )
        print(f"{model:16} webcam {found['webcam predictions per second']['mean']:5.1f} predictions per second")


def _live(browser: Any, model: str, rounds: int) -> dict[str, Any]:
    """Predictions per second for what the webcam shows, over two seconds each."""
    with served("--models", f'["{model}"]') as server, visited(browser, server.address) as page:
        page.get_by_role("button", name="Example: photos").click()
        page.get_by_text("Adapted to").wait_for()
        page.get_by_role("button", name="Start webcam").click()
        page.locator("#live h3").wait_for()
        page.evaluate(_COUNT)
        rates = []
        for _ in range(rounds):
            before, began = page.evaluate("window.answered"), time.perf_counter()
            page.wait_for_timeout(2000)
            rates.append((page.evaluate("window.answered") - before) / (time.perf_counter() - began))
    return summary(rates)


def _clicks(browser: Any, model: str, button: str, rounds: int) -> dict[str, Any]:
    """Seconds from a click to the file, in an app that has done nothing but adapt."""
    with served("--models", f'["{model}"]') as server, visited(browser, server.address) as page:
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


@dataclass(frozen=True)
class UploadConfig(Settings):
    """What is uploaded."""

    files: Annotated[int, between(2, 200)] = 200
    """JPEG files of one upload."""
    side: Annotated[int, at_least(100)] = 7000
    """Width and height of each, pixels."""
    noise: Annotated[float, at_least(0)] = 8
    """How rough they are, which decides their size in bytes."""
    browser: str = "/usr/bin/chromium"
    """Chromium or Chrome."""
    out: Path = RESULTS / "app_upload.json"
    """Result file."""


def upload(config: UploadConfig) -> None:
    """Upload large images twice, the second time until it is stopped; meanwhile another visitor asks."""
    from playwright.sync_api import sync_playwright

    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        files = _large_images(Path(folder), config)
        size = files[0].stat().st_size / 2**20
        browser = playwright.chromium.launch(executable_path=config.browser, args=_FLAGS)
        with served() as server, visited(browser, server.address) as page, visited(browser, server.address) as other:
            other.get_by_role("button", name="Example: photos").click()
            other.get_by_text("Adapted to").wait_for()
            page.get_by_placeholder("class name").fill("large")
            page.get_by_role("button", name="Add class").click()
            page.locator(".card").wait_for()
            query = photos_folder() / "unknown"
            asked = _Asked(other, min(path for path in query.rglob("*") if path.is_file()))
            alone = [asked.again() for _ in range(3)]
            before = server.most_memory()
            whole = _whole(page, files, asked, server)
            stopped = _stopped(page, files[: max(2, len(files) // 4)])
            after = server.most_memory()
        browser.close()
    results = {
        "MiB per file": size,
        "megapixels per file": config.side**2 / 1e6,
        "another visitor, alone, s": summary(alone),
        **whole,
        **stopped,
        "most memory of the app before the upload, MiB": before / 2**20,
        "most memory of the app, MiB": after / 2**20,
        "most disk, MiB": server.most_disk / 2**20,
    }
    write_result(config.out, config=config, seed=0, results=results)
    for name, value in results.items():
        print(f"{name:45} {value['mean'] if isinstance(value, dict) else value}")


def _large_images(folder: Path, config: UploadConfig) -> list[Path]:
    """One image of blotches and noise, under many names."""
    generator = np.random.default_rng(0)
    rough = generator.normal(128, 50, (config.side // 100 + 1, config.side // 100 + 1, 3)).clip(0, 255)
    smooth = Image.fromarray(rough.astype(np.uint8)).resize((config.side, config.side), Image.Resampling.BILINEAR)
    tile = generator.normal(0, config.noise, (config.side, config.side, 1)).astype(np.float32)
    first = folder / "0.jpg"
    Image.fromarray((np.asarray(smooth) + tile).clip(0, 255).astype(np.uint8)).save(first, quality=80)
    names = [folder / f"{number}.jpg" for number in range(1, config.files)]
    for name in names:
        name.hardlink_to(first)
    return [first, *names]


class _Asked:
    """Another visitor, who drops an image to be classified again and again."""

    def __init__(self, page: Any, query: Path) -> None:
        self.page = page
        self.query = query

    def again(self) -> float:
        """Seconds until the answer is there."""
        answers = self.page.locator(".queries .caption-label")
        if answers.count() > 30:  # the page holds 40
            self.page.get_by_role("button", name="Clear images to classify").click()
            self.page.locator(".queries li").first.wait_for(state="detached")
        count, began = answers.count(), time.perf_counter()
        self.page.locator(".answers .drop input[type=file]").first.set_input_files(str(self.query))
        answers.nth(count).wait_for()
        return time.perf_counter() - began


def _drop(page: Any, files: Sequence[Path]) -> None:
    page.locator(".card .drop input[type=file]").set_input_files([str(file) for file in files])


def _progress(page: Any) -> int:
    """How many images the page says that it has read; -1 where it says nothing of it."""
    found = re.search(r"(\d+)/\d+ images", page.locator(".card").inner_text())
    return int(found[1]) if found else -1


def _whole(page: Any, files: Sequence[Path], asked: _Asked, server: Server) -> dict[str, Any]:
    """An upload to its end: how long it takes, what the page says of it, and how long another visitor waits."""
    began = time.perf_counter()
    _drop(page, files)
    said: list[tuple[float, int]] = []
    waits: dict[str, list[float]] = {"sending": [], "reading": []}
    images = page.locator(".card .image-list img")
    while images.count() < len(files):
        said.append((time.perf_counter() - began, _progress(page)))
        is_read = any(count >= 0 for _, count in said)
        waits["reading" if is_read else "sending"].append(asked.again())
        server.look()
    ended = time.perf_counter() - began
    first = next((at for at, count in said if count >= 0), ended)
    return {
        "sending, s": first,
        "reading, s": ended - first,
        "progress that was seen": [[at, count] for at, count in said],
        **{
            f"another visitor, while it is {name}, s": summary(found) for name, found in waits.items() if len(found) > 1
        },
    }


def _stopped(page: Any, files: Sequence[Path]) -> dict[str, Any]:
    """An upload that is stopped while it is read: how long that takes."""
    _drop(page, files)
    while _progress(page) < len(files) // 5:
        page.wait_for_timeout(100)
    began = time.perf_counter()
    page.get_by_role("button", name="Stop upload").click()
    page.get_by_test_id("toast-body").get_by_text("because the upload was stopped").wait_for()
    return {"from the click on Stop to its end, s": time.perf_counter() - began}


COMMANDS = [
    Command(
        "keep",
        KeepConfig,
        "benchmarks.app_page:keep",
        "From a click on Save, ONNX or Share to the downloaded file; predictions of what the webcam shows.",
        ("python -m benchmarks.app_page keep --rounds 3",),
    ),
    Command(
        "upload",
        UploadConfig,
        "benchmarks.app_page:upload",
        "Many large images: how long they take, how they are stopped, and how long others wait meanwhile.",
        ("python -m benchmarks.app_page upload --files 200 --side 7000",),
    ),
]

if __name__ == "__main__":
    sys.exit(main("python -m benchmarks.app_page", COMMANDS))
