"""Figures: their style, an answer with what else it might have been, and gamma and beta of a question.

The colours can be distinguished with any kind of colour vision.
"""

from __future__ import annotations

import io
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image

from clevr.answers.predict import Answer, Answerer
from clevr.questions.programs import QUESTION_TYPES
from fewshot_film.run.figures import BLUE, GREEN, INK, ORANGE, PALE, PURPLE, SKY, VERMILION, literal
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
    axes.set_yticks(places, [literal(name) for name in names])
    for place, value in zip(places, values, strict=True):
        axes.text(value + 1, place, f"{value:.1f}", va="center", fontsize=8, color=INK)
    axes.set_xlim(0, 112)


_DARK = 0.65
"""How much of the light is taken where no response is strongest."""


def answer_figure(answerer: Answerer, answer: Answer, *, shown: int = 5) -> Figure:
    """The image, bright at the winning positions of the pooling and dark elsewhere, and the most probable answers.

    Args:
        answerer: what looked at the image.
        answer: what it said.
        shown: answers listed.
    """
    image = answerer.image
    figure = Figure(figsize=(9, 4.4), layout="constrained", dpi=120)
    axes, bars = figure.subplots(1, 2, width_ratios=[2.1, 1])
    width, height = image.size
    axes.imshow(image, extent=(0, width, height, 0))
    shade = np.zeros((*answer.places.shape, 4))
    shade[..., 3] = _shade(answer)
    axes.imshow(shade, extent=answerer.view, interpolation="bilinear")
    _, _, bottom, top = answerer.view
    for first, last in ((0, max(0, top)), (min(height, bottom), height)):  # what the model does not see
        axes.axhspan(first, last, color="black", alpha=_DARK, linewidth=0)
    axes.set(xlim=(0, width), ylim=(height, 0), xticks=[], yticks=[])
    axes.set_title("\n".join(textwrap.wrap(literal(answer.question), 60)), fontsize=11, color=INK)
    axes.set_xlabel(f"bright: where the {answer.places.sum()} strongest responses are", fontsize=9, color=INK)
    ranking = answer.ranking[:shown][::-1]
    colours = [COLORS[0] if word == answer.answer and not answer.is_guess else PALE for word, _ in ranking]
    bars.barh([word for word, _ in ranking], [100 * share for _, share in ranking], color=colours)
    for row, (_, share) in enumerate(ranking):
        inside = share > 0.5
        bars.text(
            100 * share + (-2 if inside else 2),
            row,
            f"{100 * share:.1f}",
            va="center",
            ha="right" if inside else "left",
            color="white" if inside and not answer.is_guess else INK,
        )
    bars.set(xlim=(0, 100), xlabel="probability, %")
    plain(bars)
    bars.tick_params(labelsize=11)
    return figure


def highlighted(answerer: Answerer, answer: Answer) -> Image.Image:
    """The image alone, bright at the winning positions of the pooling and dark elsewhere.

    Args:
        answerer: what looked at the image.
        answer: what it said.
    """
    image = answerer.image.convert("RGB")
    left, right, bottom, top = (round(edge) for edge in answerer.view)
    shade = Image.new("L", image.size, round(255 * _DARK))  # also where the model does not see
    seen = Image.fromarray((255 * _shade(answer)).round().astype(np.uint8))
    shade.paste(seen.resize((right - left, bottom - top), Image.Resampling.BILINEAR), (left, top))
    return Image.composite(Image.new("RGB", image.size), image, shade)


def _shade(answer: Answer) -> np.ndarray:
    """How much of the light is taken at every position of the pooling, ``(H, W)``."""
    shade: np.ndarray = _DARK * (1 - np.sqrt(answer.places / max(1, answer.places.max())))
    return shade


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


def as_image(figure: Figure) -> Image.Image:
    """A figure as pixels."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    buffer.seek(0)
    return Image.open(buffer).convert("RGB")
