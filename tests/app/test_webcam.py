"""Teaching by webcam: in a real browser whose webcam shows three things, and without one."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from fewshot_film.app.taught import TeachingError
from fewshot_film.app.teaching import Teaching
from fewshot_film.app.webcam import decode_frame, live_html
from fewshot_film.classifier import FewShotClassifier
from fewshot_film.images import ImageError
from fewshot_film.page import Limits, UploadError
from tests.app.browsing import card, seen, until
from tests.app.recording import THINGS, _frame, wait_for_thing
from tests.classifier.small import film_learner
from tests.extras import needs_browser

if TYPE_CHECKING:
    from playwright.sync_api import Page


def data_url(name: str, number: int = 0) -> str:
    return "data:image/jpeg;base64," + base64.b64encode(_frame(name, number)).decode()


@pytest.fixture
def teaching(tmp_path: Path) -> Teaching:
    return Teaching(FewShotClassifier(film_learner(), device="cpu"), tmp_path, Limits())


def test_what_is_recorded_belongs_to_the_class_when_the_button_is_released(teaching):
    groups = [teaching.add_class(name) for name in THINGS]
    for group in groups:
        for number in range(3):
            said = live_html(teaching, data_url(group.name, number), group.number)
            assert f"Recording {group.name}" in said
            assert group.images == []
        assert "3 images" in said
        live_html(teaching, data_url(group.name, 4), 0)
        assert len(teaching.groups[group.number].images) == 3
    before = len(list(teaching.folder.iterdir()))
    teaching.set_reject(0)
    for name in THINGS:
        assert live_html(teaching, data_url(name, 1), 0).startswith(f"<h3>{name}, ")
    assert len(list(teaching.folder.iterdir())) == before == 9  # nothing is kept of what is only looked at
    teaching.undo()
    teaching.undo()
    assert [len(group.images) for group in teaching.groups.values()] == [3, 3, 0]


def test_a_recording_ends_with_another_class_and_with_the_webcam(teaching):
    first, second = teaching.add_class("a"), teaching.add_class("b")
    live_html(teaching, data_url("red disk"), first.number)
    live_html(teaching, data_url("green square"), second.number)
    assert len(first.images) == 1
    teaching.add_class("c")  # thumbnails of the recording stay
    assert live_html(teaching, "", 0) == ""
    assert len(second.images) == 1
    assert all(image.thumbnail.is_file() for image in second.images)
    live_html(teaching, data_url("red disk"), first.number)
    teaching.remove_class(first.number)
    live_html(teaching, "", 0)
    with pytest.raises(TeachingError, match="no longer exists"):
        live_html(teaching, data_url("red disk"), first.number)


def test_bad_frames_are_refused():
    assert decode_frame("data:image/jpeg;base64,AAAA", 3) == b"\0\0\0"
    for wrong in ("data:image/png;base64,AAAA", "", "data:image/jpeg;base64," + "A" * 12):
        with pytest.raises(UploadError, match="no JPEG data URL of at most"):
            decode_frame(wrong, 3)
    with pytest.raises(UploadError, match="not base64"):
        decode_frame("data:image/jpeg;base64,A", 3)


def test_damaged_frames_are_told(teaching):
    with pytest.raises(ImageError):
        live_html(teaching, "data:image/jpeg;base64,AAAA", 0)


def record_class(page: Page, name: str, images: int) -> None:
    """Hold the button of a class while the webcam shows the thing, until there are some images."""
    wait_for_thing(page, name)
    page.locator(".card", has_text=f"Drop images of {name} here").get_by_role("button", name="Hold to record").hover()
    page.mouse.down()
    live = page.locator("#live")
    seen(live.get_by_text(f"Recording {name}"))
    until(lambda: (found := re.search(r"(\d+) image", live.inner_text())) is not None and int(found[1]) >= images)
    page.mouse.up()
    seen(card(page, name).locator(".image-list img"))


@needs_browser
@pytest.mark.slow
def test_teach_three_things_by_webcam_and_see_live_answers(visit: Callable[[], Page]):
    page = visit()
    for name in THINGS:
        page.get_by_placeholder("class name").fill(name)
        page.get_by_role("button", name="Add class").click()
        seen(card(page, name))
    page.get_by_role("button", name="Start webcam").click()
    seen(page.locator("#live").get_by_text("Add images to two classes"))
    for name in THINGS:
        record_class(page, name, images=3)
    seen(page.get_by_text("Adapted to 3 classes"))
    for name in THINGS:
        wait_for_thing(page, name)
        seen(page.locator("#live h3").filter(has_text=re.compile(f"^{name}, [0-9.]+ %$")))
    page.get_by_role("button", name="Keep this image").click()
    seen(page.locator(".queries img"), 1)
    page.get_by_role("button", name="Stop webcam").click()
    seen(page.locator("#live h3"), 0)
