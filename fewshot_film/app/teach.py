"""The tab Teach: classes on the left, what the classifier says on the right."""

from __future__ import annotations

import html
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

import gradio as gr

from fewshot_film.app.teaching import Group, Teaching, Verdict
from fewshot_film.classifier import FewShotClassifier
from fewshot_film.run.page import Page, in_page

EXAMPLES = {"creatures": "Example: creatures", "glyphs": "Example: letters", "textures": "Example: patterns"}
_START = (
    "Give every class a name and a few pictures: three make a start, ten are better. The classifier adapts at once, "
    "without training. Or begin with an example."
)
_SHOWN_TROUBLES = 3
_BARS = 6

Told = tuple[int, int]
"""How often classes and answers have changed: what shows them is drawn anew where its number is another one."""


def build(page: Page) -> None:
    """Put the tab into the page that is being laid out."""
    tab = _Teach(page)
    with gr.Row():
        with gr.Column(min_width=420):
            tab.lay_out_begin()
            tab.lay_out_cards()
            tab.lay_out_keep()
        with gr.Column(min_width=420, elem_classes="answers"):
            tab.lay_out_queries()
            tab.lay_out_answers()


class _Teach:
    """The components that parts of the tab share."""

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
        self, trigger: Callable[..., object], do: Callable[..., Sequence[str] | None], *inputs: gr.Component
    ) -> None:
        """Do something with the visitor's classes when an event happens, and say what went wrong.

        Args:
            trigger: the event, such as ``button.click``.
            do: called with the visitor's :class:`Teaching` and the inputs' values; may return troubles to show.
            inputs: whose values are handed over.
        """

        @in_page
        def did(request: gr.Request, *values: object) -> Told:
            teaching = self.of(request)
            _warn(do(teaching, *values))
            return teaching.changes, teaching.answers

        trigger(did, list(inputs), self.told, show_progress="hidden", api_visibility="private")

    # left

    def lay_out_begin(self) -> None:
        """What adds classes, and how things stand."""
        gr.Markdown("### Classes")
        with gr.Row(elem_classes="line"):
            name = gr.Textbox(placeholder="name of a class", show_label=False, container=False, scale=3)
            add = gr.Button("Add class", variant="primary", min_width=100)
        for trigger in (add.click, name.submit):
            self.when(trigger, lambda teaching, called: teaching.add_class(called) and None, name)
            trigger(lambda: "", None, name, show_progress="hidden")
        with gr.Row():
            for source, label in EXAMPLES.items():
                self.when(gr.Button(label, size="sm", min_width=110).click, _example(source))
            if self.page.folder:
                folder = Path(self.page.folder)
                load = gr.Button(f"Load {folder.name}", size="sm", min_width=110)
                self.when(load.click, lambda teaching: teaching.add_folder(folder))
            self.when(gr.Button("Start afresh", size="sm", min_width=110).click, Teaching.clear)
        status = gr.Markdown(_START, elem_classes="status")

        def say_status(request: gr.Request) -> str:
            return self.of(request).status or _START

        self.classes_changed.change(say_status, None, status, show_progress="hidden")

    def lay_out_cards(self) -> None:
        """One card a class, drawn anew when a class has changed."""

        def cards(request: gr.Request) -> None:
            for group in list(self.of(request).groups.values()):
                with gr.Column(variant="panel", elem_classes="card"):
                    self._lay_out_card(group)

        gr.render(triggers=[self.classes_changed.change], show_progress="hidden")(cards)

    def _lay_out_card(self, group: Group) -> None:
        number = group.number
        with gr.Row(equal_height=True):
            name = gr.Textbox(
                group.name, label="Name", show_label=False, container=False, scale=4, max_lines=1, interactive=True
            )
            remove = gr.Button("Remove class", size="sm", scale=0, min_width=110)
        for trigger in (name.submit, name.blur):
            self.when(trigger, lambda teaching, called: teaching.rename(number, called), name)
        self.when(remove.click, lambda teaching: teaching.remove_class(number))
        if group.pictures:
            self._lay_out_pictures(group)
        files = _drop_zone(f"Drop pictures of {group.name} here", "multiple")
        self.when(files.upload, lambda teaching, paths: teaching.add(number, paths), files)

    def _lay_out_pictures(self, group: Group) -> None:
        chosen = gr.State(-1)
        gallery = _thumbnails([(picture.thumbnail, None) for picture in group.pictures])

        def choose(event: gr.SelectData) -> int:
            return int(event.index)

        gallery.select(choose, None, chosen, show_progress="hidden")
        with gr.Row(equal_height=True):
            count = len(group.pictures)
            gr.Markdown(f"{count} picture{'s' if count > 1 else ''}; a click chooses one", elem_classes="count")
            remove = gr.Button("Remove chosen picture", size="sm", scale=0, min_width=170)
        self.when(remove.click, lambda teaching, place: teaching.remove_picture(group.number, place), chosen)

    def lay_out_keep(self) -> None:
        """Taking the classifier away, and bringing it or a folder of pictures back."""
        with gr.Accordion("Keep it, load it, load a folder", open=False):
            with gr.Row():
                save = gr.Button("Save classifier", size="sm")
                export = gr.Button("Export as ONNX", size="sm")
            kept = gr.File(label="Download", interactive=False, visible=False)
            archive = _drop_zone(
                "Drop a saved classifier (zip), or a zip with one folder of pictures a class", "single"
            )
        self.when(archive.upload, lambda teaching, path: teaching.load(Path(path)), archive)
        archive.upload(lambda: None, None, archive, show_progress="hidden")

        @in_page
        def save_it(request: gr.Request) -> gr.File:
            return gr.File(str(self.of(request).save()), visible=True)

        @in_page
        def export_it(request: gr.Request) -> gr.File:
            return gr.File(str(self.of(request).export_onnx()), visible=True)

        save.click(save_it, None, kept)
        export.click(export_it, None, kept)

    # right

    def lay_out_queries(self) -> None:
        """What is to be named."""
        gr.Markdown("### What is this?")
        files = _drop_zone("Drop pictures to be named here", "multiple")
        self.when(files.upload, Teaching.ask, files)
        files.upload(lambda: None, None, files, show_progress="hidden")
        with gr.Accordion("Webcam", open=False):
            camera = gr.Image(sources=["webcam"], type="filepath", image_mode=None, show_label=False, height=260)
        self.when(camera.input, lambda teaching, path: teaching.ask([path]) if path else None, camera)
        with gr.Row(equal_height=True):
            reject = gr.Slider(
                0,
                0.3,
                0.05,
                step=0.01,
                label="None of these",
                info="share of the classes' own pictures that may be turned away with the strangers; 0: every picture "
                "gets a class",
                scale=4,
            )
            forget = gr.Button("Forget them", size="sm", scale=0, min_width=110)
        self.when(reject.release, Teaching.set_reject, reject)
        self.when(forget.click, Teaching.forget_queries)

    def lay_out_answers(self) -> None:
        """What the classifier says: all queries, then the chosen one."""

        def answers(request: gr.Request) -> None:
            teaching = self.of(request)
            if teaching.verdicts:
                self._lay_out_verdicts(teaching)
            elif teaching.queries:
                _thumbnails([(query.thumbnail, None) for query in teaching.queries])

        gr.render(triggers=[self.answers_changed.change], show_progress="hidden")(answers)

    def _lay_out_verdicts(self, teaching: Teaching) -> None:
        first, *_ = teaching.verdicts
        gallery = _thumbnails([(one.picture.thumbnail, _caption(one)) for one in teaching.verdicts])
        with gr.Column(variant="panel", elem_classes="verdict"):
            said = gr.Markdown(_headline(first, teaching.can_reject))
            bars = gr.Label(first.probabilities, num_top_classes=_BARS, show_label=False, show_heading=False)
            gr.Markdown("Most alike among the classes' pictures, and how far apart", elem_classes="count")
            nearest = _thumbnails(_alike(first))

        @in_page
        def choose(request: gr.Request, event: gr.SelectData) -> tuple[str, dict[str, float], list[Any]]:
            verdicts = self.of(request).verdicts
            one = verdicts[min(int(event.index), len(verdicts) - 1)]
            alike = [(str(path), caption) for path, caption in _alike(one)]
            return _headline(one, self.of(request).can_reject), one.probabilities, alike

        shown = [said, bars, nearest]
        gallery.select(choose, None, shown, show_progress="hidden", api_visibility="private")


