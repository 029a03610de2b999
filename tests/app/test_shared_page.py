"""The page that a classifier is shared as, in a browser, against Python."""

from __future__ import annotations

import base64
import io
import os
import threading
from collections.abc import Callable, Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image, ImageFilter

from fewshot_film.classifier import FewShotClassifier
from fewshot_film.classifier.web_runtime import WebRuntimeError, web_runtime
from fewshot_film.data import open_source
from fewshot_film.data.photos import photos_folder
from tests.extras import needs_browser

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = needs_browser

PATIENCE = 120_000
CLASSIFY = """async ([name, data]) => {
    const page = await import("./page.js");
    await page.ready;
    const bytes = Uint8Array.from(atob(data), (letter) => letter.charCodeAt(0));
    const { probabilities, nearest } = await page.classifyFile(new File([bytes], name));
    return { probabilities, nearest };
}"""


@pytest.fixture(scope="module")
def engine() -> None:
    try:
        web_runtime()
    except WebRuntimeError as error:
        pytest.skip(f"ONNX RUNTIME WEB IS NOT THERE: the shared page goes untested; {error}")


class Quiet(SimpleHTTPRequestHandler):
    """A static host that says nothing."""

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def host() -> Iterator[Callable[[Path], str]]:
    servers = []

    def serve(folder: Path) -> str:
        server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder)))
        servers.append(server)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        return f"http://127.0.0.1:{server.server_port}/"

    yield serve
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.fixture
def visit(browser: Browser) -> Iterator[Callable[..., Page]]:
    """Opens an address; a request to any other one, or an error in the page, fails the test."""
    contexts, wrong = [], []

    def open_page(address: str, **options: Any) -> Page:
        context = browser.new_context(viewport={"width": 1280, "height": 900}, **options)
        context.set_default_timeout(PATIENCE)
        allowed = (address, "data:", "blob:")
        context.on("request", lambda request: None if request.url.startswith(allowed) else wrong.append(request.url))
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("console", lambda line: wrong.append(line.text) if line.type == "error" else None)
        page.goto(address)
        page.locator("#status").wait_for(state="hidden")
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert wrong == []


def smooth(width: int, height: int, seed: int) -> Image.Image:
    """Blotches, as images that are compressed well have."""
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    blurred = np.asarray(Image.fromarray(pixels).filter(ImageFilter.GaussianBlur(4)), dtype=float)
    return Image.fromarray(((blurred - 128) * 6 + 128).clip(0, 255).astype(np.uint8))


def photo(index: int) -> Image.Image:
    source = open_source("folder", photos_folder() / "labelled")
    return source.load(index).convert("RGB")


def encoded(image: Image.Image, kind: str, **options: Any) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def odd_files() -> dict[str, bytes]:
    """Image files of many sizes, shapes and modes."""
    turned = Image.Exif()
    turned[0x0112] = 6
    half = smooth(201, 77, 4)
    half.putalpha(Image.linear_gradient("L").resize(half.size))
    palette = smooth(90, 130, 5).quantize(16)
    return {
        "narrow.png": encoded(smooth(37, 411, 0), "PNG"),
        "wide.png": encoded(smooth(1203, 65, 1), "PNG"),
        "tiny.png": encoded(smooth(3, 2, 2), "PNG"),
        "blotches.jpg": encoded(smooth(125, 83, 3), "JPEG", quality=85),
        "photo.jpg": encoded(photo(0).resize((645, 483)), "JPEG", quality=85),
        "large.jpg": encoded(photo(9).resize((1611, 1209)), "JPEG", quality=92),
        "turned.jpg": encoded(photo(5).resize((333, 222)), "JPEG", exif=turned, quality=90),
        "half.png": encoded(half, "PNG"),
        "palette.png": encoded(palette, "PNG", transparency=3),
        "grey.png": encoded(smooth(99, 101, 7).convert("L"), "PNG"),
        "grey.jpg": encoded(photo(17).resize((257, 259)).convert("L"), "JPEG"),
        "exact.png": encoded(smooth(224, 224, 9), "PNG"),
        "lossy.webp": encoded(smooth(301, 299, 10), "WEBP", quality=80),
    }


def photos_classifier(model: str, **parameters: Any) -> FewShotClassifier:
    source = open_source("folder", photos_folder() / "labelled")
    images = [source.load(index) for index in range(len(source))]
    return FewShotClassifier.from_pretrained(model, device="cpu", **parameters).fit(
        images, [source.class_names[label] for label in source.labels]
    )


def check_equal(page: Page, classifier: FewShotClassifier, files: dict[str, bytes]) -> None:
    """The same to 1e-3 as of the decoded images; of the bytes of a large JPEG, Python decodes a reduced size."""
    for name, data in files.items():
        found = page.evaluate(CLASSIFY, [name, base64.b64encode(data).decode()])
        expected = classifier.answer([Image.open(io.BytesIO(data))])
        np.testing.assert_allclose(found["probabilities"], expected.probabilities[0], atol=1e-3, err_msg=name)
        np.testing.assert_allclose(found["nearest"], expected.distances[0].min(), rtol=2e-3, err_msg=name)


