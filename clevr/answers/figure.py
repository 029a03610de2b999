"""A picture of an answer: where it came from, and what else it might have been."""

from __future__ import annotations

import textwrap

import numpy as np
from matplotlib.figure import Figure

from clevr.answers.answering import Answer, Answerer
from clevr.answers.style import COLORS, plain
from fewshot_film.run.figures import INK, PALE

_DARK = 0.65
"""How much of the light is taken where no response is strongest."""


def answer_figure(answerer: Answerer, answer: Answer, *, shown: int = 5) -> Figure:
    """The picture, bright at the winning positions of the pooling and dark elsewhere, and the most probable answers.

    Args:
        answerer: what looked at the picture.
        answer: what it said.
        shown: answers listed.
    """
    picture = answerer.picture
    figure = Figure(figsize=(9, 4.4), layout="constrained", dpi=120)
    axes, bars = figure.subplots(1, 2, width_ratios=[2.1, 1])
    width, height = picture.size
    axes.imshow(picture, extent=(0, width, height, 0))
    shade = np.zeros((*answer.places.shape, 4))
    shade[..., 3] = _DARK * (1 - np.sqrt(answer.places / max(1, answer.places.max())))
    axes.imshow(shade, extent=answerer.view, interpolation="bilinear")
    _, _, bottom, top = answerer.view
    for first, last in ((0, max(0, top)), (min(height, bottom), height)):  # what the model does not see
        axes.axhspan(first, last, color="black", alpha=_DARK, linewidth=0)
    axes.set(xlim=(0, width), ylim=(height, 0), xticks=[], yticks=[])
    axes.set_title("\n".join(textwrap.wrap(answer.question, 60)), fontsize=11, color=INK)
    axes.set_xlabel(f"bright: where the {answer.places.sum()} strongest responses are", fontsize=9, color=INK)
    ranking = answer.ranking[:shown][::-1]
    colours = [COLORS[0] if word == answer.answer else PALE for word, _ in ranking]
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
    plain(bars)
    bars.tick_params(labelsize=11)
    return figure
