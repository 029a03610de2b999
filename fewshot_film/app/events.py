"""How the parts of the tab Teach act on a visitor's classes."""

from __future__ import annotations

import asyncio
import html
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import gradio as gr

from fewshot_film.app.drop_zone import DropZone
from fewshot_film.app.taught import Intake
from fewshot_film.app.teaching import Teaching
from fewshot_film.classifier import FewShotClassifier
from fewshot_film.errors import exit_status_of
from fewshot_film.page import EVERY, Page, in_page, without_folders
from fewshot_film.turns import Turns

DRAWN: dict[str, Any] = {"show_progress": "hidden", "concurrency_limit": 1, "concurrency_id": "draw"}
"""How cards and answers are drawn anew: one at a time. Gradio numbers components and functions while it draws, and two
drawings at once could give one number twice; then a click does nothing, or something else."""
QUIET: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
"""Of events that say nothing while they are at work."""
_SHOWN_TROUBLES = 3
_PROGRESS = gr.Progress()
_CONFIRM = "(question, ...values) => [!question || confirm(question) ? 'yes' : 'no', ...values]"

_LONG = 1.0
"""Seconds of reading after which the page offers to stop it."""
_READING: dict[str, Any] = {**QUIET, **EVERY, "show_progress": "full", "concurrency_limit": None}
"""Of events that read uploads: their steps take turns, so no event waits for another's end."""

Begin = Callable[[Teaching, Any], Iterator[Intake]]
"""Begins to take in files."""
Shown = tuple[Any, Any, Any]
"""New values for both numbers of :data:`Told`, and for the button that stops."""
Told = tuple[int, int]
"""How often classes and answers have changed: what shows them is drawn anew where its number is another one."""


class TeachEvents:
    """Connects components with the visitor's own :class:`Teaching`.

    Args:
        page: what all tabs share.

    Attributes:
        classes_changed: its ``change`` tells that classes are to be drawn anew.
        answers_changed: its ``change`` tells that predictions are to be drawn anew.
        stop: the button that ends the reading of uploads; it is there while something is read for some time.
        turns: what all visitors' uploads are read in.
    """

    def __init__(self, page: Page) -> None:
        self.page = page
        self.start = FewShotClassifier.from_pretrained(page.models[0], device=page.device)
        self.classes_changed, self.answers_changed = gr.State(0), gr.State(0)
        self.told = [self.classes_changed, self.answers_changed]
        self.stop = gr.Button("Stop upload", size="sm", min_width=90, visible=False, elem_classes="stop", render=False)
        self.turns = Turns()

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
        asking, asked = self._asked(trigger, question, *inputs)

        def do_if_sure(teaching: Teaching, answer: str, *values: object) -> Sequence[str] | None:
            return do(teaching, *values) if answer == "yes" else None

        self.when(asking.success, do_if_sure, asked, *inputs, js=_CONFIRM, **listener)

    def when_dropped(self, zone: DropZone, begin: Begin, **listener: Any) -> None:
        """Take in what is dropped into a zone, each time; meanwhile the zone says how far it came.

        Args:
            zone: where.
            begin: called with the visitor's :class:`Teaching` and the files; reads them step by step.
            listener: see :meth:`when`.
        """

        @in_page
        async def took(files: Any, request: gr.Request, progress: gr.Progress = _PROGRESS) -> AsyncIterator[Shown]:
            async for shown in self._take_in(begin, files, request, progress):
                yield shown

        zone.dropped(took, zone.files, [*self.told, self.stop], **{**zone.progress, **_READING, **listener})

    def when_dropped_and_sure(self, zone: DropZone, question: Callable[..., str], begin: Begin) -> None:
        """As :meth:`when_dropped`, for what may replace the visitor's work: the browser asks first.

        Args:
            zone: where.
            question: see :meth:`when_sure`.
            begin: see :meth:`when_dropped`.
        """
        asking, asked = self._asked(zone.dropped, question, zone.files)

        @in_page
        async def took(
            answer: str, files: Any, request: gr.Request, progress: gr.Progress = _PROGRESS
        ) -> AsyncIterator[Shown]:
            async for shown in self._take_in(begin, files if answer == "yes" else None, request, progress):
                yield shown

        options = {**zone.progress, **_READING, "js": _CONFIRM}
        asking.success(took, [asked, zone.files], [*self.told, self.stop], **options)

    def _asked(self, trigger: Callable[..., Any], question: Callable[..., str], *inputs: Any) -> tuple[Any, gr.Textbox]:
        """The event that asks, and where the question and then the answer stand."""
        asked = gr.Textbox(visible="hidden")

        @in_page
        def ask(request: gr.Request, *values: object) -> str:
            return question(self.of(request), *values)

        return trigger(ask, list(inputs), asked, **QUIET), asked

    async def _take_in(
        self, begin: Begin, files: Any, request: gr.Request, progress: gr.Progress
    ) -> AsyncIterator[Shown]:
        """Read what was uploaded, until it is stopped or the page is left; mistakes become warnings.

        An error would lie on the drop zone until the next drop.
        """
        session, visitors = str(request.session_hash), self.page.visitors
        teaching = self.of(request)
        turn = visitors.of(session, asyncio.Lock, lambda _: asyncio.Lock())
        began, is_long = time.monotonic(), False
        try:
            steps = begin(teaching, files) if files else iter(())
            async for intake in self.turns.take(steps, lambda: visitors.is_open(session), turn):
                progress((intake.done, intake.total), unit="images")
                if not is_long and time.monotonic() - began > _LONG:
                    is_long = True
                    yield gr.skip(), gr.skip(), gr.Button(visible=True)
                warn(intake.troubles)
        except Exception as error:
            if exit_status_of(error) is None:
                raise
            warn([str(error)])
        finally:
            _delete(files)
        yield teaching.changes, teaching.answers, gr.Button(visible=False)


def _delete(files: Any) -> None:
    """Give back the space of files that have been read."""
    for file in files if isinstance(files, list) else [files] if files else []:
        Path(file).unlink(missing_ok=True)


def replacing(action: str) -> Callable[..., str]:
    """The question before all that a visitor has is replaced; empty where that is nothing."""

    def question(teaching: Teaching, *_: object) -> str:
        return f"{action} removes what is here: {teaching.contents}. Go on?" if teaching.contents else ""

    return question


def warn(troubles: Sequence[str] | None, what: str = "Not added") -> None:
    """Show in the page what could not be done, and why.

    Args:
        troubles: reasons, such as what is wrong with each file.
        what: stands before them.
    """
    if troubles:
        more = len(troubles) - _SHOWN_TROUBLES
        lines = [*troubles[:_SHOWN_TROUBLES], *([f"and {more} more"] if more > 0 else [])]
        gr.Warning(f"{what}: " + "<br>".join(html.escape(without_folders(line)) for line in lines))
