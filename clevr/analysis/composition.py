"""Questions put together from others: gamma and beta for them made of those for other questions.

What *how many cyan cubes are there* leads to is put together from its neighbours: that for the cyan spheres, less
that for the red spheres, plus that for the red cubes. Where gamma and beta keep colour and shape apart, the sum
answers as the question itself does; for a model that was trained on CoGenT A, which has no cyan cubes, it may answer
better. Here the sum is the mean over all other colors and shapes, or over those that the model's training had, where
that is known; then its answers are told apart by whether the training had the color and shape themselves.

Any other question about things of a color and shape is put together from three with one or both exchanged: *what is
the blue big cylinder made of* gets gamma and beta of the question with a sphere for the cylinder, plus those of the
question with green for blue, less those of the question with both. The colors and shapes that come in are those that
CoGenT's condition A has together, so a model that was trained there knows all three questions.

Source: Perez et al., "FiLM", AAAI 2018, section 4.5 and figure 10. There one color and shape stand for all other ones;
of the third of CoGenT B's questions that could be put together so, 71.5 % were answered rightly as they are, and 80.7 %
put together.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from clevr.analysis.subject import Finding, Subject, answers_about
from clevr.answers.plotting import new_figure
from clevr.answers.predict import answer_logits
from clevr.answers.scores import Score
from clevr.questions.lexicon import WORDS
from clevr.questions.tokens import ANSWER_WORDS
from clevr.world.placement import CONDITIONS
from clevr.world.scene import COLORS, SHAPES, Scene
from fewshot_film.errors import ConfigError
from fewshot_film.film import Modulation, Modulations
from fewshot_film.run.figures import INK
from fewshot_film.run.runtime import to_device

logger = logging.getLogger(__name__)

Pairs = Collection[tuple[str, str]]
"""Colors and shapes."""
_PAIRS = tuple((color, shape) for color in COLORS for shape in SHAPES)
SOURCES = {
    "asked": "the question itself",
    "composed": "sum of other questions",
    "color alone": "the question about the color alone",
    "shape alone": "the question about the shape alone",
}
"""How gamma and beta come about; the last two are what a sum that loses one part would answer."""


def analyse(subject: Subject) -> Finding:
    """How often each counts rightly, for every color and shape.

    Raises:
        ConfigError: the split has no scenes to count in, or the model reads questions of one form in several ways.
    """
    names, maps = subject.images(max(1, subject.questions // (len(SOURCES) * len(_PAIRS))))
    if not all(name in subject.scenes for name in names):
        raise ConfigError("composition counts in scenes, and the split has none; use another one, such as val")
    truth = count_things([subject.scenes[name] for name in names])
    codes = subject.read([f"How many {color} {shape}s are there?" for color, shape in _PAIRS])
    color_alone = subject.read([f"How many {color} things are there?" for color, _ in _PAIRS])
    shape_alone = subject.read([f"How many {shape}s are there?" for _, shape in _PAIRS])
    if len(set(subject.reasoner.outlines(codes))) > 1:
        raise ConfigError(
            "the model reads questions that differ in a color and a shape in different hops, so that sums of gamma and "
            "beta mean nothing; train it further"
        )
    with torch.no_grad():
        composed = compose(subject.reasoner.modulations(codes), subject.seen)
    sources = {
        "asked": (codes, None),
        "composed": (codes, composed),
        "color alone": (color_alone, None),
        "shape alone": (shape_alone, None),
    }
    there = truth != ANSWER_WORDS.index("0")
    results: dict[str, Any] = {
        "images": len(names),
        "training": _training(subject),
        "ways": {
            name: _scores(answers_about(subject.reasoner, maps, read, modulations) == truth, there, subject.seen)
            for name, (read, modulations) in sources.items()
        },
        "other questions": measure(subject),
    }
    return Finding(results, _draw(results))


def _training(subject: Subject) -> dict[str, Any]:
    """Which colors and shapes the model was never trained on."""
    if subject.seen is None:
        return {"known": False}
    lacking = [f"{color} {shape}" for color, shape in _PAIRS if (color, shape) not in subject.seen]
    logger.info("colors and shapes that the model was never trained on: %s", ", ".join(lacking) or "none")
    return {"known": True, "never seen": lacking}


def _scores(right: NDArray[np.bool_], there: NDArray[np.bool_], seen: Pairs | None) -> dict[str, Any]:
    """Scores of answers ``(P, 24)``, overall and where there are such things."""
    columns = {f"{color} {shape}": number for number, (color, shape) in enumerate(_PAIRS)}
    found: dict[str, Any] = {
        "overall": Score(int(right.sum()), right.size).to_json(),
        "where there are such things": _score(right[there]),
        "where there are, by color and shape": {
            name: _score(right[there[:, column], column]) for name, column in columns.items() if there[:, column].any()
        },
    }
    if seen is not None:
        known = np.array([pair in seen for pair in _PAIRS])
        for name, some in (("seen in training", there & known), ("never seen in training", there & ~known)):
            if some.any():
                found[f"where there are, {name}"] = _score(right[some])
    return found


def compose(asked: Mapping[str, Modulation], seen: Pairs | None = None) -> Modulations:
    """Values for each color and shape from those for other ones.

    For color c and shape s: the mean of (c, t) - (d, t) + (d, s) over other colors d and shapes t.

    Args:
        asked: values for every color and shape, the shapes of one color behind each other, ``(24, C)`` each; or for
            several hops of all of these, ``(24 * hops, C)``.
        seen: colors and shapes to put them together from, as far as that goes; None: all.
    """
    weights = torch.from_numpy(weights_of(_PAIRS if seen is None else seen))

    def from_others(values: Tensor) -> Tensor:
        rows = values.reshape(-1, len(_PAIRS), values.shape[-1])
        return (weights.to(rows) @ rows).reshape(values.shape)

    return {name: Modulation(from_others(values.gamma), from_others(values.beta)) for name, values in asked.items()}


def weights_of(seen: Pairs) -> NDArray[np.float64]:
    """What each color and shape counts for in the sum for each, ``(24, 24)``.

    Args:
        seen: those that may count; where one cannot be put together from them, all others do.
    """
    place = {pair: number for number, pair in enumerate(_PAIRS)}
    weights = np.zeros((len(_PAIRS), len(_PAIRS)))
    for row, (color, shape) in zip(weights, _PAIRS, strict=True):
        terms = [((color, t), (d, t), (d, shape)) for d, t in _PAIRS if d != color and t != shape]
        known = [term for term in terms if all(pair in seen for pair in term)] or terms
        for plus, minus, other in known:
            row[place[plus]] += 1 / len(known)
            row[place[minus]] -= 1 / len(known)
            row[place[other]] += 1 / len(known)
    return weights


def count_things(scenes: Sequence[Scene]) -> NDArray[np.int64]:
    """Numbers of things of every color and shape, as positions in ``ANSWER_WORDS``, ``(P, 24)``."""
    counts = [
        [sum((thing.color, thing.shape) == pair for thing in scene.objects) for pair in _PAIRS] for scene in scenes
    ]
    return np.array([[ANSWER_WORDS.index(str(number)) for number in row] for row in counts], np.int64)


def _draw(results: Mapping[str, Any]) -> Any:
    sources, others, lacking = results["ways"], results["other questions"], results["training"].get("never seen", ())
    figure, axes = new_figure(1, len(SOURCES), 3.1 * len(SOURCES), 4.4)
    for here, (name, title) in zip(axes, SOURCES.items(), strict=True):
        entries = sources[name]["where there are, by color and shape"]
        shares = {pair: 100 * entry["accuracy"] for pair, entry in entries.items()}
        grid = np.array([[shares.get(f"{c} {s}", np.nan) for s in SHAPES] for c in COLORS])
        here.imshow(grid, cmap="cividis", vmin=0, vmax=100, aspect="auto")
        for row, column in np.ndindex(grid.shape):
            value = grid[row, column]
            star = "*" if f"{COLORS[row]} {SHAPES[column]}" in lacking else ""
            text = "-" if np.isnan(value) else f"{value:.0f}{star}"
            here.text(column, row, text, ha="center", va="center", color="white" if value <= 60 else INK)
        here.set_xticks(range(len(SHAPES)), [f"{shape}s" for shape in SHAPES])
        here.set_yticks(range(len(COLORS)), COLORS)
        overall = sources[name]["where there are such things"]["accuracy"]
        here.set_title(f"{title}\n{100 * overall:.1f} %", fontsize=10)
    starred = " (*: never together in training)" if lacking else ""
    title = f"How many things of a color and shape{starred} there are, where there are any: right answers, %"
    figure.suptitle(title, fontsize=11)
    told = [
        f"color and shape {kind}: {100 * row['asked']['accuracy']:.1f} % as asked, "
        f"{100 * row['composed']['accuracy']:.1f} % put together"
        for kind, row in others.items()
    ]
    if told:
        figure.supxlabel("Questions of any kind with one such thing: " + "; ".join(told), fontsize=9)
    return figure


_AT_ONCE = 200
_SHAPES = {word: shape for shape in ("cube", "cylinder") for word in WORDS[shape]}
_MATERIALS = [*WORDS["rubber"], *WORDS["metal"]]
_PHRASE = re.compile(rf"\b({'|'.join(COLORS)})((?: (?:{'|'.join(_MATERIALS)}))?) ({'|'.join(_SHAPES)})(s?)\b")


def exchanged(text: str) -> tuple[str, str, str] | None:
    """A question with another shape, with another color, and with both.

    None for a question that does not name exactly one cube or cylinder by its color.
    """
    found = list(_PHRASE.finditer(text))
    if len(found) != 1:
        return None
    color, material, noun, plural = found[0].groups()
    other = next(name for name in CONDITIONS["A"][_SHAPES[noun]] if name != color)
    start, end = found[0].span()

    def with_(new_color: str, new_noun: str) -> str:
        return f"{text[:start]}{new_color}{material} {new_noun}{plural}{text[end:]}"

    return with_(color, "sphere"), with_(other, noun), with_(other, "sphere")


def is_new_to_a(text: str) -> bool:
    """Whether the color and shape that :func:`exchanged` exchanges are not together in CoGenT's condition A."""
    color, _, noun, _ = _PHRASE.findall(text)[0]
    return color not in CONDITIONS["A"][_SHAPES[noun]]


