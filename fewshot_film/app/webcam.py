"""The webcam: live predictions, and images that are recorded into a class while its button is held."""

from __future__ import annotations

import base64
import binascii
from html import escape

import gradio as gr

from fewshot_film.app.events import QUIET, TeachEvents, Told
from fewshot_film.app.groups import Group
from fewshot_film.app.teaching import Teaching
from fewshot_film.app.verdicts import verdict_html
from fewshot_film.errors import counted
from fewshot_film.page import EVERY, UploadError, in_page

_FIRST = "Add a class, then hold its button to record images of it."
_JPEG = "data:image/jpeg;base64,"
_WEBCAM = """
<div class="webcam">
  <button type="button" data-does="toggle">Start webcam</button>
  <button type="button" data-does="keep" hidden>Keep this image</button>
  <video muted playsinline hidden aria-label="Webcam"></video>
  <p role="status"></p>
</div>
"""


def lay_out_webcam(events: TeachEvents) -> None:
    """The webcam, and what it shows: its script hands on one frame after another."""
    webcam = gr.HTML(
        _WEBCAM,
        js_on_load="window.fewshotWebcam.attach(element, trigger)",
        elem_classes="bare",
        apply_default_css=False,
    )
    live = gr.HTML("", elem_id="live", elem_classes="bare", apply_default_css=False)

    @in_page
    def look(event: gr.EventData, request: gr.Request) -> tuple[str, int, int]:
        teaching = events.of(request)
        return live_html(teaching, str(event.frame), int(event.number)), teaching.changes, teaching.answers

    @in_page
    def keep(event: gr.EventData, request: gr.Request) -> Told:
        teaching = events.of(request)
        teaching.ask_frame(decode_frame(str(event.frame), teaching.limits.file_bytes))
        return teaching.changes, teaching.answers

    looked = webcam.input(look, None, [live, *events.told], **QUIET, **EVERY)
    looked.then(None, None, None, js="() => window.fewshotWebcam.answered()")
    webcam.submit(keep, None, events.told, **QUIET, **EVERY)


def lay_out_hold(group: Group, key: tuple[str, int]) -> None:
    """The button that records into a class, as long as it is held."""
    gr.Button("Hold to record", size="sm", min_width=120, elem_id=f"hold-{group.number}", elem_classes="hold", key=key)


def live_html(teaching: Teaching, frame: str, number: int) -> str:
    """What is said while the webcam shows something, after it was predicted or recorded.

    Args:
        teaching: the visitor's classes.
        frame: what the webcam shows, as a data URL; empty: it was switched off.
        number: the class whose button is held; 0: none.

    Raises:
        UploadError: it is no image of the kind that the page sends, or too large.
    """
    if not frame:
        teaching.finish_recording()
        return ""
    data = decode_frame(frame, teaching.limits.file_bytes)
    if number:
        name, count = teaching.record(number, data)
        return f"<h3>Recording {escape(name)}</h3><p>{counted(count, 'image')}</p>"
    teaching.finish_recording()
    verdict = teaching.glance(data)
    return verdict_html(verdict, teaching.can_reject) if verdict else f"<p>{escape(teaching.status or _FIRST)}</p>"


def decode_frame(frame: str, most: int) -> bytes:
    """The bytes of a JPEG file from its data URL.

    Args:
        frame: the data URL.
        most: largest number of bytes.

    Raises:
        UploadError: it is no such data URL, or too large.
    """
    if not frame.startswith(_JPEG) or len(frame) > len(_JPEG) + 4 * (most // 3 + 1):
        raise UploadError(f"the webcam's image is no JPEG data URL of at most {most / 2**20:,.0f} MiB")
    try:
        return base64.b64decode(frame.removeprefix(_JPEG), validate=True)
    except binascii.Error as error:
        raise UploadError(f"the webcam's image is not base64 ({error})") from error
