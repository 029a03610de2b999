"""The tab Ask: a question about a scene or an image on the left, where its answer came from on the right."""

from __future__ import annotations

import asyncio
import html
import random
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr

from clevr.answers.plotting import as_image, highlighted, modulation_figure
from clevr.answers.predict import FORM_UNKNOWN
from clevr.app.asking import (
    MAX_OBJECTS,
    MAX_SEED,
    MIN_OBJECTS,
    Asking,
    Line,
    State,
    describe,
    modulations_of,
)
from clevr.config.features import ExtractorOverrides
from clevr.data.backbone import Extractor
from clevr.reasoning.loading import load, training_record
from clevr.world.scene import COLORS
from fewshot_film.errors import exit_status_of
from fewshot_film.page import EVERY, Page, bars_html, in_page
from fewshot_film.run.runtime import choose_device
from fewshot_film.run.tables import markdown_text
from fewshot_film.turns import Turns

HEADERS = ("question", "true answer", "model answer")
BEFORE = ("true before", "model before")
FIRST = (1, 5)
"""Seed and number of objects of the scene that the page opens with."""
_QUESTION_WIDTH = 46
"""Of the table's width, per cent."""
_SHOWN = 5
"""Answers with a bar."""
_IN_TURN: dict[str, Any] = {"concurrency_limit": None, "api_visibility": "private"}
"""Of events that wait for their turn themselves, see :meth:`_Ask.act`: no visitor waits for another's."""
_INTRODUCTION = (
    "Generate a scene, or drop an image of your own; then ask about it. The model knows CLEVR's English: shapes, "
    "colours, materials, sizes, positions."
)


Shown = dict[Any, Any]
"""New values for some of the tab's components; the others are left alone."""


def build(page: Page) -> None:
    """Put the tab into the page that is being laid out."""
    tab = _Ask(page)
    gr.Markdown(_INTRODUCTION)
    with gr.Row():
        with gr.Column(min_width=420):
            tab.lay_out_question()  # first, so that the answer is above the fold of a phone
            tab.lay_out_image()
        with gr.Column(min_width=420):
            tab.lay_out_figures()
    tab.lay_out_suggestions()
    tab.connect()


class _Turn(asyncio.Lock):
    """Held by a visitor's event until its result is on its way: the next one's must not be shown before."""


