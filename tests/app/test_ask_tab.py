"""The tab Ask, as it is opened, and what goes wrong in it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from clevr.app.ask_tab import FIRST
from clevr.app.asking import HEIGHT, SPLIT, WIDTH, truth_of
from clevr.world.placement import SceneConfig, Scenes
from tests.app.conftest import Served
from tests.extras import needs_browser

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = needs_browser

PATIENCE = 90_000


@pytest.fixture
def page(served: Served, browser: Browser) -> Iterator[Page]:
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    context.set_default_timeout(PATIENCE)
    page = context.new_page()
    page.goto(served.address)
    page.get_by_role("tab", name="Ask").click()
    yield page
    context.close()


def ask(page: Page, text: str) -> None:
    page.get_by_label("Question", exact=True).fill(text)
    page.get_by_role("button", name="Ask", exact=True).click()


def test_it_opens_with_a_scene_and_answers_and_takes_mistakes_without_error_boxes(page: Page, tmp_path):
    from playwright.sync_api import expect

    seed, count = FIRST
    expect(page.locator(".said h3")).to_be_visible()
    for name in ("scene", "why", "film"):
        expect(page.locator(f".{name} img").first).to_be_visible()
    expect(page.locator(".virtual-row:visible").nth(3)).to_be_visible()

    labels = (
        "() => [...document.querySelectorAll('.progress-text, .meta-text')].filter((one) => one.offsetParent).length"
    )
    page.evaluate(f"window.most = 0; setInterval(() => window.most = Math.max(window.most, ({labels})()), 10)")
    scene = Scenes(seed, SPLIT, SceneConfig(min_objects=count, max_objects=count), WIDTH, HEIGHT)[0]
    grey = "How many grey things are the same colour as the large thing?"
    for text in ("How many grey things are there?", grey):
        ask(page, text)
        truth = truth_of(text.replace("grey", "gray").replace("colour", "color"), scene)
        expect(page.locator(".prose.said")).to_contain_text(truth, timeout=PATIENCE)
        expect(page.locator(".prose.said")).not_to_contain_text("unknown words")
    assert page.evaluate("window.most") <= 1  # one label says that it is at work

    ask(page, "Is the zebra [x](javascript:alert(1)) red?")
    expect(page.locator(".said h3")).to_have_text(re.compile("^unknown words: zebra, "), timeout=PATIENCE)
    expect(page.locator(".said em")).to_contain_text(" %")
    assert page.locator(".said a").count() == 0

    ask(page, "flibbertigibbet")
    expect(page.get_by_test_id("toast-body").first).to_contain_text("the model knows no word", timeout=PATIENCE)
    assert page.locator(".error:visible").count() == 0
    expect(page.locator(".scene img").first).to_be_visible()
    page.screenshot(path=tmp_path / "ask.png", full_page=True)


def test_a_phone_shows_the_answer_above_the_fold(served: Served, browser: Browser):
    context = browser.new_context(viewport={"width": 390, "height": 844})
    context.set_default_timeout(PATIENCE)
    page = context.new_page()
    page.goto(served.address)
    page.get_by_role("tab", name="Ask").click()
    said = page.locator(".prose.said h3")
    said.wait_for()
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    box = said.bounding_box()
    assert box["y"] + box["height"] < 844
    context.close()
