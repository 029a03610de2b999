"""The tab Compare in a real browser."""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING

import pytest

from tests.app.browsing import seen
from tests.extras import needs_browser

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = needs_browser


def test_compare(visit, keep):
    page = visit()
    page.get_by_role("tab", name="Compare").click()
    page.get_by_label("letters").check()
    count = page.get_by_role("spinbutton", name="Episodes")
    count.fill("20")
    count.press("Enter")
    page.get_by_role("button", name="Compare", exact=True).click()
    seen(page.get_by_text("20 of 20 episodes"))
    learners = page.locator("input[type=checkbox]:checked:visible").count()
    assert learners >= 7
    seen(page.locator(".results tbody tr"), learners)
    rows = page.locator(".results tbody tr").all_inner_texts()
    assert any(row.startswith("general-small") for row in rows)
    assert "best" in rows[0]
    keep(page, "compare", 820)


def test_a_comparison_that_cannot_be_run_says_that_it_stopped(visit):
    page = visit()
    page.get_by_role("tab", name="Compare").click()
    page.get_by_label("a zip file of folders").check()
    page.get_by_role("button", name="Compare", exact=True).click()
    seen(page.get_by_text("Stopped: drop a zip file first"))
    page.get_by_role("button", name="Stop").click()
    seen(page.get_by_text("Stopped: drop a zip file first"))


def compare_letters(page: Page, episodes: int) -> None:
    page.get_by_role("tab", name="Compare").click()
    page.get_by_label("letters").check()
    count = page.get_by_role("spinbutton", name="Episodes")
    count.fill(str(episodes))
    count.press("Enter")
    page.get_by_role("button", name="Compare", exact=True).dispatch_event("click")
    seen(page.get_by_text(re.compile(f"of {episodes} episodes")))


@pytest.mark.slow
def test_nobody_waits_for_the_end_of_anothers_comparison(visit):
    one, other = visit(), visit()
    compare_letters(one, 2000)
    compare_letters(other, 10)
    seen(other.get_by_text("10 of 10 episodes"))
    other.get_by_role("tab", name="Ask").click()
    other.get_by_label("Question", exact=True).fill("How many things are there?")
    other.get_by_role("button", name="Ask", exact=True).click()
    seen(other.get_by_text("the true answer is 5"))
    assert int(one.locator("progress").get_attribute("value")) < 2000
    one.get_by_role("button", name="Stop").click()
    seen(one.get_by_text("Stopped: "))
    compare_letters(one, 10)  # the one that was stopped is out of the way
    seen(one.get_by_text("10 of 10 episodes"))


@pytest.mark.slow
def test_stop_a_comparison(visit):
    page = visit()
    compare_letters(page, 2000)
    page.get_by_role("button", name="Stop").click()
    seen(page.get_by_text(re.compile(r"Stopped: \d+ of 2000 episodes")))
    time.sleep(2)
    reached = page.locator("progress").get_attribute("value")
    time.sleep(2)
    assert page.locator("progress").get_attribute("value") == reached
    assert 0 < int(reached) < 2000
