"""The tab Teach: classes on the left, predictions on the right."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import gradio as gr

from fewshot_film.app.drop_zone import DropZone
from fewshot_film.app.events import DRAWN, QUIET, TeachEvents, replacing, warn
from fewshot_film.app.groups import Group
from fewshot_film.app.keep_tab import lay_out_keep
from fewshot_film.app.queries_panel import lay_out_answers, lay_out_queries, lay_out_settings
from fewshot_film.app.sort_panel import lay_out_sorting
from fewshot_film.app.taught import TeachingError
from fewshot_film.app.teaching import Teaching
from fewshot_film.app.thumbnails import REMOVE, thumbnail_list, thumbnails_html, told
from fewshot_film.app.webcam import lay_out_hold
from fewshot_film.errors import counted
from fewshot_film.page import EVERY, Page, in_page

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


def build(page: Page) -> Callable[[Callable[..., object]], None]:
    """Put the tab into the page that is being laid out; returns what shows it again when an event happens."""
    events = TeachEvents(page)
    with gr.Row(elem_classes="teach"):
        with gr.Column(min_width=320):
            _lay_out_begin(events)
            _lay_out_cards(events)
            _lay_out_load(events)
        with gr.Column(min_width=320, elem_classes="answers"):
            lay_out_queries(events)
            lay_out_answers(events)
            lay_out_settings(events)
            lay_out_sorting(events)
    return lambda trigger: events.when(trigger, lambda teaching: None)


def _lay_out_begin(events: TeachEvents) -> None:
    """How to add classes, and the status."""
    gr.Markdown("## Classes")
    lay_out_keep(events.of)
    with gr.Row(elem_classes="line"):
        name = gr.Textbox(placeholder="class name", label="Class name", show_label=False, container=False, scale=3)
        add = gr.Button("Add class", variant="primary", min_width=110)
        asked = gr.Textbox(visible="hidden")
    for trigger in (add.click, name.submit):
        # the field is emptied by the browser at once: done by the server, it would take the next name's letters too
        moved = trigger(None, name, [asked, name], js="(name) => [name, '']", show_progress="hidden")
        events.when(moved.then, lambda teaching, called: teaching.add_class(called) and None, asked, **EVERY)
    with gr.Row(elem_classes="buttons"):
        for source, label in EXAMPLES.items():
            events.when_sure(gr.Button(label, size="sm", min_width=110).click, replacing(label), _example(source))
        if events.page.folder:
            folder = Path(events.page.folder)
            load = gr.Button(f"Load {folder.name}", size="sm", min_width=110)
            events.when(load.click, lambda teaching: teaching.add_folder(folder))
    with gr.Row(elem_classes="buttons"):
        undo = gr.Button("Undo", size="sm", min_width=90, interactive=False)
        redo = gr.Button("Redo", size="sm", min_width=90, interactive=False)
        clear = gr.Button("Start over", size="sm", min_width=90)
        events.stop.render()
    events.when(events.stop.click, Teaching.stop_reading, concurrency_limit=None, **EVERY)
    events.when(undo.click, Teaching.undo, **EVERY)
    events.when(redo.click, Teaching.redo, **EVERY)
    events.when_sure(clear.click, replacing("Start over"), Teaching.clear)
    status = gr.Markdown(_START, elem_classes="status")

    def say_status(request: gr.Request) -> tuple[str, gr.Button, gr.Button]:
        teaching = events.of(request)
        can_undo, can_redo = (gr.Button(interactive=can) for can in (teaching.can_undo, teaching.can_redo))
        return teaching.status or _START, can_undo, can_redo

    for changed in events.told:
        changed.change(say_status, None, [status, undo, redo], **QUIET)


def _lay_out_cards(events: TeachEvents) -> None:
    """One card per class, redrawn when a class has changed."""

    def cards(request: gr.Request) -> None:
        for group in list(events.of(request).groups.values()):
            with gr.Column(variant="panel", elem_classes="card", key=("card", group.number)):
                _lay_out_card(events, group, _Card(group.number, f"cards of {request.session_hash}"))

    gr.render(triggers=[events.classes_changed.change], **DRAWN)(cards)


def _lay_out_card(events: TeachEvents, group: Group, card: _Card) -> None:
    number = group.number
    with gr.Row(equal_height=True, key=card.key("head")):
        name = gr.Textbox(
            group.name,
            label="Name",
            show_label=False,
            container=False,
            scale=4,
            max_lines=1,
            min_width=120,
            interactive=True,
            key=card.key("name"),
        )
        lay_out_hold(group, card.key("hold"))
        remove = gr.Button("Remove class", size="sm", scale=0, min_width=110, key=card.key("remove"))
    if group.in_field == group.name:
        name.value = None  # is not sent, so that a name being typed is not written over
    group.in_field = group.name
    for trigger in (name.submit, name.blur):
        key = f"rename by {trigger.event_name}"
        events.when(trigger, lambda teaching, called: _rename(teaching, number, called), name, **card.listener(key))
    events.when(remove.click, lambda teaching: teaching.remove_class(number), **card.listener("remove"))
    if group.images:
        _lay_out_images(events, group, card)
    zone = DropZone(f"Drop images of {group.name} here", "multiple", number)
    events.when_dropped(zone, lambda teaching, paths: teaching.adding(number, paths), key=("to add", number))


def _lay_out_images(events: TeachEvents, group: Group, card: _Card) -> None:
    gr.Markdown(counted(len(group.images), "image"), elem_classes="count", key=card.key("count"))
    images = [(image, "") for image in group.images]
    listed = thumbnails_html(images, f"Images of {group.name}", actions=(REMOVE,))
    thumbnails = thumbnail_list(listed, key=card.key("images"))

    @in_page
    def remove(event: gr.SelectData, request: gr.Request) -> tuple[int, int]:
        teaching = events.of(request)
        _, key = told(event)
        teaching.remove_image(group.number, key)
        return teaching.changes, teaching.answers

    thumbnails.select(remove, None, events.told, **QUIET, **EVERY, **card.listener("remove image"))


def _lay_out_load(events: TeachEvents) -> None:
    """Loading a classifier, or a folder of images."""
    with gr.Accordion("Load a classifier", open=False):
        archive = DropZone("Drop a saved classifier (zip), or a zip with one folder of images per class", "single")
    events.when_dropped_and_sure(archive, _question_before_loading, lambda teaching, path: teaching.loading(Path(path)))


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


def _rename(teaching: Teaching, number: int, name: str) -> None:
    """Another name for a class; where it cannot have it, its card shows the name that it has, and a warning why."""
    try:
        teaching.rename(number, name)
    except TeachingError as error:
        teaching.changes += 1
        warn([str(error)], "Not renamed")


def _question_before_loading(teaching: Teaching, path: str | None) -> str:
    return replacing("Loading this classifier")(teaching) if path and teaching.replaces(Path(path)) else ""


def _example(source: str) -> Callable[[Teaching], None]:
    return lambda teaching: teaching.add_example(source)
