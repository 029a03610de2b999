"""Places of the page to drop files."""

from __future__ import annotations

from typing import Any, Literal

import gradio as gr


class DropZone:
    """A place to drop files that is empty again once they are uploaded, so that more can come while they are taken in.

    The browser itself moves them out of the zone: done by the server, it would take along what was dropped since.

    Args:
        label: what the zone says.
        file_count: whether it takes several files at a time.
        number: of the class on whose card it is, by which Gradio knows it again when the card is drawn anew.

    Attributes:
        dropped: the event, for each upload.
        files: what was uploaded, as the event's input.
        progress: what Gradio has to know of the event, so that the zone shows that its files are taken in.
    """

    def __init__(self, label: str, file_count: Literal["single", "multiple"], number: int | None = None) -> None:
        zone, files, move = ((name, number) if number else None for name in ("zone", "files", "to move"))
        self.zone = gr.File(label=label, file_count=file_count, interactive=True, elem_classes="drop", key=zone)
        self.files = gr.File(file_count=file_count, interactive=False, visible="hidden", key=files)
        emptied = [self.files, self.zone]
        moved = self.zone.upload(
            None, self.zone, emptied, js="(files) => [files, null]", show_progress="hidden", key=move
        )
        self.dropped = moved.then
        self.progress: dict[str, Any] = {"show_progress": "minimal", "show_progress_on": self.zone}
