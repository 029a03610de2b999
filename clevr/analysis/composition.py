"""Questions that a model is not asked: gamma and beta for them made of those for other questions.

What *how many cyan cubes are there* leads to is put together from its neighbours: that for the cyan spheres, less
that for the red spheres, plus that for the red cubes. Where gamma and beta keep colour and shape apart, the sum
answers as the question itself does; for a model that was trained on CoGenT A, which has no cyan cubes, it may answer
better.

Source: Perez et al., "FiLM", AAAI 2018, section 4.5 and figure 10. There one color and shape stand for all other ones;
questions of CoGenT B that could be put together so went from 71.5 % to 80.7 %.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clevr.analysis.subject import Finding, Subject, answers_about
from clevr.analysis.substitution import measure
from clevr.answers.scores import Score
from clevr.answers.style import new_figure
from clevr.questions.tokens import ANSWER_WORDS
from clevr.world.scene import COLORS, SHAPES, Scene
from fewshot_film.film import Modulation, Modulations
from fewshot_film.run.errors import ConfigError
from fewshot_film.run.figures import INK

_PAIRS = tuple((color, shape) for color in COLORS for shape in SHAPES)
WAYS = {
    "asked": "the question itself",
    "composed": "sum of other questions",
    "color alone": "the question about the color alone",
    "shape alone": "the question about the shape alone",
}
"""How gamma and beta come about; the last two are what a sum that loses one part would answer."""


def analyse(subject: Subject) -> Finding:
    """How often each way counts rightly, for every color and shape.

    Raises:
        ConfigError: the split has no scenes to count in.
    """
    names, maps = subject.pictures(max(1, subject.questions // (len(WAYS) * len(_PAIRS))))
    if not all(name in subject.scenes for name in names):
        raise ConfigError("composition counts in scenes, and the split has none; use another one, such as val")
    truth = count_things([subject.scenes[name] for name in names])
    asked = subject.values([f"How many {color} {shape}s are there?" for color, shape in _PAIRS])
    ways = {"asked": asked, "composed": compose(asked)}
    ways["color alone"] = subject.values([f"How many {color} things are there?" for color, _ in _PAIRS])
    ways["shape alone"] = subject.values([f"How many {shape}s are there?" for _, shape in _PAIRS])
    results: dict[str, Any] = {"pictures": len(names), "ways": {}, "other questions": measure(subject)}
    for name, modulations in ways.items():
        right = answers_about(subject.reasoner, maps, modulations) == truth
        there = truth != ANSWER_WORDS.index("0")
        results["ways"][name] = {
            "overall": Score(int(right.sum()), right.size).to_json(),
            "where there are such things": Score(int(right[there].sum()), int(there.sum())).to_json(),
            "where there are, by color and shape": {
                f"{color} {shape}": Score(int(column[some].sum()), int(some.sum())).to_json()
                for (color, shape), column, some in zip(_PAIRS, right.T, there.T, strict=True)
                if some.any()
            },
        }
    return Finding(results, _draw(results["ways"], results["other questions"]))


def compose(asked: Mapping[str, Modulation]) -> Modulations:
    """Values for each color and shape from those for other ones.

    For color c and shape s: the mean over all other colors d and shapes t of (c, t) - (d, t) + (d, s).

    Args:
        asked: values for every color and shape, the shapes of one color behind each other, ``(24, C)`` each.
    """

    def from_others(values: Any) -> Any:
        grid = values.reshape(len(COLORS), len(SHAPES), -1)
        other_shapes = (grid.sum(1, keepdim=True) - grid) / (len(SHAPES) - 1)
        other_colors = (grid.sum(0, keepdim=True) - grid) / (len(COLORS) - 1)
        both_other = (other_colors.sum(1, keepdim=True) - other_colors) / (len(SHAPES) - 1)
        return (other_shapes - both_other + other_colors).reshape(values.shape)

    return {name: Modulation(from_others(values.gamma), from_others(values.beta)) for name, values in asked.items()}


def count_things(scenes: Sequence[Scene]) -> NDArray[np.int64]:
    """Numbers of things of every color and shape, as positions in ``ANSWER_WORDS``, ``(P, 24)``."""
    counts = [
        [sum((thing.color, thing.shape) == pair for thing in scene.objects) for pair in _PAIRS] for scene in scenes
    ]
    return np.array([[ANSWER_WORDS.index(str(number)) for number in row] for row in counts], np.int64)


def _draw(ways: Mapping[str, Any], others: Mapping[str, Any]) -> Any:
    figure, axes = new_figure(1, len(WAYS), 3.1 * len(WAYS), 4.4)
    for here, (name, title) in zip(axes, WAYS.items(), strict=True):
        entries = ways[name]["where there are, by color and shape"]
        shares = {pair: 100 * entry["accuracy"] for pair, entry in entries.items()}
        grid = np.array([[shares.get(f"{c} {s}", np.nan) for s in SHAPES] for c in COLORS])
        here.imshow(grid, cmap="cividis", vmin=0, vmax=100, aspect="auto")
        for row, column in np.ndindex(grid.shape):
            value = grid[row, column]
            text = "-" if np.isnan(value) else f"{value:.0f}"
            here.text(column, row, text, ha="center", va="center", color="white" if value <= 60 else INK)
        here.set_xticks(range(len(SHAPES)), [f"{shape}s" for shape in SHAPES])
        here.set_yticks(range(len(COLORS)), COLORS)
        overall = ways[name]["where there are such things"]["accuracy"]
        here.set_title(f"{title}\n{100 * overall:.1f} %", fontsize=10)
    figure.suptitle(
        "How many things of a color and shape there are, where there are any: right answers, %", fontsize=11
    )
    told = [
        f"color and shape {kind}: {100 * row['asked']['accuracy']:.1f} % as asked, "
        f"{100 * row['composed']['accuracy']:.1f} % put together"
        for kind, row in others.items()
    ]
    if told:
        figure.supxlabel("Questions of any kind with one such thing: " + "; ".join(told), fontsize=9)
    return figure
