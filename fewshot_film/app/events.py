"""How the parts of the tab Teach act on a visitor's classes."""

from __future__ import annotations

import html
from collections.abc import Callable, Sequence
from typing import Any

import gradio as gr

from fewshot_film.app.drop_zone import DropZone
from fewshot_film.app.images import Report
from fewshot_film.app.teaching import Teaching
from fewshot_film.classifier import FewShotClassifier
from fewshot_film.errors import exit_status_of
from fewshot_film.page import EVERY, Page, in_page, without_folders

DRAWN: dict[str, Any] = {"show_progress": "hidden", "concurrency_limit": 1, "concurrency_id": "draw"}
"""How cards and answers are drawn anew: one at a time. Gradio numbers components and functions while it draws, and two
drawings at once could give one number twice; then a click does nothing, or something else."""
QUIET: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
"""Of events that say nothing while they are at work."""
_SHOWN_TROUBLES = 3
_PROGRESS = gr.Progress()
_CONFIRM = "(question, ...values) => [!question || confirm(question) ? 'yes' : 'no', ...values]"

Told = tuple[int, int]
"""How often classes and answers have changed: what shows them is drawn anew where its number is another one."""


class TeachEvents:
    """Connects components with the visitor's own :class:`Teaching`.

    Args:
        page: what all tabs share.

    Attributes:
        classes_changed: its ``change`` tells that classes are to be drawn anew.
        answers_changed: its ``change`` tells that predictions are to be drawn anew.
    """

    def __init__(self, page: Page) -> None:
        self.page = page
        self.start = FewShotClassifier.from_pretrained(page.models[0], device=page.device)
        self.classes_changed, self.answers_changed = gr.State(0), gr.State(0)
        self.told = [self.classes_changed, self.answers_changed]

    def of(self, request: gr.Request) -> Teaching:
        """The visitor's own classes."""
        start, limits = self.start, self.page.limits
        return self.page.visitors.of(request.session_hash, Teaching, lambda folder: Teaching(start, folder, limits))

    def when(
        self,
        trigger: Callable[..., object],
        do: Callable[..., Sequence[str] | None],
        *inputs: gr.components.Component,
        **listener: Any,
    ) -> None:
        """Act on the visitor's classes when an event happens, and show what went wrong.

        Args:
            trigger: the event, such as ``button.click``.
            do: called with the visitor's :class:`Teaching` and the inputs' values; may return warnings to show.
            inputs: whose values are handed over.
            listener: more that Gradio should know of the event, such as ``trigger_mode``.
        """

        @in_page
        def did(request: gr.Request, *values: object) -> Told:
            teaching = self.of(request)
            warn(do(teaching, *values))
            return teaching.changes, teaching.answers

        trigger(did, list(inputs), self.told, **{**QUIET, **listener})

    def when_sure(
        self,
        trigger: Callable[..., Any],
        question: Callable[..., str],
        do: Callable[..., Sequence[str] | None],
        *inputs: gr.components.Component,
        **listener: Any,
    ) -> None:
        """As :meth:`when`, for what replaces the visitor's work: the browser asks first.

        Args:
            trigger: the event.
            question: called as ``do``; what to ask, empty where there is nothing to lose.
            do: called if the answer is yes.
            inputs: whose values are handed over to both.
            listener: more that Gradio should know of the second event.
        """
        asked = gr.Textbox(visible="hidden")

        @in_page
        def ask(request: gr.Request, *values: object) -> str:
            return question(self.of(request), *values)

        def do_if_sure(teaching: Teaching, answer: str, *values: object) -> Sequence[str] | None:
            return do(teaching, *values) if answer == "yes" else None

        asking = trigger(ask, list(inputs), asked, **QUIET)
        self.when(asking.success, do_if_sure, asked, *inputs, js=_CONFIRM, **listener)

    def when_dropped(
        self, zone: DropZone, do: Callable[[Teaching, Any, Report], Sequence[str] | None], **listener: Any
    ) -> None:
        """Take in what is dropped into a zone, each time; meanwhile the zone says how far it came.

        Args:
            zone: where.
            do: called with the visitor's :class:`Teaching`, the files, and what to tell of the progress; may return
                warnings to show.
            listener: see :meth:`when`.
        """

        @in_page
        def took(files: Any, request: gr.Request, progress: gr.Progress = _PROGRESS) -> Told:
            teaching = self.of(request)

            def report(done: int, total: int) -> None:
                progress((done, total), unit="images")

            warn(taken(lambda teaching, files: do(teaching, files, report))(teaching, files))
            return teaching.changes, teaching.answers

        options = {**QUIET, **zone.progress, "show_progress": "full", **EVERY, **listener}
        zone.dropped(took, zone.files, self.told, **options)


def taken(do: Callable[[Teaching, Any], Sequence[str] | None]) -> Callable[[Teaching, Any], Sequence[str] | None]:
    """Takes in files, and makes a warning of what is wrong: an error would lie on the drop zone until the next drop."""

    def take(teaching: Teaching, files: Any) -> Sequence[str] | None:
        try:
            return do(teaching, files) if files else None
        except Exception as error:
            if exit_status_of(error) is None:
                raise
            return [str(error)]

    return take


def replacing(action: str) -> Callable[..., str]:
    """The question before all that a visitor has is replaced; empty where that is nothing."""

    def question(teaching: Teaching, *_: object) -> str:
        return f"{action} removes what is here: {teaching.contents}. Go on?" if teaching.contents else ""

    return question


def warn(troubles: Sequence[str] | None) -> None:
    """Show in the page which files could not be used, and why."""
    if troubles:
        more = len(troubles) - _SHOWN_TROUBLES
        lines = [*troubles[:_SHOWN_TROUBLES], *([f"and {more} more"] if more > 0 else [])]
        gr.Warning("Not added: " + "<br>".join(html.escape(without_folders(line)) for line in lines))
