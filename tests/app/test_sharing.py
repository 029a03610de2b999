"""From the webcam to a page that somebody else opens: the whole way in a real browser."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.app.browsing import card, download, seen
from tests.app.recording import THINGS, wait_for_thing
from tests.app.test_shared_page import engine
from tests.app.test_webcam import record_class
from tests.extras import needs_browser

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = needs_browser

__all__ = ["engine"]  # a fixture

PATIENCE = 180_000
"""Milliseconds: each thing is before the webcam once in 30 seconds."""


@pytest.mark.slow
def test_three_things_are_taught_by_webcam_and_shared(
    engine: None, visit: Callable[[], Page], browser: Browser, tmp_path: Path
) -> None:
    page = visit()
    for name in THINGS:
        page.get_by_placeholder("class name").fill(name)
        page.get_by_role("button", name="Add class").click()
        seen(card(page, name))
    page.get_by_role("button", name="Start webcam").click()
    for name in THINGS:
        record_class(page, name, images=3)
    seen(page.get_by_text("Adapted to 3 classes"))
    wait_for_thing(page, "red disk")
    seen(page.locator("#live h3").filter(has_text=re.compile("^red disk, [0-9.]+ %$")))
    page.get_by_role("button", name="Stop webcam").click()
    shared = download(page, "Share as a web page", tmp_path)
    assert shared.name == "classifier.html"
    page.close()
    check_live(browser, shared)


def check_live(browser: Browser, shared: Path) -> None:
    """Another person opens the file, without a server, and sees each thing named."""
    from playwright.sync_api import expect

    context = browser.new_context()
    asked: list[str] = []
    context.on("request", lambda request: asked.append(request.url))
    page = context.new_page()
    page.goto(shared.as_uri())
    page.locator("#status").wait_for(state="hidden", timeout=PATIENCE)
    page.get_by_label("None of these").fill("0")
    page.get_by_role("button", name="Start webcam").click()
    for name in THINGS:
        expect(page.locator("#live h2")).to_have_text(re.compile(f"^{name}, "), timeout=PATIENCE)
    expect(page.locator("#live .soft")).to_have_text(re.compile("images per second"))
    context.close()
    assert [url for url in asked if not url.startswith((shared.as_uri(), "blob:", "data:"))] == []