def _warn(troubles: Sequence[str] | None) -> None:
    """What was wrong with some of the files, in the page."""
    if troubles:
        more = len(troubles) - _SHOWN_TROUBLES
        lines = [*troubles[:_SHOWN_TROUBLES], *([f"and {more} more"] if more > 0 else [])]
        gr.Warning("Not taken: " + "<br>".join(html.escape(line) for line in lines))


def _example(source: str) -> Callable[[Teaching], None]:
    return lambda teaching: teaching.add_example(source)


def _drop_zone(label: str, file_count: Literal["single", "multiple"]) -> gr.File:
    return gr.File(label=label, file_count=file_count, interactive=True, elem_classes="drop")


def _thumbnails(pictures: Sequence[tuple[Path, str | None]]) -> gr.Gallery:
    return gr.Gallery(
        [(str(path), caption) for path, caption in pictures],
        show_label=False,
        height="auto",
        object_fit="contain",
        allow_preview=False,
        interactive=False,
        buttons=[],
        elem_classes="pictures",
    )


def _caption(verdict: Verdict) -> str:
    share = verdict.probabilities[verdict.name]
    return "none of these" if verdict.is_stranger else f"{verdict.name} {100 * share:.0f} %"


def _headline(verdict: Verdict, can_reject: bool) -> str:
    if verdict.is_stranger:
        return f"### None of these\nFurther from every class than their own pictures are; {verdict.name} comes nearest."
    note = "" if can_reject else "\nWith one picture a class, strangers cannot be told: give a second."
    return f"### {verdict.name}, {100 * verdict.probabilities[verdict.name]:.1f} %{note}"


def _alike(verdict: Verdict) -> list[tuple[Path, str | None]]:
    return [(picture.thumbnail, f"{name}, {distance:.1f}") for picture, name, distance in verdict.nearest]
