"""The part of the tab Teach that classifies and sorts a whole folder."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import gradio as gr

from fewshot_film.app.drop_zone import DropZone
from fewshot_film.app.events import QUIET, TeachEvents, warn
from fewshot_film.app.sorting import Sorting, sort_images
from fewshot_film.errors import counted, exit_status_of
from fewshot_film.page import in_page
from fewshot_film.turns import StoppableTurn

MAX_ROWS = 200
"""Rows that the page shows; the file has them all."""
HEADERS = ("image", "class", "probability, %")


class _Turn(StoppableTurn):
    """Held while a visitor's folder is sorted."""


def lay_out_sorting(events: TeachEvents) -> None:
    """Put it into the page that is being laid out."""

    def turn_of(request: gr.Request) -> _Turn:
        return events.page.visitors.of(request.session_hash, _Turn, lambda _: _Turn())

    with gr.Accordion("Classify and sort a folder", open=False):
        zone = DropZone("Drop a zip file of images here, or many images", "multiple")
        said = gr.HTML("", elem_classes="bare")
        with gr.Row(elem_classes="buttons"):
            table_file = gr.DownloadButton("Download table (CSV)", size="sm", visible=False)
            archive = gr.DownloadButton("Download sorted images (zip)", size="sm", visible=False)
            stop = gr.Button("Stop", size="sm", visible=False)
        table = gr.Dataframe(
            headers=list(HEADERS), interactive=False, wrap=True, visible=False, show_label=False, elem_classes="rows"
        )

    @in_page
    async def sort(files: list[str] | None, request: gr.Request) -> AsyncIterator[Any]:
        if not files:
            return
        session, visitors, turn = str(request.session_hash), events.page.visitors, turn_of(request)
        stops = turn.stops
        try:
            steps = sort_images(events.of(request), [Path(file) for file in files])
            async for sorting in events.turns.take(
                steps, lambda: visitors.is_open(session) and turn.stops == stops, turn
            ):
                yield _shown(sorting)
            if turn.stops != stops:
                yield "<p>Stopped</p>", *[gr.skip()] * 3, gr.update(visible=False)
                return
            warn(sorting.troubles, "Not classified")
        except Exception as error:
            if exit_status_of(error) is None:
                raise
            warn([str(error)], "Not classified")
            yield "", *[gr.update(visible=False)] * 4

    @in_page
    def stop_sorting(request: gr.Request) -> None:
        turn_of(request).stops += 1

    shown = [said, table, table_file, archive, stop]
    zone.dropped(sort, zone.files, shown, concurrency_limit=None, **{**QUIET, **zone.progress})
    stop.click(stop_sorting, None, None, concurrency_limit=None, **QUIET)


def _shown(sorting: Sorting) -> tuple[Any, ...]:
    """Progress bar, table, both files and the button that stops it."""
    rows = [_row(one.file, one.label, one.probability, one.is_rejected) for one in sorting.predictions[:MAX_ROWS]]
    table = gr.Dataframe(rows, headers=list(HEADERS), visible=bool(rows))
    if sorting.table is None:
        bar = (
            f'<progress class="progress" max="{sorting.total}" value="{sorting.done}" aria-label="Progress"></progress>'
        )
        said = f"<p>{sorting.done:,} of {counted(sorting.total, 'image')}</p>{bar}"
        hidden = gr.update(visible=False)
        return said, table, hidden, hidden, gr.update(visible=True)
    shown = f"; the first {MAX_ROWS} are shown" if len(sorting.predictions) > len(rows) else ""
    said = f"<p>{counted(len(sorting.predictions), 'image')} classified{shown}</p>"
    files = [gr.update(value=str(path), visible=True) for path in (sorting.table, sorting.archive)]
    return said, table, *files, gr.update(visible=False)


def _row(file: str, label: str, probability: float, is_rejected: bool) -> list[str]:
    return [file, label, "" if is_rejected else f"{100 * probability:.1f}"]
