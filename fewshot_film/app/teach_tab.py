"""The tab Teach: classes on the left, predictions on the right."""

from __future__ import annotations

import html
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import gradio as gr

from fewshot_film.app.drop_zone import DropZone
from fewshot_film.app.keep_tab import lay_out_keep
from fewshot_film.app.teaching import Group, Teaching, TeachingError, Verdict
from fewshot_film.classifier import FewShotClassifier
from fewshot_film.errors import exit_status_of
from fewshot_film.page import EVERY, Page, in_page
from fewshot_film.run.tables import markdown_text

EXAMPLES = {
    "photos": "Example: photos",
    "creatures": "Example: creatures",
    "glyphs": "Example: letters",
    "textures": "Example: patterns",
}
_START = (
    "Give each class a name and a few images: three are enough to start, ten are better. The classifier adapts at "
    "once, without training. Or start with an example."
)
_DRAWN: dict[str, Any] = {"show_progress": "hidden", "concurrency_limit": 1, "concurrency_id": "draw"}
"""How cards and answers are drawn anew: one at a time. Gradio numbers components and functions while it draws, and two
drawings at once could give one number twice; then a click does nothing, or something else."""
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
            tab.lay_out_load()
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
        self,
        trigger: Callable[..., object],
        do: Callable[..., Sequence[str] | None],
        *inputs: gr.Component,
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
            _warn(do(teaching, *values))
            return teaching.changes, teaching.answers

        listener = {"show_progress": "hidden", "api_visibility": "private", **listener}
        trigger(did, list(inputs), self.told, **listener)

    def when_dropped(
        self, zone: DropZone, do: Callable[[Teaching, Any], Sequence[str] | None], **listener: Any
    ) -> None:
        """Take in what is dropped into a zone, each time; meanwhile the zone says that it is at work.

        Args:
            zone: where.
            do: called with the visitor's :class:`Teaching` and the files; may return warnings to show.
            listener: see :meth:`when`.
        """

        def take(teaching: Teaching, files: object) -> Sequence[str] | None:
            try:
                return do(teaching, files) if files else None
            except Exception as error:
                if exit_status_of(error) is None:
                    raise
                return [str(error)]  # an error of Gradio's would lie on the zone until the next drop

        self.when(zone.dropped, take, zone.files, **zone.progress, **EVERY, **listener)

    # left

    def lay_out_begin(self) -> None:
        """How to add classes, and the status."""
        gr.Markdown("### Classes")
        lay_out_keep(self.of)
        with gr.Row(elem_classes="line"):
            name = gr.Textbox(placeholder="class name", show_label=False, container=False, scale=3)
            add = gr.Button("Add class", variant="primary", min_width=100)
            asked = gr.Textbox(visible="hidden")
        for trigger in (add.click, name.submit):
            # the field is emptied by the browser at once: done by the server, it would take the next name's letters too
            moved = trigger(None, name, [asked, name], js="(name) => [name, '']", show_progress="hidden")
            self.when(moved.then, lambda teaching, called: teaching.add_class(called) and None, asked, **EVERY)
        with gr.Row():
            for source, label in EXAMPLES.items():
                self.when(gr.Button(label, size="sm", min_width=110).click, _example(source))
            if self.page.folder:
                folder = Path(self.page.folder)
                load = gr.Button(f"Load {folder.name}", size="sm", min_width=110)
                self.when(load.click, lambda teaching: teaching.add_folder(folder))
            self.when(gr.Button("Start over", size="sm", min_width=110).click, Teaching.clear)
        status = gr.Markdown(_START, elem_classes="status")

        def say_status(request: gr.Request) -> str:
            return self.of(request).status or _START

        self.classes_changed.change(say_status, None, status, show_progress="hidden")

    def lay_out_cards(self) -> None:
        """One card per class, redrawn when a class has changed."""

        def cards(request: gr.Request) -> None:
            for group in list(self.of(request).groups.values()):
                with gr.Column(variant="panel", elem_classes="card", key=("card", group.number)):
                    self._lay_out_card(group, _Card(group.number, f"cards of {request.session_hash}"))

        gr.render(triggers=[self.classes_changed.change], **_DRAWN)(cards)

    def _lay_out_card(self, group: Group, card: _Card) -> None:
        number = group.number
        with gr.Row(equal_height=True, key=card.key("head")):
            name = gr.Textbox(
                group.name,
                label="Name",
                show_label=False,
                container=False,
                scale=4,
                max_lines=1,
                interactive=True,
                key=card.key("name"),
            )
            remove = gr.Button("Remove class", size="sm", scale=0, min_width=110, key=card.key("remove"))
        if group.in_field == group.name:
            name.value = None  # is not sent, so that a name being typed is not written over
        group.in_field = group.name
        for trigger in (name.submit, name.blur):
            key = f"rename by {trigger.event_name}"
            self.when(trigger, lambda teaching, called: _rename(teaching, number, called), name, **card.listener(key))
        self.when(remove.click, lambda teaching: teaching.remove_class(number), **card.listener("remove"))
        if group.images:
            self._lay_out_images(group, card)
        zone = DropZone(f"Drop images of {group.name} here", "multiple", number)
        self.when_dropped(zone, lambda teaching, paths: teaching.add(number, paths), **card.listener("add"))

    def _lay_out_images(self, group: Group, card: _Card) -> None:
        chosen = gr.State(-1)
        images = list(group.images)
        gallery = _thumbnails([(image.thumbnail, None) for image in images])
        with gr.Row(equal_height=True):
            many = f"{len(images)} image{'s' if len(images) > 1 else ''}"
            count = gr.Markdown(f"{many}; click one to select it", elem_classes="count")
            remove = gr.Button("Remove selected image", size="sm", scale=0, min_width=170)

        def choose(event: gr.SelectData) -> tuple[int, str]:
            return int(event.index), f"{many}; number {int(event.index) + 1} is selected"

        listener = {"show_progress": "hidden", "api_visibility": "private", **EVERY}
        gallery.select(choose, None, [chosen, count], **listener, **card.listener("choose"))
        self.when(
            remove.click,
            lambda teaching, place: teaching.remove_image(group.number, place),
            chosen,
            **card.listener("remove image"),
        )

    def lay_out_load(self) -> None:
        """Loading a classifier, or a folder of images."""
        with gr.Accordion("Load a classifier", open=False):
            archive = DropZone("Drop a saved classifier (zip), or a zip with one folder of images per class", "single")
        self.when_dropped(archive, lambda teaching, path: teaching.load(Path(path)))

    # right

    def lay_out_queries(self) -> None:
        """Where query images are dropped, and how strictly they are rejected."""
        gr.Markdown("### What is this?")
        self.when_dropped(DropZone("Drop images to classify here", "multiple"), Teaching.ask)
        with gr.Accordion("Webcam", open=False):
            camera = gr.Image(sources=["webcam"], type="filepath", image_mode=None, show_label=False, height=260)
        self.when(camera.input, lambda teaching, path: teaching.ask([path]) if path else None, camera, **EVERY)
        with gr.Row(equal_height=True):
            reject = gr.Slider(
                0,
                0.3,
                0.05,
                step=0.01,
                label="None of these",
                info="share of the classes' own images that may be rejected together with unknown ones; 0: every image "
                "gets a class",
                scale=4,
            )
            forget = gr.Button("Clear", size="sm", scale=0, min_width=110)
        self.when(reject.release, Teaching.set_reject, reject, trigger_mode="always_last")
        self.when(forget.click, Teaching.forget_queries)

    def lay_out_answers(self) -> None:
        """The predictions: all queries, then the selected one in detail."""

        def answers(request: gr.Request) -> None:
            teaching = self.of(request)
            verdicts, queries = teaching.verdicts, teaching.queries
            if verdicts:
                self._lay_out_verdicts(verdicts, teaching.can_reject)
            elif queries:
                _thumbnails([(query.thumbnail, None) for query in queries])

        gr.render(triggers=[self.answers_changed.change], **_DRAWN)(answers)

    def _lay_out_verdicts(self, verdicts: Sequence[Verdict], can_reject: bool) -> None:
        first, *_ = verdicts
        gallery = _thumbnails([(one.image.thumbnail, caption(one)) for one in verdicts])
        with gr.Column(variant="panel", elem_classes="verdict"):
            said = gr.Markdown(headline(first, can_reject))
            bars = gr.Label(first.probabilities, num_top_classes=_BARS, show_label=False, show_heading=False)
            gr.Markdown("Most similar support images, with the distance of their features", elem_classes="count")
            nearest = _thumbnails(_alike(first))

        @in_page
        def choose(event: gr.SelectData) -> tuple[str, dict[str, float], list[Any]]:
            one = verdicts[int(event.index)]
            alike = [(str(path), caption) for path, caption in _alike(one)]
            return headline(one, can_reject), one.probabilities, alike

        shown = [said, bars, nearest]
        gallery.select(choose, None, shown, show_progress="hidden", api_visibility="private", **EVERY)


