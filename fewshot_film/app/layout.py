"""The page: its tabs, and what happens when it is closed.

Here alone the two halves meet: the page shows both, and neither half imports the other.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import gradio as gr

from clevr.app import ask_tab
from fewshot_film.app import compare_tab, teach_tab
from fewshot_film.app.events import QUIET
from fewshot_film.page import Page

TABS: Mapping[str, Callable[[Page], Callable[[Callable[..., object]], None] | None]] = {
    "Teach": teach_tab.build,
    "Ask": ask_tab.build,
    "Compare": compare_tab.build,
}
"""What is clicked on, and what puts a tab's components into the page that is being laid out; in their order.

It may return what shows the tab again when an event happens: after a reload, a visitor finds everything as it was.
"""

_TIDY = (60, 900)
"""Seconds between two looks for uploads to delete, and the age at which they go."""


_EARLIER = "() => [sessionStorage.getItem('fewshot-film') ?? '']"
_REMEMBER = "(name) => sessionStorage.setItem('fewshot-film', name)"


def lay_out(page: Page) -> gr.Blocks:
    """The whole page."""

    def leave(request: gr.Request) -> None:
        page.visitors.leave(request.session_hash)

    def return_to(earlier: str, request: gr.Request) -> str:
        page.visitors.resume(request.session_hash, earlier)
        return request.session_hash or ""

    with gr.Blocks(title="fewshot-film", analytics_enabled=False, delete_cache=_TIDY, fill_width=True) as blocks:
        gr.Markdown("# fewshot-film\nClassify images from a few examples, and ask questions about scenes.")
        shows = []
        with gr.Tabs():
            for name, build in TABS.items():
                with gr.Tab(name):
                    shows.append(build(page))
        earlier, name_now = gr.Textbox(visible="hidden"), gr.Textbox(visible="hidden")
        returned = blocks.load(return_to, earlier, name_now, js=_EARLIER, **QUIET)
        returned.then(None, name_now, None, js=_REMEMBER)
        for show in shows:
            if show is not None:
                show(returned.then)
        blocks.unload(leave)
    return blocks
