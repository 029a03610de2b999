"""The page: its tabs, and what happens when it is closed."""

from __future__ import annotations

import gradio as gr

from fewshot_film.app.tabs import TABS
from fewshot_film.run.page import Page

_TIDY = (60, 900)
"""Seconds between two looks for uploads to delete, and the age at which they go."""


def lay_out(page: Page) -> gr.Blocks:
    """The whole page."""

    def leave(request: gr.Request) -> None:
        page.visitors.leave(request.session_hash)

    with gr.Blocks(title="fewshot-film", analytics_enabled=False, delete_cache=_TIDY, fill_width=True) as blocks:
        gr.Markdown("# fewshot-film\nName pictures by a few examples, and ask questions about scenes.")
        with gr.Tabs():
            for tab in TABS:
                with gr.Tab(tab.name):
                    tab.function()(page)
        blocks.unload(leave)
    return blocks
