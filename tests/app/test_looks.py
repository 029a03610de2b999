"""How the page looks: every state on a desktop and a phone, in light and dark, and to those who hear it.

``FEWSHOT_FILM_STATES`` names a folder for the screenshots.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from tests.app.browsing import answers, drop, seen, shades
from tests.data.layouts import pack, png
from tests.extras import needs_browser

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = needs_browser

_OVERFULL = """() => [...document.querySelectorAll("button.sm, button.lg")]
    .filter((button) => button.offsetParent && button.innerText && button.scrollWidth > button.clientWidth + 1)
    .map((button) => button.innerText)"""
"""Buttons whose text is wider than they are."""
DESKTOP, PHONE = (1400, 900), (390, 844)


@pytest.fixture
def check(tmp_path: Path) -> Callable[[Page, str], None]:
    """Looks at a state of the page: nothing is wider than the screen, and axe-core finds nothing serious."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright")
    folder = Path(os.environ.get("FEWSHOT_FILM_STATES", tmp_path))
    folder.mkdir(parents=True, exist_ok=True)

    def look(page: Page, name: str) -> None:
        page.wait_for_timeout(1500)  # what fades in is there
        path = folder / f"{name}.png"
        page.screenshot(path=path)
        assert np.asarray(Image.open(path).convert("L")).std() > 5
        assert page.evaluate("document.documentElement.scrollWidth") <= page.viewport_size["width"]
        assert page.evaluate(_OVERFULL) == []
        found = axe.Axe().run(page).response["violations"]
        serious = [
            (one["id"], [node["html"][:200] for node in one["nodes"]])
            for one in found
            if one["impact"] in ("serious", "critical")
        ]
        assert serious == []

    return look


@pytest.mark.parametrize(
    ("scheme", "size"),
    [
        pytest.param("light", DESKTOP, id="light-desktop", marks=pytest.mark.slow),
        pytest.param("light", PHONE, id="light-phone", marks=pytest.mark.slow),
        pytest.param("dark", DESKTOP, id="dark-desktop", marks=pytest.mark.slow),
        pytest.param("dark", PHONE, id="dark-phone"),
    ],
)
def test_every_state_fits_and_can_be_read(visit, check, size, scheme):
    page = visit(*size, scheme)
    where = f"{size[0]}-{scheme}"
    check(page, f"teach-start-{where}")
    page.get_by_role("button", name="Example: photos").click()
    seen(page.get_by_text("Adapted to 6 classes and 24 images"))
    answers(page, 7)
    check(page, f"teach-taught-{where}")
    heading = page.locator(".verdict h3").bounding_box()
    assert heading["y"] + heading["height"] < size[1]  # the answer is seen without scrolling
    page.locator(".queries button[aria-pressed]").last.click()
    seen(page.get_by_role("heading", name="None of these"))
    check(page, f"teach-none-{where}")
    page.get_by_role("button", name="Start webcam").click()
    seen(page.locator("#live h3"))
    check(page, f"teach-webcam-{where}")
    page.get_by_role("button", name="Stop webcam").click()

    page.get_by_role("tab", name="Ask").click()
    seen(page.locator(".scene img"))
    seen(page.locator(".said h3"))
    seen(page.locator(".film img"))
    check(page, f"ask-{where}")
    page.get_by_role("tab", name="Compare").click()
    check(page, f"compare-start-{where}")
    page.get_by_label("my classes from Teach").check()
    episodes = page.get_by_role("spinbutton", name="Episodes")
    episodes.fill("10")
    episodes.press("Enter")
    page.get_by_role("button", name="Compare", exact=True).click()
    seen(page.get_by_text("10 of 10 episodes"))
    page.locator(".results").scroll_into_view_if_needed()
    check(page, f"compare-done-{where}")
    for head in page.locator(".results th").all():  # no header is broken letter by letter
        assert head.evaluate("head => head.scrollWidth <= head.clientWidth + 1")


@pytest.mark.slow
def test_a_page_that_becomes_narrower_fits_again(visit):
    page = visit(*DESKTOP)
    page.get_by_role("button", name="Example: letters").click()
    answers(page, 6)
    for tab in ("Teach", "Ask", "Compare"):
        page.set_viewport_size({"width": DESKTOP[0], "height": DESKTOP[1]})
        page.get_by_role("tab", name=tab).click()
        page.wait_for_timeout(2000)
        page.set_viewport_size({"width": PHONE[0], "height": PHONE[1]})
        page.wait_for_timeout(2000)
        assert page.evaluate("document.documentElement.scrollWidth") <= PHONE[0], tab


@pytest.mark.slow
@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_many_classes_with_long_names_keep_the_layout(visit, check, size, tmp_path):
    page = visit(*size)
    files = {}
    for label in range(40):
        long = "x" * 58 if label % 2 else " a name of several words that is as long as names may be"
        name = f"{label:02d}{long[:58]}"
        for number in range(5):
            pixels = np.random.default_rng(5 * label + number).integers(0, 256, (24, 24, 3)).astype(np.uint8)
            files[f"{name}/{number}.png"] = png(Image.fromarray(pixels))
    page.get_by_role("button", name="Load a classifier").click()
    drop(page.locator(".drop", has_text="Drop a saved classifier"), [pack(tmp_path / "many.zip", files)])
    seen(page.get_by_text("Adapted to 40 classes and 200 images"))
    drop(page.locator(".answers .drop").first, shades(tmp_path, "query", (90, 120, 90), 4))
    answers(page, 4)
    seen(page.locator(".verdict").get_by_text(re.compile(r"and 34 more, together")))
    check(page, f"teach-many-{size[0]}")


def test_a_class_is_taught_and_asked_about_by_keyboard_alone(visit):
    page = visit()
    page.get_by_role("button", name="Example: letters").focus()
    page.keyboard.press("Enter")
    answers(page, 6)
    queries = page.locator(".queries button[aria-pressed]")
    queries.first.focus()
    for _ in range(2):  # past the first one's cross, to the second
        page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    seen(page.locator(".verdict h3").filter(has_text="letter B"))
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")  # its cross
    answers(page, 5)
    page.get_by_role("button", name="Undo").focus()
    page.keyboard.press("Space")
    answers(page, 6)
