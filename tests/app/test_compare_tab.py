"""The tab Compare in a real browser."""

from __future__ import annotations

import re
import time

import pytest

from tests.app.browsing import seen
from tests.extras import needs_browser

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


@pytest.mark.slow
def test_stop_a_comparison(visit):
    page = visit()
    page.get_by_role("tab", name="Compare").click()
    page.get_by_label("letters").check()
    count = page.get_by_role("spinbutton", name="Episodes")
    count.fill("2000")
    count.press("Enter")
    page.get_by_role("button", name="Compare", exact=True).dispatch_event("click")
    seen(page.get_by_text(re.compile("of 2000 episodes")))
    page.get_by_role("button", name="Stop").click()
    seen(page.get_by_text(re.compile(r"Stopped: \d+ of 2000 episodes")))
    time.sleep(2)
    reached = page.locator("progress").get_attribute("value")
    time.sleep(2)
    assert page.locator("progress").get_attribute("value") == reached
    assert 0 < int(reached) < 2000
