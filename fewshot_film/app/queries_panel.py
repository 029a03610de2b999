"""The right column of the tab Teach: images to classify, and what they are."""

from __future__ import annotations

from typing import Any

import gradio as gr

from fewshot_film.app.drop_zone import DropZone
from fewshot_film.app.events import DRAWN, QUIET, TeachEvents
from fewshot_film.app.fields import slider
from fewshot_film.app.teaching import MAX_REJECT, Teaching
from fewshot_film.app.thumbnails import CHOOSE, REMOVE, thumbnail_list, thumbnails_html, told
from fewshot_film.app.verdicts import Verdict, verdict_html
from fewshot_film.app.webcam import lay_out_webcam
from fewshot_film.page import EVERY, in_page


def lay_out_queries(events: TeachEvents) -> None:
    """Where query images are dropped, and how strictly they are rejected."""
    gr.Markdown("## What is this?")
    events.when_dropped(DropZone("Drop images to classify here", "multiple"), Teaching.asking)
    lay_out_webcam(events)


def lay_out_settings(events: TeachEvents) -> None:
    """How strictly images are rejected."""
    with gr.Row(equal_height=True, elem_classes="line"):
        reject = slider(
            0,
            MAX_REJECT,
            0.05,
            step=0.01,
            label="None of these",
            info="share of the classes' own images that may be rejected together with unknown ones; 0: every image "
            "gets a class",
            scale=4,
        )
        forget = gr.Button("Clear images to classify", size="sm", scale=1, min_width=180)
    events.when(reject.release, Teaching.set_reject, reject, trigger_mode="always_last")
    events.when(forget.click, Teaching.forget_queries)


def lay_out_answers(events: TeachEvents) -> None:
    """The predictions: all queries, then the selected one in detail."""

    def answers(request: gr.Request) -> None:
        teaching = events.of(request)
        if teaching.queries:
            with gr.Column(elem_classes="queries", key="query column"):
                queries = thumbnail_list(_queries_html(teaching), key="queries")
            shown = _lay_out_verdict(events, teaching, teaching.verdict) if teaching.verdict else []
            _connect(events, queries, shown)

    gr.render(triggers=[events.answers_changed.change], **DRAWN)(answers)


def _connect(events: TeachEvents, queries: gr.HTML, shown: list[gr.components.Component]) -> None:
    """What a click on a query or its cross does."""

    @in_page
    def act(event: gr.SelectData, request: gr.Request) -> dict[Any, Any]:
        teaching = events.of(request)
        action, key = told(event)
        if action == REMOVE:
            teaching.remove_query(key)
            return dict(zip(events.told, (teaching.changes, teaching.answers), strict=True))
        verdict = teaching.select(key)
        values = _verdict_values(teaching, verdict) if verdict else []
        return {queries: _queries_html(teaching), **dict(zip(shown, values, strict=bool(values)))}

    queries.select(act, None, [queries, *shown, *events.told], **QUIET, **EVERY, key="act on query")


def _lay_out_verdict(events: TeachEvents, teaching: Teaching, verdict: Verdict) -> list[gr.components.Component]:
    """The prediction in detail; returns what changes when another query is selected."""
    said, nearest, choice = _verdict_values(teaching, verdict)
    with gr.Column(variant="panel", elem_classes="verdict"):
        text = gr.HTML(said, elem_classes="bare", apply_default_css=False, key="said")
        with gr.Row(elem_classes="line", key="correct"):
            group = gr.Dropdown(
                choice["choices"],
                value=choice["value"],
                label="This is a",
                interactive=True,
                min_width=140,
                scale=3,
                key="this is a",
            )
            move = gr.Button("Add to this class", size="sm", min_width=130, scale=1, key="move")
        alike = gr.HTML(nearest, elem_classes="bare", apply_default_css=False, key="nearest")
    events.when(move.click, _move, group, key="to move a query")
    return [text, alike, group]


def _move(teaching: Teaching, number: int | None) -> None:
    teaching.move_query(-1 if number is None else int(number))


def _verdict_values(teaching: Teaching, verdict: Verdict) -> tuple[str, str, Any]:
    """What is said of a query, the images that are like it, and the classes it could be added to."""
    choices = [(group.name, group.number) for group in teaching.groups.values()]
    chosen = next((number for name, number in choices if name == verdict.name), None)
    alike = [(image, f"{name}, {distance:.1f}") for image, name, distance in verdict.nearest]
    nearest = "<p>Most similar support images, with the distance of their features</p>" + thumbnails_html(
        alike, "Most similar support images"
    )
    return verdict_html(verdict, teaching.can_reject), nearest, gr.update(choices=choices, value=chosen)


def _queries_html(teaching: Teaching) -> str:
    captions = {verdict.image: verdict.caption for verdict in teaching.verdicts}
    selected = teaching.selected.key if teaching.selected else ""
    images = [(query, captions.get(query, "")) for query in teaching.queries]
    return thumbnails_html(images, "Images to classify", actions=(CHOOSE, REMOVE), selected=selected)
