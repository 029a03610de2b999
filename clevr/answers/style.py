"""How the pictures look: colours that every kind of colour vision tells apart, no needless lines."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from clevr.questions.programs import QUESTION_TYPES
from fewshot_film.run.figures import BLUE, GREEN, INK, ORANGE, PURPLE, SKY, VERMILION
from fewshot_film.run.files import write_atomically

COLORS = (BLUE, ORANGE, GREEN, PURPLE, SKY, VERMILION, "#F0E442", "#000000")
"""Of Okabe and Ito (2008)."""

TYPE_COLORS = dict(zip(QUESTION_TYPES, COLORS, strict=False))


def new_figure(rows: int, columns: int, width: float, height: float) -> tuple[Figure, list[Axes]]:
    """A figure with a grid of plain axes, row by row.

    Args:
        rows: of the grid.
        columns: of the grid.
        width: of the whole, in inches.
        height: of the whole, in inches.
    """
    figure = Figure(figsize=(width, height), dpi=110, layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False)
    flat = [axes for row in grid for axes in row]
    for axes in flat:
        plain(axes)
    return figure, flat


def save_figure(path: Path, figure: Figure) -> None:
    """Write a figure as PNG, all or nothing; its folder is made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, lambda temporary: figure.savefig(temporary, format="png"))


def plain(axes: Axes) -> None:
    """Leave the lines that say something."""
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    axes.tick_params(colors=INK, labelsize=9)


def bars(axes: Axes, names: Sequence[str], values: Sequence[float], colors: Sequence[str] | str = COLORS[0]) -> None:
    """Lying bars from top to bottom with their values, per cent, behind them."""
    places = range(len(names))[::-1]
    axes.barh(places, values, color=colors, height=0.7)
    axes.set_yticks(places, names)
    for place, value in zip(places, values, strict=True):
        axes.text(value + 1, place, f"{value:.1f}", va="center", fontsize=8, color=INK)
    axes.set_xlim(0, 112)
