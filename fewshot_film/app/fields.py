"""Fields whose numbers are within their range, whatever was typed."""

from __future__ import annotations

from typing import Any

import gradio as gr


def slider(minimum: float, maximum: float, value: float, **options: Any) -> gr.Slider:
    """A slider whose number box takes the nearest end for what is out of range, as it shows when the focus leaves it.

    Gradio's own check would print a traceback. A subclass of its component would make it write a file beside this one.

    Args:
        minimum: smallest number.
        maximum: largest number.
        value: the number at the start.
        options: of `gradio.Slider`.
    """
    made = gr.Slider(minimum, maximum, value, **options)

    def within(typed: float | None) -> float:
        if typed is None:
            expected = f"{made.label}: expected a number from {minimum} to {maximum}"
            raise gr.Error(expected, print_exception=False)
        return min(max(typed, minimum), maximum)

    made.preprocess = within
    return made