class _Card:
    """What makes a card the same card when it is drawn anew.

    Gradio recognises components and listeners by their keys. So the text field keeps the focus, and events that arrive
    while the card is redrawn reach a function that still exists.

    Args:
        number: of the class.
        queue: who waits for whom: what is done with a visitor's cards is done in the order in which it was asked for.
    """

    def __init__(self, number: int, queue: str) -> None:
        self.number = number
        self.queue = queue

    def key(self, name: str) -> tuple[str, int]:
        """Of a part of the card."""
        return name, self.number

    def listener(self, name: str) -> dict[str, Any]:
        """What Gradio has to know of one of the card's events."""
        return {"key": (f"to {name}", self.number), "concurrency_id": self.queue}


def _rename(teaching: Teaching, number: int, name: str) -> list[str]:
    """Another name for a class; the reason where it cannot have it, and then its card shows the name that it has."""
    try:
        teaching.rename(number, name)
    except TeachingError as error:
        teaching.changes += 1
        return [str(error)]
    return []


def _warn(troubles: Sequence[str] | None) -> None:
    """Show which files could not be used, and why."""
    if troubles:
        more = len(troubles) - _SHOWN_TROUBLES
        lines = [*troubles[:_SHOWN_TROUBLES], *([f"and {more} more"] if more > 0 else [])]
        gr.Warning("Not added: " + "<br>".join(html.escape(line) for line in lines))


