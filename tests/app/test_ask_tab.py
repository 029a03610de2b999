"""The tab Ask, as it is opened, and what goes wrong in it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
import pytest

from clevr.app.ask_tab import FIRST
from clevr.app.asking import HEIGHT, SPLIT, WIDTH, truth_of
from clevr.world.placement import SceneConfig, Scenes
from clevr.world.render import object_ids
from tests.app.browsing import PATIENCE, drop, holds, lacks, seen, shades, until
from tests.app.conftest import Served
from tests.extras import needs_browser

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Locator, Page

pytestmark = needs_browser


@pytest.fixture
def page(served: Served, browser: Browser) -> Iterator[Page]:
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    context.set_default_timeout(PATIENCE)
    page = context.new_page()
    page.goto(served.address)
    page.get_by_role("tab", name="Ask").click()
    yield page
    context.close()


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


@pytest.mark.slow
def test_ask(visit):
    page = visit()
    page.get_by_role("tab", name="Ask").click()
    make_scene(page, 11)
    seen(page.locator(".said", has_text="the true answer is"))
    seen(page.locator(".why img"))
    seen(page.locator(".film img"))
    ask(page, "How many things are there?")
    seen(page.locator(".said", has_text=re.compile("the true answer is 5")))


@pytest.mark.slow
def test_ask_about_changed_scenes_and_own_images(visit, keep, tmp_path):
    page = visit()
    page.get_by_role("tab", name="Ask").click()
    make_scene(page, 11)
    seen(page.locator(".said", has_text="the true answer is"))

    ask(page, "How many things are there?")
    seen(page.locator(".said", has_text=re.compile("the true answer is 5")))
    cells = page.locator(".virtual-row:visible").first.get_by_role("gridcell")
    suggested, truth, *_ = (text.strip() for text in cells.all_inner_texts())
    assert truth != "5"
    cells.first.click()
    holds(question(page), suggested)
    seen(page.locator(".said", has_text=f"the true answer is {truth}"))

    ask(page, "How many things are there?")
    seen(page.locator(".said", has_text=re.compile("the true answer is 5")))
    choose_an_object(page, 11)
    page.get_by_role("button", name="Remove").click()
    seen(page.locator(".said", has_text=re.compile("the true answer is 4")))
    seen(page.locator(".said", has_text=re.compile(r"before the change: .* \(true: 5\)")))
    seen(page.get_by_role("columnheader", name="true before"))
    keep(page, "ask", 1640)
    page.get_by_role("button", name="Undo").click()
    seen(page.locator(".said", has_text=re.compile("the true answer is 5")))

    page.get_by_label("Object (click on it").click()
    option = page.get_by_role("option").first
    was = option.inner_text()
    option.click()
    color = "purple" if "purple" not in was else "cyan"
    page.get_by_label("Colour").click()
    page.get_by_role("option", name=color, exact=True).click()  # the list of objects may still be closing
    ask(page, f"Are there any {color} things?")
    seen(page.locator(".said", has_text=re.compile("the true answer is (yes|no)")))
    page.get_by_role("button", name="Recolour").click()
    seen(page.locator(".said", has_text=re.compile(r"before the change: (yes|no)")))
    seen(page.locator(".said", has_text=re.compile("the true answer is yes")))

    own = shades(tmp_path, "own", (120, 120, 120), 1)
    drop(page.locator(".drop", has_text="Or drop an image of your own"), own)
    seen(page.locator(".virtual-row:visible"), 0)
    ask(page, "How many things are there?")
    lacks(page.locator(".said").first, "true answer")
    seen(page.locator(".said h3"))


def make_scene(page: Page, seed: int) -> None:
    page.get_by_label("Seed").fill(str(seed))
    page.get_by_label("Seed").press("Enter")
    seen(page.locator(".scene img"))
    cells = page.locator(".virtual-row:visible").first.get_by_role("gridcell")
    holds(question(page), cells.first.inner_text().strip())  # the first that is suggested


def question(page: Page) -> Locator:
    return page.get_by_label("Question", exact=True)


def ask(page: Page, text: str) -> None:
    question(page).fill(text)
    page.get_by_role("button", name="Ask", exact=True).click()


def choose_an_object(page: Page, seed: int) -> None:
    """A click on the middle of the largest object of a scene of five."""
    scene = Scenes(seed, SPLIT, SceneConfig(min_objects=5, max_objects=5), WIDTH, HEIGHT)[0]
    ids = object_ids([scene], WIDTH, HEIGHT)[0].numpy()
    largest = np.bincount(ids[ids >= 0]).argmax()
    rows, columns = np.nonzero(ids == largest)
    image = page.locator(".scene img")
    box = image.bounding_box()
    scale = min(box["width"] / WIDTH, box["height"] / HEIGHT)  # the image keeps its proportions within its frame
    left, top = (box["width"] - scale * WIDTH) / 2, (box["height"] - scale * HEIGHT) / 2
    image.click(position={"x": left + scale * np.median(columns), "y": top + scale * np.median(rows)})
    until(lambda: page.get_by_label("Object (click on it").input_value() != "", seconds=PATIENCE / 1000)
