"""What an image of the webcam costs in the page that a classifier is shared as, and how many a second it classifies.

    python -m benchmarks.shared_page --browser /usr/bin/chromium

In Chromium without a window. The cost of an image is the processor's time of one thread, so that other work on the
machine hardly matters. The images per second are what the page says while it watches Chromium's fake webcam, so the
machine should have nothing else to do. It needs the package playwright.
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
WEBCAM = (341, 256)
"""What the page asks of the webcam for a network that reads 224 pixels of 256."""
_FLAGS = ["--no-sandbox", "--use-fake-device-for-media-stream=fps=30", "--use-fake-ui-for-media-stream"]
_ENGINE = """async () => {
    const bytes = async (name) => new Uint8Array(await (await fetch(name)).arrayBuffer());
    const [code, wasm, model] = await Promise.all(
        ["runtime/ort.js", "runtime/ort-wasm-simd-threaded.wasm", "classifier.onnx"].map(bytes)
    );
    await import("./engine.js");
    await engine.start({ settings: await (await fetch("classifier.json")).json(), code, wasm, model });
}"""
_CLASSIFY = """async ([width, height, count]) => {
    const data = new Uint8Array(width * height * 3).map((_, place) => (place * 7) % 256);
    for (let turn = 0; turn < count; turn++) await engine.classify({ width, height, channels: 3, data });
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
    seconds: Annotated[float, at_least(3)] = 8
    """How long the webcam is watched."""
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
    """Size of the page, and the cost of an image from the webcam and of the network alone."""
    classifier = adapted(model)
    with tempfile.TemporaryDirectory() as folder:
        single = classifier.export_page(Path(folder) / "page.html")
        with served(classifier.export_page(Path(folder) / "page")) as address:
            page = browser.new_page()
            page.goto(address)
            page.evaluate(_ENGINE)  # in the page's own thread, whose time can be told
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

            webcam, network = milliseconds(*WEBCAM), milliseconds(classifier.image_size, classifier.image_size)
            page.close()
            live = _live(browser, address, config.seconds)
        return {
            "single file, MiB": single.stat().st_size / 2**20,
            "webcam image, ms": webcam,
            "network alone, ms": network,
            "webcam images per second": live,
        }


def _live(browser: Any, address: str, seconds: float) -> dict[str, Any]:
    """Images per second that the page reaches with all its workers, every second once it is at work."""
    page = browser.new_page()
    page.goto(address)
    page.get_by_role("button", name="Start webcam").click()
    note = page.locator("#live .soft", has_text="images per second")
    note.wait_for()
    page.wait_for_timeout(4000)
    rates = []
    for _ in range(int(seconds)):
        page.wait_for_timeout(1000)
        rates.append(float(note.inner_text().split()[0]))
    page.close()
    return summary(rates)


def _seconds(session: Any) -> float:
    """Processor time of the page's thread so far."""
    found = {one["name"]: one["value"] for one in session.send("Performance.getMetrics")["metrics"]}
    return float(found["ThreadTime"])


def run(config: SharedPageConfig) -> None:
    """Measure, write and print."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=config.browser, args=_FLAGS)
        results = {model: measure(browser, model, config) for model in config.models}
        browser.close()
    write_result(config.out, config=config, seed=0, results=results)
    for model, found in results.items():
        print(model)
        for name, value in found.items():
            print(f"  {name:30} {value['mean'] if isinstance(value, dict) else value:10.4g}")


if __name__ == "__main__":
    run(parse("python -m benchmarks.shared_page", SharedPageConfig, sys.argv[1:], description=__doc__ or ""))
