"""What a person does with the page, and sees there."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

if TYPE_CHECKING:
    from playwright.sync_api import Dialog, Locator, Page

PATIENCE = 90_000
"""Milliseconds; machines that test are busy."""


def answer(page: Page, dialog: Dialog) -> None:
    """Answers a question of the page's, by default with yes."""
    page.questions.append(dialog.message)
    if getattr(page, "agrees", True):
        dialog.accept()
    else:
        dialog.dismiss()


def shades(folder: Path, name: str, color: tuple[int, int, int], count: int) -> list[Path]:
    """Images of nearly one colour."""
    paths = []
    for number in range(count):
        pixels = np.random.default_rng(number).normal(color, 12, (40 + number, 50, 3)).clip(0, 255).astype(np.uint8)
        paths.append(folder / f"{name}{number}.png")
        Image.fromarray(pixels).save(paths[-1])
    return paths


def drop(zone: Locator, files: list[Path]) -> None:
    zone.locator("input[type=file]").set_input_files([str(file) for file in files])


def card(page: Page, name: str) -> Locator:
    return page.locator(".card", has_text=f"Drop images of {name} here")


def add_class(page: Page, name: str, files: list[Path]) -> None:
    page.get_by_placeholder("class name").fill(name)
    page.get_by_role("button", name="Add class").click()
    drop(card(page, name), files)
    seen(card(page, name).locator(".image-list img"), len(files))


def seen(what: Locator, count: int | None = None) -> None:
    from playwright.sync_api import expect

    if count is None:
        expect(what.first).to_be_visible(timeout=PATIENCE)
    else:
        expect(what).to_have_count(count, timeout=PATIENCE)


def holds(field: Locator, value: str) -> None:
    from playwright.sync_api import expect

    expect(field).to_have_value(value, timeout=PATIENCE)


def lacks(where: Locator, text: str) -> None:
    from playwright.sync_api import expect

    expect(where).not_to_contain_text(text, timeout=PATIENCE)


def captions(page: Page) -> Locator:
    """What is written under the queries."""
    return page.locator(".queries .caption-label")


def chosen(page: Page) -> list[int]:
    """Places of the queries that are shown as selected."""
    buttons = page.locator(".queries button[aria-pressed]").all()
    return [place for place, button in enumerate(buttons) if button.get_attribute("aria-pressed") == "true"]


def answers(page: Page, count: int) -> list[str]:
    seen(captions(page), count)
    return captions(page).all_inner_texts()


def answered(page: Page, texts: list[str]) -> None:
    from playwright.sync_api import expect

    expect(captions(page)).to_have_text(texts, timeout=PATIENCE)


def until(holds: Callable[[], bool], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.2)


def download(page: Page, button: str, folder: Path) -> Path:
    with page.expect_download(timeout=PATIENCE) as expected:
        page.get_by_role("button", name=button).click()
    path = folder / expected.value.suggested_filename
    expected.value.save_as(path)
    return path
