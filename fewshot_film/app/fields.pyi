"""Fields whose numbers are within their range, whatever was typed."""

from __future__ import annotations

import gradio as gr

class Slider(gr.Slider):
    """A slider whose number box takes the nearest end for what is out of range, as it shows when the focus leaves it.

    Gradio's own would print a traceback.
    """

    is_template = True  # in the browser it is Gradio's

    def preprocess(self, payload: float | None) -> float:
        """The number as the box shows it.

        Raises:
            gradio.Error: the box is empty.
        """
        if payload is None:
            expected = f"{self.label}: expected a number from {self.minimum} to {self.maximum}"
            raise gr.Error(expected, print_exception=False)
        return min(max(payload, self.minimum), self.maximum)
    from collections.abc import Callable, Sequence
    from typing import TYPE_CHECKING, Any, Literal

    from gradio.blocks import Block

    if TYPE_CHECKING:
        from gradio.components import Timer
        from gradio.components.base import Component
