"""Gamma and beta of one question as a picture."""

from __future__ import annotations

import io
from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from clevr.answers.style import COLORS, plain
from fewshot_film.run.figures import INK

Values = Mapping[str, tuple[np.ndarray, np.ndarray]]


def modulation_figure(values: Values, width: float = 9.0) -> Figure:
    """One row a block: gamma and beta of its maps, as bars from the identity.

    Args:
        values: gamma and beta by block, ``(C,)`` each; at least one.
        width: of the whole, in inches.
    """
    figure = Figure(figsize=(width, 0.8 + 1.05 * len(values)), layout="constrained", dpi=110)
    grid = figure.subplots(len(values), 2, squeeze=False, sharex="col", sharey="col")
    for row, (name, pair) in enumerate(values.items()):
        for column, (part, identity) in enumerate((("gamma", 1.0), ("beta", 0.0))):
            axes = grid[row, column]
            axes.bar(np.arange(len(pair[column])), pair[column] - identity, 0.9, identity, color=COLORS[column])
            axes.axhline(identity, color=INK, linewidth=0.8, linestyle=":")
            plain(axes)
            axes.margins(x=0.01)
            if column == 0:
                axes.set_ylabel(name.replace("blocks.", "block "), color=INK)
            if row == 0:
                axes.set_title(f"{part} (dotted: {identity:.0f}, the identity)", fontsize=10, color=INK)
            if row == len(values) - 1:
                axes.set_xlabel("feature map", fontsize=9, color=INK)
    return figure


def as_picture(figure: Figure) -> Image.Image:
    """A figure as pixels."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    buffer.seek(0)
    return Image.open(buffer).convert("RGB")