def _example(source: str) -> Callable[[Teaching], None]:
    return lambda teaching: teaching.add_example(source)


def _thumbnails(images: Sequence[tuple[Path, str | None]]) -> gr.Gallery:
    return gr.Gallery(
        [(str(path), caption) for path, caption in images],
        show_label=False,
        height="auto",
        object_fit="contain",
        allow_preview=False,
        interactive=False,
        buttons=[],
        elem_classes="image-list",
    )


def caption(verdict: Verdict) -> str:
    """What stands below a query image, as plain text."""
    share = verdict.probabilities[verdict.name]
    return (
        f"none of these ({verdict.relative_distance:.1f} ×)"
        if verdict.is_stranger
        else f"{verdict.name} {100 * share:.0f} %"
    )


def headline(verdict: Verdict, can_reject: bool) -> str:
    """What is said of the selected query image, as Markdown.

    Args:
        verdict: the prediction.
        can_reject: whether the classifier can reject images.
    """
    name = markdown_text(verdict.name)
    if verdict.is_stranger:
        far = f"{verdict.relative_distance:.1f} times as far from the nearest class, {name}"
        return f"### None of these\nIt is {far}, as that class's own images are at most."
    note = "" if can_reject else "\nWith one image per class, nothing can be rejected: add a second one."
    return f"### {name}, {100 * verdict.probabilities[verdict.name]:.1f} %{note}"


def _alike(verdict: Verdict) -> list[tuple[Path, str | None]]:
    return [(image.thumbnail, f"{name}, {distance:.1f}") for image, name, distance in verdict.nearest]
