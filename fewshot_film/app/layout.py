"""The page: its tabs, and what happens when it is closed.

Here alone the two halves meet: the page shows both, and neither half imports the other.
"""

from __future__ import annotations

import gradio as gr

from clevr.app import ask_tab
from fewshot_film.app import compare_tab, teach_tab
from fewshot_film.page import Page

TABS = {"Teach": teach_tab.build, "Ask": ask_tab.build, "Compare": compare_tab.build}
"""What is clicked on, and what puts a tab's components into the page that is being laid out; in their order."""

_TIDY = (60, 900)
"""Seconds between two looks for uploads to delete, and the age at which they go."""


def lay_out(page: Page) -> gr.Blocks:
    """The whole page."""

    def leave(request: gr.Request) -> None:
        page.visitors.leave(request.session_hash)

    with gr.Blocks(title="fewshot-film", analytics_enabled=False, delete_cache=_TIDY, fill_width=True) as blocks:
        gr.Markdown("# fewshot-film\nClassify images from a few examples, and ask questions about scenes.")
        with gr.Tabs():
            for name, build in TABS.items():
                with gr.Tab(name):
                    build(page)
        blocks.unload(leave)
    return blocks