class _Ask:
    """The components of the tab."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.turns = Turns()
        device = choose_device(page.device)
        self.reasoner = load(page.reasoner).to(device)
        self.extractor: Extractor | None = None
        if self.reasoner.config.inputs == "features":
            settings = ExtractorOverrides().complete(training_record(page.reasoner))
            self.extractor = Extractor(settings).to(device)
        self.first = Asking(self.reasoner, self.extractor, page.limits)
        self.first.new_scene(*FIRST)
        self.shown = self._content(self.first)

    def of(self, request: gr.Request) -> Asking:
        """What the visitor looks at."""
        made = (self.reasoner, self.extractor, self.page.limits, self.first)
        return self.page.visitors.of(request.session_hash, Asking, lambda _: Asking(*made))

    def lay_out_image(self) -> None:
        """The image, and what changes it."""
        with gr.Row(elem_classes="line"):
            self.seed = gr.Number(FIRST[0], label="Seed", precision=0, minimum=0, maximum=MAX_SEED, min_width=90)
            self.objects = gr.Slider(
                MIN_OBJECTS, MAX_OBJECTS, FIRST[1], step=1, label="Objects", min_width=140, scale=2
            )
            self.new = gr.Button("New scene", variant="primary", min_width=110)
        self.image = gr.Image(
            self.first.marked_image(),
            show_label=False,
            type="pil",
            format="png",
            interactive=False,
            buttons=[],
            elem_classes="scene",
        )
        with gr.Row():
            self.thing = gr.Dropdown(
                _names(self.first), value=None, label="Object (click on it, or choose here)", scale=3, min_width=200
            )
            self.color = gr.Dropdown(list(COLORS), value="red", label="Colour", min_width=100)
        with gr.Row():
            self.recolour = gr.Button("Recolour", size="sm", min_width=90)
            self.remove = gr.Button("Remove", size="sm", min_width=90)
            self.undo = gr.Button("Undo", size="sm", min_width=90)
        self.upload = gr.File(label="Or drop an image of your own here", elem_classes="drop")

    def lay_out_question(self) -> None:
        """The question and its answer."""
        with gr.Row(elem_classes="line"):
            self.question = gr.Textbox(
                self.shown.question,
                label="Question",
                placeholder="How many red things are there?",
                scale=4,
                lines=2,
                max_lines=4,
            )
            self.ask = gr.Button("Ask", variant="primary", min_width=80)
        self.said = gr.Markdown(self.shown.said, elem_classes="said")

    def lay_out_figures(self) -> None:
        """Where the answer came from."""
        self.bars = gr.HTML(self.shown.bars, elem_classes="bare", apply_default_css=False)
        self.why = _figure(self.shown.why, "why")
        gr.Markdown("Gamma and beta of every block for this question", elem_classes="count")
        self.film = _figure(self.shown.film, "film")

    def lay_out_suggestions(self) -> None:
        """Questions that make sense in the scene, with the truth and what the model says."""
        self.lines = gr.Dataframe(
            self.shown.rows,
            headers=list(HEADERS),
            column_widths=_widths(len(HEADERS)),
            label="Questions about this scene; click one to ask it",
            interactive=False,
            wrap=True,
            max_height=600,
            elem_classes="rows",
        )

    def connect(self) -> None:
        """Say what every component does."""
        new = self.new.click(lambda: random.randrange(MAX_SEED + 1), None, self.seed, show_progress="hidden")
        for trigger in (new.then, self.seed.submit):
            self._when(trigger, _new_scene, self.seed, self.objects, show=self._asked_anew, **EVERY)
        anew: dict[str, Any] = {"show": self._asked_anew, "trigger_mode": "always_last"}  # of a slider's way, its end
        self._when(self.objects.release, _new_scene, self.seed, self.objects, **anew)
        self._when(self.upload.upload, lambda asking, path: asking.upload(Path(path)), self.upload)
        for trigger in (self.ask.click, self.question.submit):
            self._when(trigger, Asking.ask, self.question, **EVERY)
        self._when(self.thing.input, _choose, self.thing, show=self._choice, **EVERY)
        self._when(self.recolour.click, Asking.recolour, self.color)
        self._when(self.remove.click, Asking.remove)
        self._when(self.undo.click, Asking.undo)

        @in_page
        async def choose_at(request: gr.Request, event: gr.SelectData) -> AsyncIterator[Shown]:
            column, row = int(event.index[0]), int(event.index[1])
            async for shown in self.act(request, lambda asking: asking.choose_at(column, row), self._choice):
                yield shown

        @in_page
        async def ask_line(request: gr.Request, event: gr.SelectData) -> AsyncIterator[Shown]:
            question = str(event.row_value[0])
            async for shown in self.act(request, lambda asking: asking.ask(question), self._asked_anew):
                yield shown

        for select, do in ((self.image.select, choose_at), (self.lines.select, ask_line)):
            select(do, None, self._outputs(), show_progress="hidden", **EVERY, **_IN_TURN)

    def _when(
        self,
        trigger: Callable[..., object],
        do: Callable[..., None],
        *inputs: gr.Component,
        show: Callable[[Asking], Shown] | None = None,
        **listener: Any,
    ) -> None:
        """Do something with what the visitor looks at when an event happens, and show all but the question anew.

        Args:
            trigger: the event, such as ``button.click``.
            do: called with the visitor's :class:`Asking` and the inputs' values.
            inputs: whose values are handed over.
            show: what is shown instead.
            listener: more that Gradio should know of the event, such as ``trigger_mode``.
        """

        @in_page
        async def did(request: gr.Request, *values: Any) -> AsyncIterator[Shown]:
            try:
                async for shown in self.act(request, lambda asking: do(asking, *values), show or self._answered):
                    yield shown
            except Exception as error:
                if exit_status_of(error) is None:
                    raise
                gr.Warning(html.escape(str(error)))  # an error of Gradio's would lie on everything that is shown
                yield {self.upload: None}

        progress: dict[str, Any] = {"show_progress": "minimal", "show_progress_on": self.said}
        trigger(did, list(inputs), self._outputs(), **progress, **listener, **_IN_TURN)

    def act(
        self, request: gr.Request, do: Callable[[Asking], None], show: Callable[[Asking], Shown]
    ) -> AsyncIterator[Shown]:
        """Do something with what the visitor looks at and say what is to be shown, after the visitor's earlier events.

        Args:
            request: the visitor's.
            do: what.
            show: what is shown then.
        """
        session, visitors = str(request.session_hash), self.page.visitors
        asking = self.of(request)

        def steps() -> Iterator[Shown]:
            do(asking)
            yield show(asking)

        turn = visitors.of(session, _Turn, lambda _: _Turn())
        return self.turns.take(steps(), lambda: visitors.is_open(session), turn)

    def _outputs(self) -> list[gr.Component]:
        """What events may show anew."""
        shown = [self.image, self.thing, self.question, self.said, self.bars, self.why, self.film, self.lines]
        return [*shown, self.upload]

    def _choice(self, asking: Asking) -> Shown:
        """What changes where another object is chosen."""
        names = _names(asking)
        chosen = None if asking.chosen is None else names[asking.chosen]
        return {self.image: asking.marked_image(), self.thing: gr.Dropdown(names, value=chosen)}

    def _answered(self, asking: Asking) -> Shown:
        """Everything but the question, as the user may already be typing the next one."""
        shown = self._content(asking)
        return {
            **self._choice(asking),
            self.said: shown.said,
            self.bars: shown.bars,
            self.why: shown.why,
            self.film: shown.film,
            self.lines: _table(asking.now, asking.before),
            self.upload: None,
        }

    def _content(self, asking: Asking) -> _Content:
        now, before = asking.now, asking.before
        line = now.line if now else None
        return _Content(
            question=line.question if line else "",
            said=_said(line, before.line if before else None, asking.warning),
            bars=_bars(line),
            why=None if line is None else highlighted(asking.answerer, line.given),
            film=self._film(line),
            rows=_rows(now, before),
        )

    def _asked_anew(self, asking: Asking) -> Shown:
        """Everything, where the page has set the question."""
        line = asking.now.line if asking.now else None
        return {**self._answered(asking), self.question: gr.skip() if line is None else line.question}

    def _film(self, line: Line | None) -> Any:
        if line is None:
            return None
        values = modulations_of(self.reasoner, line.question)
        return as_image(modulation_figure(values)) if values else None


@dataclass(frozen=True)
class _Content:
    """What is shown of a question and its answer."""

    question: str
    said: str
    bars: str
    why: Any
    film: Any
    rows: list[list[str]]


def _figure(value: Any, name: str) -> gr.Image:
    return gr.Image(
        value, show_label=False, type="pil", format="png", interactive=False, buttons=["fullscreen"], elem_classes=name
    )


def _bars(line: Line | None) -> str:
    """The most probable answers, and what is bright in the image below them."""
    if line is None:
        return ""
    given = line.given
    shares, count = dict(given.ranking[:_SHOWN]), int(given.places.sum())
    muted = ' class="muted"' if given.is_guess else ""
    return f"<div{muted}>{bars_html(shares)}<p>Bright: where the {count} strongest responses are</p></div>"


def _new_scene(asking: Asking, seed: float | None, num_objects: float) -> None:
    asking.new_scene(int(seed or 0), int(num_objects))


def _names(asking: Asking) -> list[str]:
    """The scene's objects as the list shows them."""
    things = asking.now.scene.objects if asking.now and asking.now.scene else ()
    return [f"{number + 1}: {describe(thing)}" for number, thing in enumerate(things)]


