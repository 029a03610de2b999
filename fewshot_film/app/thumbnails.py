"""Lists of thumbnails, of which each can be chosen or removed, by mouse, finger and keyboard."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape
from typing import Any
from urllib.parse import quote

import gradio as gr

from fewshot_film.app.images import PageImage

CHOOSE, REMOVE = "choose", "remove"
"""What can be done with an image of a list."""
_PASS_ON = """
element.addEventListener("click", ({ target }) => {
    const button = target.closest("button[data-key]");
    if (button) trigger("select", { index: 0, value: `${button.dataset.action} ${button.dataset.key}` });
});
"""


def thumbnail_list(html: str, **options: Any) -> gr.HTML:
    """The component for :func:`thumbnails_html`, with the event ``select``."""
    return gr.HTML(html, js_on_load=_PASS_ON, apply_default_css=False, elem_classes="bare", **options)


def told(event: gr.SelectData) -> tuple[str, str]:
    """What a ``select`` event of a list asks for, and the key of the image."""
    action, _, key = str(event.value).partition(" ")
    return action, key


def thumbnails_html(
    images: Iterable[tuple[PageImage, str]], label: str, *, actions: tuple[str, ...] = (), selected: str = ""
) -> str:
    """A list of images with what stands below them.

    Args:
        images: with their captions, which are shown as text.
        label: name of the list, for those who hear the page.
        actions: what can be done with each: :data:`CHOOSE`, :data:`REMOVE`, both or neither.
        selected: key of the one that is chosen.
    """
    items = "".join(_item(image, caption, actions, image.key == selected) for image, caption in images)
    focus = "" if actions else ' tabindex="0"'  # a list that scrolls is reached by keyboard, if not through its buttons
    return f'<ul class="image-list" aria-label="{escape(label)}"{focus}>{items}</ul>'


def _item(image: PageImage, caption: str, actions: tuple[str, ...], is_selected: bool) -> str:
    name, below = escape(image.name), escape(caption)
    source = escape(f"gradio_api/file={quote(image.thumbnail.as_posix())}")
    shown = f'<img src="{source}" alt="{"" if caption else name}" title="{name}" loading="lazy">'
    shown += f'<span class="caption-label">{below}</span>' if caption else ""
    if CHOOSE in actions:
        pressed = "true" if is_selected else "false"
        shown = f'<button type="button" {_data(image, CHOOSE)} aria-pressed="{pressed}">{shown}</button>'
    if REMOVE in actions:
        label = f'aria-label="Remove {name}" title="Remove {name}"'
        shown += f'<button type="button" class="remove" {_data(image, REMOVE)} {label}>×</button>'
    return f"<li>{shown}</li>"


def _data(image: PageImage, action: str) -> str:
    return f'data-key="{image.key}" data-action="{action}"'
