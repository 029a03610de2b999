"""The tab Compare: which learner is best on which images."""

from __future__ import annotations

import html
import math
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path
from typing import Any

import gradio as gr

from fewshot_film.app.comparing import (
    GENERATED,
    ComparisonError,
    Progress,
    compare,
    folder_source,
    learner_names,
    taught,
)
from fewshot_film.app.examples import GENERATED as CLASS_WORDS
from fewshot_film.app.fields import slider
from fewshot_film.app.teaching import Teaching
from fewshot_film.data.source import ImageSource
from fewshot_film.errors import exit_status_of
from fewshot_film.page import Page, in_page
from fewshot_film.turns import StoppableTurn, Turns

MINE, FOLDER, ARCHIVE = "my classes from Teach", "the folder of --folder", "a zip file of folders"
MAX_EPISODES = 2000
HEADERS = ("learner", "accuracy, %", "± 95 %", "difference to the best, %", "± 95 %", "ms per episode")
_AT_ONCE = 4
"""Comparisons under way at once: each holds models and images in memory."""
Shown = tuple[str, str]
"""The progress bar and the table."""


class _Turn(StoppableTurn):
    """Held by a visitor's comparison."""


def build(page: Page) -> None:
    """Put the tab into the page that is being laid out."""
    turns = Turns(works=_AT_ONCE)
    learners = learner_names(page)
    gr.Markdown(
        "All learners classify the same episodes. Generated images give episodes of classes that no model here was "
        "trained on, with ten queries per class; your own images are split at random, again and again."
    )
    with gr.Row():
        with gr.Column(scale=2, min_width=320):
            chosen = _lay_out_choices(page, learners)
            with gr.Row():
                start = gr.Button("Compare", variant="primary")
                stop = gr.Button("Stop")
        with gr.Column(scale=3, min_width=420):
            bar = gr.HTML(_bar(0, 0))
            table = gr.HTML(_table([]), elem_classes="bare", apply_default_css=False)
            gr.Markdown(
                "95 % intervals over the episodes; differences are paired by episode. For your own images, they show "
                "what another random split would change, not what other images would."
            )

    def turn_of(request: gr.Request) -> _Turn:
        return page.visitors.of(request.session_hash, _Turn, lambda _: _Turn())

    @in_page
    async def run(
        data: str, path: str | None, names: list[str], way: int, shot: int, count: int, request: gr.Request
    ) -> AsyncIterator[Shown]:
        session, visitors = str(request.session_hash), page.visitors
        turn = turn_of(request)
        stops, done = turn.stops, 0
        shown: Shown = _bar(0, count), _table([])
        yield shown
        in_order = [name for name in learners if name in names]

        def steps() -> Iterator[Progress]:
            yield from compare(page, _source(page, data, path, request), in_order, count, way=way, shot=shot)

        try:
            async for progress in turns.take(steps(), lambda: visitors.is_open(session) and turn.stops == stops, turn):
                done, shown = progress.done, (_bar(progress.done, progress.total), _table(_rows(progress)))
                yield shown
            if done < count:
                yield _bar(done, count, "Stopped: "), shown[1]
        except Exception as error:
            yield _stopped(_reason(error)), shown[1]
            raise

    @in_page
    def stop_running(request: gr.Request) -> None:
        turn_of(request).stops += 1

    options: Any = {"show_progress": "hidden", "api_visibility": "private"}
    start.click(run, chosen, [bar, table], concurrency_limit=None, **options)
    stop.click(stop_running, None, None, concurrency_limit=None, **options)


def _lay_out_choices(page: Page, names: list[str]) -> list[gr.components.Component]:
    """Data, zip file, learners, way, shot and number of episodes, in this order."""
    own = [MINE, *([FOLDER] if page.folder else []), ARCHIVE]
    places = [*((f"{CLASS_WORDS[name]}s", name) for name in GENERATED), *((name, name) for name in own)]
    data = gr.Radio(places, value=GENERATED[0], label="Images")
    archive = gr.File(label="Zip file with one folder of images per class", visible=False, elem_classes="drop")
    data.change(lambda chosen: gr.File(visible=chosen == ARCHIVE), data, archive, show_progress="hidden")
    learners = gr.CheckboxGroup(
        names,
        value=[name for name in names if name not in page.models[:-1]],
        label="Learners",
        info="all except the models use the network of the last model, without FiLM",
    )
    with gr.Row():
        way = slider(2, 20, 5, step=1, label="Way", info="classes per episode, for generated images")
        shot = slider(1, 10, 1, step=1, label="Shot", info="support images per class")
    episodes = slider(10, MAX_EPISODES, 100, step=10, label="Episodes")
    return [data, archive, learners, way, shot, episodes]


def _source(page: Page, chosen: str, path: str | None, request: gr.Request) -> str | ImageSource:
    if chosen == MINE:
        held = page.visitors.held(request.session_hash, Teaching)
        return taught(list(held.groups.values()) if held else [])
    if chosen == FOLDER:
        return folder_source(page.folder)
    if chosen != ARCHIVE:
        return chosen
    if path is None:
        raise ComparisonError("drop a zip file first, below the choice of images")
    page.limits.check_archive(Path(path))
    return folder_source(path)


def _bar(done: int, total: int, before: str = "") -> str:
    if not total:
        return "<p>Idle</p>"
    state = "Loading images" if not done else f"{done} of {total} episodes"
    bar = f'<progress class="progress" max="{total}" value="{done}" aria-label="Progress"></progress>'
    return f"<p>{html.escape(before + state)}</p>{bar}"


def _stopped(reason: str) -> str:
    return f"<p>Stopped: {html.escape(reason)}</p>"


def _reason(error: Exception) -> str:
    return str(error) if exit_status_of(error) is not None else type(error).__name__


def _rows(progress: Progress) -> list[list[str]]:
    return [
        [
            row.name,
            _percent(row.accuracy),
            _percent(row.interval),
            _percent(row.difference) if place else "best",
            _percent(row.difference_interval) if place else "",
            f"{row.milliseconds:.1f}",
        ]
        for place, row in enumerate(progress.rows)
    ]


def _table(rows: Sequence[Sequence[str]]) -> str:
    """The table, which scrolls sideways where it is too wide."""
    head = "".join(f'<th scope="col">{html.escape(name)}</th>' for name in HEADERS)
    body = "".join(f"<tr>{''.join(f'<td>{html.escape(cell)}</td>' for cell in row)}</tr>" for row in rows)
    table = f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
    return f'<div class="results" role="region" aria-label="Results" tabindex="0">{table}</div>'


def _percent(share: float) -> str:
    return "" if math.isnan(share) else f"{100 * share:.2f}"
