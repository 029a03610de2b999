"""What an image of the camera costs in the page that a classifier is shared as.

    python -m benchmarks.shared_page --browser /usr/bin/chromium

In Chromium without a window, with the WebAssembly runtime on one thread; milliseconds of the processor's time of the
page's thread, so that other work on the machine hardly matters. It needs the package playwright.
"""

from __future__ import annotations

import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Annotated, Any

from fewshot_film.classifier import FewShotClassifier
from fewshot_film.data import open_source
from fewshot_film.data.photos import photos_folder
from fewshot_film.run.parsing import parse
from fewshot_film.run.results import summary, write_result
from fewshot_film.run.settings import Settings, at_least

RESULTS = Path(__file__).parent / "results"
CAMERA = (640, 480)
_CLASSIFY = """async ([width, height, count]) => {
    const page = await import("./page.js");
    await page.ready;
    const data = new Uint8Array(width * height * 3).map((_, place) => (place * 7) % 256);
    for (let turn = 0; turn < count; turn++) await page.classify({ width, height, channels: 3, data });
}"""


@dataclass(frozen=True)
class SharedPageConfig(Settings):
    """What is measured."""

    models: tuple[str, ...] = ("general-small", "photos-small")
    """Models that are adapted to the photos that ship."""
    rounds: Annotated[int, at_least(2)] = 5
    """Repetitions of every measurement."""
    images: Annotated[int, at_least(1)] = 10
    """Images per repetition."""
    browser: str = "/usr/bin/chromium"
    """Chromium or Chrome."""
    out: Path = RESULTS / "shared_page.json"
    """Result file."""


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: Any) -> None:
        """Nothing."""


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """The address of a static host of a folder."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/"
    finally:
        server.shutdown()
        server.server_close()


def adapted(model: str) -> FewShotClassifier:
    """A classifier of the photos that ship."""
    source = open_source("folder", photos_folder() / "labelled")
    images = [source.load(index) for index in range(len(source))]
    labels = [source.class_names[label] for label in source.labels]
    return FewShotClassifier.from_pretrained(model, device="cpu").fit(images, labels)


def measure(browser: Any, model: str, config: SharedPageConfig) -> dict[str, Any]:
    """Size of the page, and the cost of an image from the camera and of the network alone."""
    classifier = adapted(model)
    with tempfile.TemporaryDirectory() as folder:
        single = classifier.export_page(Path(folder) / "page.html")
        with served(classifier.export_page(Path(folder) / "page")) as address:
            page = browser.new_page()
            page.goto(address)
            session = page.context.new_cdp_session(page)
            session.send("Performance.enable", {"timeDomain": "threadTicks"})

            def milliseconds(width: int, height: int) -> dict[str, Any]:
                page.evaluate(_CLASSIFY, [width, height, 3])  # compiles
                values = []
                for _ in range(config.rounds):
                    began = _seconds(session)
                    page.evaluate(_CLASSIFY, [width, height, config.images])
                    values.append(1000 * (_seconds(session) - began) / config.images)
                return summary(values)

            camera, network = milliseconds(*CAMERA), milliseconds(classifier.image_size, classifier.image_size)
            page.close()
        return {
            "single file, MiB": single.stat().st_size / 2**20,
            "camera image, ms": camera,
            "network alone, ms": network,
            "camera images per second": 1000 / camera["mean"],
        }


def _seconds(session: Any) -> float:
    """Processor time of the page's thread so far."""
    found = {one["name"]: one["value"] for one in session.send("Performance.getMetrics")["metrics"]}
    return float(found["ThreadTime"])


def run(config: SharedPageConfig) -> None:
    """Measure, write and print."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=config.browser, args=["--no-sandbox"])
        results = {model: measure(browser, model, config) for model in config.models}
        browser.close()
    write_result(config.out, config=config, seed=0, results=results)
    for model, found in results.items():
        print(model)
        for name, value in found.items():
            print(f"  {name:30} {value['mean'] if isinstance(value, dict) else value:10.4g}")


if __name__ == "__main__":
    run(parse("python -m benchmarks.shared_page", SharedPageConfig, sys.argv[1:], description=__doc__ or ""))
