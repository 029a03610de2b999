"""The tab Ask: a scene or an image on the left, questions and answers on the right."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gradio as gr

from clevr.answers.plotting import answer_figure, as_image, modulation_figure
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
from fewshot_film.page import EVERY, Page, in_page
from fewshot_film.run.runtime import choose_device
from fewshot_film.run.tables import markdown_text

HEADERS = ("question", "true answer", "model answer")
BEFORE = ("true before", "model before")
_QUESTION_WIDTH = 56
"""Of the table's width, per cent."""
_IN_TURN: dict[str, Any] = {"concurrency_id": "ask", "concurrency_limit": 1, "api_visibility": "private"}
"""One event after the other, in the order in which they came: side by side, the older image could be shown last."""
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
            tab.lay_out_image()
        with gr.Column(min_width=420):
            tab.lay_out_question()
    tab.lay_out_suggestions()
    tab.connect()


class _Ask:
    """The components of the tab."""

    def __init__(self, page: Page) -> None:
        self.page = page
        device = choose_device(page.device)
        self.reasoner = load(page.reasoner).to(device)
        self.extractor: Extractor | None = None
        if self.reasoner.config.inputs == "features":
            settings = ExtractorOverrides().complete(training_record(page.reasoner))
            self.extractor = Extractor(settings).to(device)

    def of(self, request: gr.Request) -> Asking:
        """What the visitor looks at."""
        reasoner, extractor, limits = self.reasoner, self.extractor, self.page.limits
        return self.page.visitors.of(request.session_hash, Asking, lambda _: Asking(reasoner, extractor, limits))

    def lay_out_image(self) -> None:
        """The image, and what changes it."""
        with gr.Row(elem_classes="line"):
            self.seed = gr.Number(1, label="Seed", precision=0, minimum=0, maximum=MAX_SEED, min_width=90)
            self.objects = gr.Slider(MIN_OBJECTS, MAX_OBJECTS, 5, step=1, label="Objects", min_width=140, scale=2)
            self.new = gr.Button("New scene", variant="primary", min_width=110)
        self.image = gr.Image(
            show_label=False, type="pil", format="png", interactive=False, buttons=[], elem_classes="scene"
        )
        with gr.Row():
            self.thing = gr.Dropdown([], label="Object (click on it, or choose here)", scale=3, min_width=200)
            self.color = gr.Dropdown(list(COLORS), value="red", label="Colour", min_width=100)
        with gr.Row():
            self.recolour = gr.Button("Recolour", size="sm", min_width=90)
            self.delete = gr.Button("Delete", size="sm", min_width=90)
            self.undo = gr.Button("Undo", size="sm", min_width=90)
        self.upload = gr.File(label="Or drop an image of your own here", elem_classes="drop")

    def lay_out_question(self) -> None:
        """The question, its answer, and where that came from."""
        with gr.Row(elem_classes="line"):
            self.question = gr.Textbox(
                label="Question", placeholder="How many red things are there?", scale=4, lines=2, max_lines=4
            )
            self.ask = gr.Button("Ask", variant="primary", min_width=80)
        self.said = gr.Markdown(elem_classes="said")
        self.why = _figure("why")
        gr.Markdown("Gamma and beta of every block for this question", elem_classes="count")
        self.film = _figure("film")

    def lay_out_suggestions(self) -> None:
        """Questions that make sense in the scene, with the truth and what the model says."""
        self.lines = gr.Dataframe(
            headers=list(HEADERS),
            label="Questions about this scene; click one to ask it",
            interactive=False,
            wrap=True,
            row_count=0,
            max_height=600,
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
        self._when(self.delete.click, Asking.delete)
        self._when(self.undo.click, Asking.undo)

        @in_page
        def choose_at(request: gr.Request, event: gr.SelectData) -> Shown:
            self.of(request).choose_at(int(event.index[0]), int(event.index[1]))
            return self._choice(self.of(request))

        @in_page
        def ask_line(request: gr.Request, event: gr.SelectData) -> Shown:
            self.of(request).ask(str(event.row_value[0]))
            return self._asked_anew(self.of(request))

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
        def did(request: gr.Request, *values: Any) -> Shown:
            do(self.of(request), *values)
            return (show or self._answered)(self.of(request))

        trigger(did, list(inputs), self._outputs(), show_progress="minimal", **listener, **_IN_TURN)

    def _outputs(self) -> list[gr.Component]:
        """What events may show anew."""
        return [self.image, self.thing, self.question, self.said, self.why, self.film, self.lines, self.upload]

    def _choice(self, asking: Asking) -> Shown:
        """What changes where another object is chosen."""
        names = _names(asking)
        chosen = None if asking.chosen is None else names[asking.chosen]
        return {self.image: asking.marked_image(), self.thing: gr.Dropdown(names, value=chosen)}

    def _answered(self, asking: Asking) -> Shown:
        """Everything but the question, as the user may already be typing the next one."""
        now, before = asking.now, asking.before
        line = now.line if now else None
        return {
            **self._choice(asking),
            self.said: _said(line, before.line if before else None, asking.warning),
            self.why: None if line is None else as_image(answer_figure(asking.answerer, line.given)),
            self.film: self._film(line),
            self.lines: _table(now, before),
            self.upload: None,
        }

    def _asked_anew(self, asking: Asking) -> Shown:
        """Everything, where the page has set the question."""
        line = asking.now.line if asking.now else None
        return {**self._answered(asking), self.question: gr.skip() if line is None else line.question}

    def _film(self, line: Line | None) -> Any:
        if line is None:
            return None
        values = modulations_of(self.reasoner, line.question)
        return as_image(modulation_figure(values)) if values else None


def _figure(name: str) -> gr.Image:
    return gr.Image(
        show_label=False, type="pil", format="png", interactive=False, buttons=["fullscreen"], elem_classes=name
    )


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
    others = ", ".join(f"{word} {100 * share:.0f} %" for word, share in given.ranking[1:4])
    lines = [f"### {given.answer}, {100 * given.probability:.1f} %", f"or: {others}"]
    if line.truth:
        mark = {True: "right: ", False: "wrong: ", None: ""}[line.is_right]
        lines.append(f"{mark}the true answer is **{line.truth}**" if line.is_right is not None else line.truth)
    if before is not None:
        lines.append(f"before the change: {before.given.answer}" + (f" (true: {before.truth})" if before.truth else ""))
    if given.unknown_words:
        lines.append(f"unknown words: {markdown_text(', '.join(given.unknown_words))}")
    lines += [_warned(warning)] if warning else []
    return "\n\n".join(lines)


def _warned(warning: str) -> str:
    return f"**Warning:** {warning}" if warning else ""


def _table(now: State | None, before: State | None) -> gr.Dataframe:
    """The suggested questions; after a change with what was true and said before."""
    if now is None:
        return gr.Dataframe({"headers": list(HEADERS), "data": []})
    old = {line.question: line for line in before.lines} if before else {}
    rows = []
    for line in now.lines:
        row = [line.question, line.truth, _marked(line)]
        if before:
            row += [old[line.question].truth, _marked(old[line.question])] if line.question in old else ["", ""]
        rows.append(row)
    headers = [*HEADERS, *(BEFORE if before else ())]
    rest = (100 - _QUESTION_WIDTH) // (len(headers) - 1)
    widths = [f"{100 - rest * (len(headers) - 1)}%", *[f"{rest}%"] * (len(headers) - 1)]
    return gr.Dataframe({"headers": headers, "data": rows}, column_widths=widths)


def _marked(line: Line) -> str:
    return {True: "✓ ", False: "✗ ", None: ""}[line.is_right] + line.given.answer