@pytest.mark.parametrize(
    ("model", "resize"), [("photos-small", "crop"), ("general-small", "stretch"), ("general-small", "pad")]
)
def test_answers_equal_pythons(engine, host, visit, tmp_path, model, resize):
    classifier = photos_classifier(model, resize=resize)
    page = visit(host(classifier.export_page(tmp_path / "page")))
    check_equal(page, classifier, odd_files())


def add_files(page: Page, files: dict[str, bytes]) -> None:
    payload = [{"name": name, "mimeType": "image/png", "buffer": data} for name, data in files.items()]
    page.locator("input[type=file]").set_input_files(payload)


@pytest.mark.slow
def test_one_file_opens_without_a_server(engine, visit, tmp_path):
    from playwright.sync_api import expect

    classifier = photos_classifier("general-small")
    path = classifier.export_page(tmp_path / "pets & <b>co</b>.html", title="Pets & <b>co</b>")
    page = visit(path.as_uri())
    expect(page.get_by_role("heading", level=1)).to_have_text("Pets & <b>co</b>")
    expect(page.get_by_text("6 classes learned from 24 images")).to_be_visible()
    stranger = encoded(Image.new("RGB", (70, 50), (255, 0, 255)), "PNG")
    member = encoded(photo(4), "PNG")
    add_files(page, {"stranger.png": stranger, "member.png": member, "text.png": b"no image"})
    cards = page.locator("#answers li")
    expect(cards).to_have_count(3, timeout=PATIENCE)
    page.get_by_label("None of these").fill("0.3")
    answers = classifier.answer([stranger, member], reject=0.3)
    assert answers.labels[0] is None
    expect(cards.nth(2).locator("h2")).to_have_text(f"none of these ({answers.relative_distances[0]:.1f} ×)")
    expect(cards.nth(1).locator("h2")).to_have_text(
        f"{answers.labels[1]}, {100 * answers.probabilities[1].max():.1f} %"
    )
    widths = cards.nth(1).locator(".track div").evaluate_all("bars => bars.map((bar) => parseFloat(bar.style.width))")
    np.testing.assert_allclose(widths, 100 * np.sort(answers.probabilities[1])[::-1][: len(widths)], atol=0.1)
    expect(cards.nth(0)).to_have_text("text.png is not an image that this browser reads")

    page.get_by_label("None of these").fill("0")  # rejects nothing
    best = classifier.classes_[answers.probabilities[0].argmax()]
    expect(cards.nth(2).locator("h2")).to_have_text(f"{best}, {100 * answers.probabilities[0].max():.1f} %")


@pytest.mark.slow
def test_names_are_text(engine, host, visit, tmp_path):
    from playwright.sync_api import expect

    names = ["<img src=x onerror=alert(1)>", "[x](javascript:alert(1))", "x" * 60]
    images = np.random.default_rng(0).integers(0, 256, (6, 40, 50, 3), dtype=np.uint8)
    classifier = FewShotClassifier.from_pretrained("general-small", device="cpu").fit(images, names * 2)
    page = visit(host(classifier.export_page(tmp_path / "page")))
    add_files(page, {"one.png": encoded(Image.fromarray(images[0]), "PNG")})
    for name in names:
        expect(page.locator("#answers .name", has_text=name)).to_be_visible()
    assert page.locator("#answers img, #answers a").count() == 0


@pytest.mark.parametrize(("width", "scheme"), [(390, "dark"), pytest.param(1280, "light", marks=pytest.mark.slow)])
def test_it_fits_a_phone_and_the_dark(engine, host, visit, tmp_path, width, scheme):
    classifier = photos_classifier("general-small")
    address = host(classifier.export_page(tmp_path / "page", title="A title of " + "many" * 20))
    page = visit(address, color_scheme=scheme)
    page.set_viewport_size({"width": width, "height": 844})
    page.get_by_role("button", name="Start webcam").click()
    page.locator("#live h2").wait_for()
    add_files(page, {f"{index}.png": encoded(photo(index), "PNG") for index in (0, 8)})
    page.locator("#answers .name").nth(7).wait_for()
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    light = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (light == "rgb(255, 255, 255)") == (scheme == "light")
    assert page.evaluate("document.querySelector('#live h2').getBoundingClientRect().bottom") < 844  # above the fold
    keep = Path(os.environ.get("FEWSHOT_FILM_SCREENSHOTS", tmp_path)) / f"shared-{scheme}.png"
    page.screenshot(path=keep)
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="AXE IS NOT INSTALLED").Axe()
    found = axe.run(page, options={"runOnly": ["wcag2a", "wcag2aa"]}).response["violations"]
    assert [one["id"] for one in found if one["impact"] in ("serious", "critical")] == []


@pytest.mark.slow
@pytest.mark.parametrize("model", ["general-small", "photos-small"])
def test_the_webcam_is_answered_live(engine, host, visit, tmp_path, model):
    from playwright.sync_api import expect

    page = visit(host(photos_classifier(model).export_page(tmp_path / "page")))
    page.get_by_role("button", name="Start webcam").click()
    note = page.locator("#live .soft", has_text="images per second")
    note.wait_for()
    page.wait_for_timeout(3000)
    rate = float(note.inner_text().split()[0])
    print(f"{model}: {rate} images per second")
    assert rate > 1
    assert len(page.workers) == min(4, page.evaluate("navigator.hardwareConcurrency"))
    page.get_by_role("button", name="Stop webcam").click()
    expect(page.locator("#live")).to_be_hidden()
