"""The tab Ask: a scene or a picture on the left, questions and answers on the right."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gradio as gr

from clevr.answers.figure import answer_figure
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
from clevr.app.figures import as_picture, modulation_figure
from clevr.commands.ask import AskConfig, recorded_extractor
from clevr.data.backbone import Extractor
from clevr.reasoning.loading import load, training_record
from clevr.world.scene import COLORS
from fewshot_film.run.machine import Machine
from fewshot_film.run.page import Page, in_page

HEADERS = ("question", "true answer", "model says")
BEFORE = ("true before", "model before")
_QUESTION_WIDTH = 56
"""Of the table's width, per cent."""
_INTRODUCTION = (
    "Make a scene, or drop a picture of your own; then ask. The model knows CLEVR's English: shapes, colours, "
    "materials, sizes, places."
)


def build(page: Page) -> None:
    """Put the tab into the page that is being laid out."""
    tab = _Ask(page)
    gr.Markdown(_INTRODUCTION)
    with gr.Row():
        with gr.Column(min_width=420):
            tab.lay_out_picture()
        with gr.Column(min_width=420):
            tab.lay_out_question()
    tab.lay_out_suggestions()
    tab.connect()


class _Ask:
    """The components of the tab."""

    def __init__(self, page: Page) -> None:
        self.page = page
        device = Machine(page.device, "32-true").device
        self.reasoner = load(page.reasoner).to(device)
        self.extractor: Extractor | None = None
        if self.reasoner.config.inputs == "features":
            settings = recorded_extractor(AskConfig(Path(), model=page.reasoner), training_record(page.reasoner))
            self.extractor = Extractor(settings).to(device)

    def of(self, request: gr.Request) -> Asking:
        """What the visitor looks at."""
        reasoner, extractor, limits = self.reasoner, self.extractor, self.page.limits
        return self.page.visitors.of(request.session_hash, Asking, lambda _: Asking(reasoner, extractor, limits))

    def lay_out_picture(self) -> None:
        """The picture, and what changes it."""
        with gr.Row(elem_classes="line"):
            self.seed = gr.Number(1, label="Seed", precision=0, minimum=0, maximum=MAX_SEED, min_width=90)
            self.objects = gr.Slider(MIN_OBJECTS, MAX_OBJECTS, 5, step=1, label="Objects", min_width=140, scale=2)
            self.new = gr.Button("New scene", variant="primary", min_width=110)
        self.picture = gr.Image(
            show_label=False, type="pil", format="png", interactive=False, buttons=[], elem_classes="scene"
        )
        with gr.Row():
            self.thing = gr.Dropdown([], label="Object, by a click on it or from here", scale=3, min_width=200)
            self.color = gr.Dropdown(list(COLORS), value="red", label="Colour", min_width=100)
        with gr.Row():
            self.recolour = gr.Button("Recolour it", size="sm", min_width=90)
            self.delete = gr.Button("Delete it", size="sm", min_width=90)
            self.undo = gr.Button("Undo", size="sm", min_width=90)
        self.upload = gr.File(label="Or drop a picture of your own here", elem_classes="drop")

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
            label="Questions about this scene: a click asks one",
            interactive=False,
            wrap=True,
            row_count=0,
            max_height=600,
        )

    def connect(self) -> None:
        """Say what every component does."""
        self.new.click(lambda: random.randrange(MAX_SEED + 1), None, self.seed, show_progress="hidden").then(
            self._does(_new_scene), [self.seed, self.objects], self._shown(), api_visibility="private"
        )
        for trigger in (self.seed.submit, self.objects.release):
            self._when(trigger, _new_scene, self.seed, self.objects)
        self._when(self.upload.upload, lambda asking, path: asking.upload(Path(path)), self.upload)
        for trigger in (self.ask.click, self.question.submit):
            self._when(trigger, Asking.ask, self.question)
        self._when(self.thing.input, _choose, self.thing)
        self._when(self.recolour.click, Asking.recolour, self.color)
        self._when(self.delete.click, Asking.delete)
        self._when(self.undo.click, Asking.undo)

        @in_page
        def choose_at(request: gr.Request, event: gr.SelectData) -> list[Any]:
            self.of(request).choose_at(int(event.index[0]), int(event.index[1]))
            return self._show(self.of(request))[:2]

        @in_page
        def ask_line(request: gr.Request, event: gr.SelectData) -> list[Any]:
            asking = self.of(request)
            if asking.now is not None:
                asking.ask(asking.now.lines[int(event.index[0])].question)
            return self._show(asking)

        self.picture.select(choose_at, None, self._shown()[:2], show_progress="hidden", api_visibility="private")
        self.lines.select(ask_line, None, self._shown(), show_progress="hidden", api_visibility="private")

    def _when(self, trigger: Callable[..., object], do: Callable[..., None], *inputs: gr.Component) -> None:
        """Do something with what the visitor looks at when an event happens, and show it all anew."""
        trigger(self._does(do), list(inputs), self._shown(), show_progress="minimal", api_visibility="private")

    def _does(self, do: Callable[..., None]) -> Callable[..., list[Any]]:
        @in_page
        def did(request: gr.Request, *values: Any) -> list[Any]:
            do(self.of(request), *values)
            return self._show(self.of(request))

        return did

    def _shown(self) -> list[gr.Component]:
        """What :meth:`_show` gives values for; the first two are all that a choice of an object changes."""
        return [self.picture, self.thing, self.question, self.said, self.why, self.film, self.lines, self.upload]

    def _show(self, asking: Asking) -> list[Any]:
        """Values for :meth:`_shown`."""
        now, before = asking.now, asking.before
        things = list(now.scene.objects) if now and now.scene else []
        names = [f"{number + 1}: {describe(thing)}" for number, thing in enumerate(things)]
        chosen = None if asking.chosen is None else names[asking.chosen]
        line = now.line if now else None
        return [
            asking.marked_picture(),
            gr.Dropdown(names, value=chosen),
            gr.skip() if line is None else line.question,
            _said(line, before.line if before else None),
            None if line is None else as_picture(answer_figure(asking.answerer, line.given)),
            self._film(line),
            _table(now, before),
            None,
        ]

    def _film(self, line: Line | None) -> Any:
        if line is None:
            return None
        values = modulations_of(self.reasoner, line.question)
        return as_picture(modulation_figure(values)) if values else None


def _figure(name: str) -> gr.Image:
    return gr.Image(
        show_label=False, type="pil", format="png", interactive=False, buttons=["fullscreen"], elem_classes=name
    )


def _new_scene(asking: Asking, seed: float | None, num_objects: float) -> None:
    asking.new_scene(int(seed or 0), int(num_objects))


def _choose(asking: Asking, name: str | None) -> None:
    asking.chosen = int(name.partition(":")[0]) - 1 if name else None


def _said(line: Line | None, before: Line | None) -> str:
    """The answer in words."""
    if line is None:
        return ""
    given = line.given
    others = ", ".join(f"{word} {100 * share:.0f} %" for word, share in given.ranking[1:4])
    lines = [f"### {given.answer}, {100 * given.probability:.1f} %", f"or: {others}"]
    if line.truth:
        mark = {True: "right: ", False: "wrong: ", None: ""}[line.is_right]
        lines.append(f"{mark}the true answer is **{line.truth}**" if line.is_right is not None else line.truth)
    if before is not None:
        lines.append(f"before the change: {before.given.answer}" + (f" (true: {before.truth})" if before.truth else ""))
    if given.unknown_words:
        lines.append(f"words that the model does not know: {', '.join(given.unknown_words)}")
    return "\n\n".join(lines)


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