def measure(subject: Subject) -> dict[str, Any]:
    """Accuracy on questions that can be put together, as they are and put together.

    Returns:
        For ``in CoGenT A`` and ``not in CoGenT A``, by whether color and shape are together there: ``asked`` and
        ``composed``. A kind of which the split has no questions is missing.
    """
    table = subject.data.table
    numbers = np.array([int(n) for n in subject.numbers if exchanged(table.texts[int(n)]) is not None], np.int64)
    numbers = _of_one_outline(subject, numbers[table.answer[numbers] >= 0])
    if not len(numbers):
        return {}
    parts = [_right(subject, numbers[first : first + _AT_ONCE]) for first in range(0, len(numbers), _AT_ONCE)]
    asked, composed = (np.concatenate(column) for column in zip(*parts, strict=True))
    new = np.array([is_new_to_a(table.texts[int(number)]) for number in numbers])
    kinds = {"in CoGenT A": ~new, "not in CoGenT A": new}
    return {
        kind: {"asked": _score(asked[chosen]), "composed": _score(composed[chosen])}
        for kind, chosen in kinds.items()
        if chosen.any()
    }


def _of_one_outline(subject: Subject, numbers: NDArray[np.int64]) -> NDArray[np.int64]:
    """Questions that the model reads in the same hops as those that they are put together from."""
    texts = [subject.data.table.texts[int(number)] for number in numbers]
    if not texts:
        return numbers
    columns = [texts, *zip(*(exchanged(text) or (text,) * 3 for text in texts), strict=True)]
    outlines = [subject.reasoner.outlines(subject.read(column)) for column in columns]
    return numbers[[len(set(several)) == 1 for several in zip(*outlines, strict=True)]]


@torch.no_grad()
def _right(subject: Subject, numbers: NDArray[np.int64]) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Which questions are answered rightly as they are, and which put together."""
    batch = to_device(subject.data.batch(numbers), subject.device)
    texts = [exchanged(subject.data.table.texts[int(number)]) for number in numbers]
    shape, color, both = (subject.values([text[place] for text in texts if text]) for place in range(3))

    def put_together(_: Modulations) -> Modulations:
        return {
            name: Modulation(
                shape[name].gamma + color[name].gamma - both[name].gamma,
                shape[name].beta + color[name].beta - both[name].beta,
            )
            for name in shape
        }

    both_logits = (answer_logits(subject.reasoner, batch), answer_logits(subject.reasoner, batch, put_together))
    asked, composed = ((logits.argmax(1) == batch.answers).cpu().numpy() for logits in both_logits)
    return asked, composed


def _score(right: NDArray[np.bool_]) -> dict[str, Any]:
    return Score(int(right.sum()), len(right)).to_json()
