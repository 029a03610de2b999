"""The row of Teach that keeps the classifier: each button downloads one file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import gradio as gr

from fewshot_film.app.teaching import Teaching
from fewshot_film.page import in_page

_DOWNLOAD = """(file) => {
    if (!file) return;
    const link = document.createElement("a");
    link.href = file.url;
    link.download = file.orig_name;
    link.click();
}"""
KEPT: dict[str, Callable[[Teaching], Path]] = {
    "Save classifier": Teaching.save,
    "Export as ONNX": Teaching.export_onnx,
    "Share as a web page": Teaching.export_page,
}
"""The buttons, and what makes the file that each downloads."""


def lay_out_keep(of: Callable[[gr.Request], Teaching]) -> None:
    """Put the row into the page that is being laid out.

    Args:
        of: the visitor's own classes.
    """
    with gr.Row(elem_classes="buttons"):
        buttons = {gr.Button(label, size="sm", min_width=110): make for label, make in KEPT.items()}
    kept = gr.File(visible="hidden", interactive=False)
    for button, make in buttons.items():
        made = button.click(_making(make, of), None, kept, show_progress_on=button, api_visibility="private")
        made.success(None, kept, None, js=_DOWNLOAD)


def _making(make: Callable[[Teaching], Path], of: Callable[[gr.Request], Teaching]) -> Callable[[gr.Request], str]:
    @in_page
    def made(request: gr.Request) -> str:
        return str(make(of(request)))

    return made