def _choose(asking: Asking, name: str | None) -> None:
    names = _names(asking)  # which may have changed since the list was shown
    asking.chosen = names.index(name) if name in names else None


def _said(line: Line | None, before: Line | None, warning: str = "") -> str:
    """The answer in words, and what is to be said of the image."""
    if line is None:
        return _warned(warning)
    given = line.given
    others = ", ".join(f"{word} ({100 * share:.0f} %)" for word, share in given.ranking[1:4])
    lines = [f"### {given.answer}, {100 * given.probability:.1f} %", f"or: {others}"]
    if given.unknown_words:
        unknown = markdown_text(", ".join(given.unknown_words))
        guess = f"*{given.answer}, {100 * given.probability:.1f} %; {lines[1]}*"
        cannot = f"The model cannot know what is asked ({given.averaging}); it guesses {guess}"
        lines = [f"### unknown words: {unknown}", cannot]
    elif given.is_guess:
        lines = [f"### a guess: {given.answer}, {100 * given.probability:.1f} %", lines[1], FORM_UNKNOWN]
    lines += [f"asked as: {given.asked_as}"] if given.asked_as else []
    lines += [f"read as: {given.steps}"] if given.read_as else []
    if line.truth:
        mark = {True: "right: ", False: "wrong: ", None: ""}[line.is_right]
        lines.append(f"{mark}the true answer is **{line.truth}**" if line.is_right is not None else line.truth)
    if before is not None:
        lines.append(f"before the change: {before.given.answer}" + (f" (true: {before.truth})" if before.truth else ""))
    lines += [_warned(warning)] if warning else []
    return "\n\n".join(lines)


def _warned(warning: str) -> str:
    return f"**Warning:** {warning}" if warning else ""


def _table(now: State | None, before: State | None) -> gr.Dataframe:
    """The suggested questions; after a change with what was true and said before."""
    headers = [*HEADERS, *(BEFORE if before else ())]
    return gr.Dataframe({"headers": headers, "data": _rows(now, before)}, column_widths=_widths(len(headers)))


def _rows(now: State | None, before: State | None) -> list[list[str]]:
    old = {line.question: line for line in before.lines} if before else {}
    rows = []
    for line in now.lines if now else ():
        row = [line.question, line.truth, _marked(line)]
        if before:
            row += [old[line.question].truth, _marked(old[line.question])] if line.question in old else ["", ""]
        rows.append(row)
    return rows


def _widths(count: int) -> list[str]:
    rest = (100 - _QUESTION_WIDTH) // (count - 1)
    return [f"{100 - rest * (count - 1)}%", *[f"{rest}%"] * (count - 1)]


def _marked(line: Line) -> str:
    return {True: "✓ ", False: "✗ ", None: ""}[line.is_right] + line.given.answer
