"""A picture of an answer: where it came from, and what else it might have been."""

from __future__ import annotations

import textwrap

import numpy as np
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure

from clevr.answering import Answer, Answerer

ORANGE, BLUE, INK = "#E69F00", "#0072B2", "#282828"
"""Of Okabe and Ito: apart for every kind of colour vision."""
_GLOW = LinearSegmentedColormap.from_list("glow", [(0.9, 0.62, 0, 0.0), (0.9, 0.62, 0, 0.75), (1, 1, 1, 0.95)])


def answer_figure(answerer: Answerer, answer: Answer, *, shown: int = 5) -> Figure:
    """The picture with the winning positions of the pooling laid over it, and the most probable answers.

    Args:
        answerer: what looked at the picture.
        answer: what it said.
        shown: answers listed.
    """
    picture = answerer.picture
    figure = Figure(figsize=(9, 4.4), layout="constrained", dpi=120)
    axes, bars = figure.subplots(1, 2, width_ratios=[2.1, 1])
    axes.imshow(picture)
    strength = np.sqrt(answer.places / max(1, answer.places.max()))
    axes.imshow(strength, cmap=_GLOW, vmin=0, vmax=1, extent=answerer.view, interpolation="bilinear")
    axes.set(xlim=(0, picture.width), ylim=(picture.height, 0), xticks=[], yticks=[])
    axes.set_title("\n".join(textwrap.wrap(answer.question, 60)), fontsize=11, color=INK)
    axes.set_xlabel(f"bright: where the {answer.places.sum()} strongest responses are", fontsize=9, color=INK)
    ranking = answer.ranking[:shown][::-1]
    colours = [BLUE if word == answer.answer else "#9A9A9A" for word, _ in ranking]
    bars.barh([word for word, _ in ranking], [100 * share for _, share in ranking], color=colours)
    for row, (_, share) in enumerate(ranking):
        inside = share > 0.5
        bars.text(
            100 * share + (-2 if inside else 2),
            row,
            f"{100 * share:.1f}",
            va="center",
            ha="right" if inside else "left",
            color="white" if inside else INK,
        )
    bars.set(xlim=(0, 100), xlabel="probability, %")
    bars.tick_params(labelsize=11)
    for side in ("top", "right"):
        bars.spines[side].set_visible(False)
    return figure
