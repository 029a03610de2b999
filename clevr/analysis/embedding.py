"""Whether questions of one kind get like values of gamma and beta: nearest neighbours, and t-SNE by block.

Source: Perez et al., "FiLM", AAAI 2018, section 4.2 and figure 6, which shows the first and the last of six blocks.
"""

from __future__ import annotations

from collections.abc import Sequence
from types import ModuleType
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from clevr.analysis.subject import Finding, Subject
from clevr.answers.plotting import TYPE_COLORS, new_figure
from clevr.data.table import QuestionTable
from clevr.questions.families import ALL_FAMILIES
from clevr.questions.programs import QUESTION_TYPES
from fewshot_film.errors import InvalidValueError
from fewshot_film.extras import optional

NEIGHBOURS = 10
_MOST = 3000
"""Questions drawn, as in the paper."""
_MARKERS = ("o", "^", "s", "X")


def analyse(subject: Subject) -> Finding:
    """Neighbourhoods and t-SNE of gamma and beta, block by block.

    Raises:
        MissingExtraError: scikit-learn is not installed.
        ValueError: the questions have no families, so their kinds are unknown.
    """
    learn = scikit_learn()
    numbers = subject.numbers[:: -(-len(subject.numbers) // _MOST)]
    functions = last_functions(subject.data.table, numbers)
    numbers = numbers[functions != ""]
    functions = functions[functions != ""]
    if len(numbers) < 2 * NEIGHBOURS:
        raise InvalidValueError(f"{len(numbers)} questions of known families; expected at least {2 * NEIGHBOURS}")
    values = subject.flat_values([subject.data.table.texts[int(number)] for number in numbers])
    types = np.array([_type_of(name) for name in functions])
    results: dict[str, Any] = {"questions": len(numbers), "neighbours": NEIGHBOURS, "functions": functions.tolist()}
    figure, axes = new_figure(1, values.shape[1], 4.2 * values.shape[1], 5.2)
    for block, (here, name) in enumerate(zip(axes, subject.reasoner.sites.names, strict=True)):
        rows = values[:, block].reshape(len(values), -1)
        same = {
            "type": neighbours_alike(rows, types, NEIGHBOURS),
            "function": neighbours_alike(rows, functions, NEIGHBOURS),
        }
        points = embed(learn, rows, subject.seed)
        results[name] = {"neighbours_of_same": same, "points": points.round(2).tolist()}
        _scatter(here, points, functions)
        here.set_title(f"block {block + 1}: {100 * same['function']:.0f} % of neighbours alike", fontsize=11)
    results["by_chance"] = chance = {"type": _by_chance(types), "function": _by_chance(functions)}
    figure.suptitle(f"gamma and beta of {len(numbers)} questions; {100 * chance['function']:.0f} % alike by chance")
    figure.legend(handles=_legend(functions), loc="outside lower center", ncols=5, frameon=False, fontsize=9)
    return Finding(results, figure)


def neighbours_alike(rows: NDArray[np.float32], kinds: NDArray[np.str_], count: int) -> float:
    """Share of each row's nearest rows, by Euclidean distance, that are of its own kind; the mean over rows.

    Args:
        rows: ``(N, D)``.
        kinds: ``(N,)``.
        count: neighbours looked at.
    """
    squares = (rows**2).sum(1)
    distance = squares[:, None] + squares - 2 * rows @ rows.T
    np.fill_diagonal(distance, np.inf)
    nearest = np.argpartition(distance, count - 1, axis=1)[:, :count]
    return float((kinds[nearest] == kinds[:, None]).mean())


def embed(learn: ModuleType, rows: NDArray[np.float32], seed: int) -> NDArray[np.float64]:
    """Two dimensions by t-SNE after at most 50 principal components, ``(N, 2)``."""
    dims = min(50, *rows.shape)
    reduced = learn.decomposition.PCA(dims, random_state=seed).fit_transform(rows)
    perplexity = min(30.0, (len(rows) - 1) / 3)
    tsne = learn.manifold.TSNE(2, perplexity=perplexity, init="pca", random_state=seed)
    points: NDArray[np.float64] = tsne.fit_transform(reduced).astype(np.float64)
    return points


def last_functions(table: QuestionTable, numbers: NDArray[np.int64]) -> NDArray[np.str_]:
    """Last function of each question's program; empty where its family is unknown."""
    names = np.array([*(family.asks for family in ALL_FAMILIES), ""])
    family = table.family[numbers]
    return names[np.where((family >= 0) & (family < len(ALL_FAMILIES)), family, len(ALL_FAMILIES))]


def _scatter(axes: Axes, points: NDArray[np.float64], functions: NDArray[np.str_]) -> None:
    for name in np.unique(functions):
        chosen = points[functions == name]
        color = TYPE_COLORS[_type_of(name)]
        axes.scatter(chosen[:, 0], chosen[:, 1], s=14, alpha=0.6, linewidths=0, color=color, marker=_marker(name))
    axes.set(xticks=[], yticks=[])
    for side in ("left", "bottom"):
        axes.spines[side].set_visible(False)


def _legend(functions: Sequence[str] | NDArray[np.str_]) -> list[Line2D]:
    order = sorted(np.unique(functions).tolist(), key=lambda name: (QUESTION_TYPES.index(_type_of(name)), name))
    return [
        Line2D(
            [], [], linestyle="", marker=_marker(name), color=TYPE_COLORS[_type_of(name)], label=name.replace("_", " ")
        )
        for name in order
    ]


def _type_of(function: str) -> str:
    if function in ("count", "exist"):
        return function
    if function in ("equal_integer", "less_than", "greater_than"):
        return "compare integer"
    return "query" if function.startswith("query") else "compare attribute"


def _marker(function: str) -> str:
    """Another form for every function of a type."""
    ends = ("size", "color", "material", "shape")
    others = {"equal_integer": 0, "less_than": 1, "greater_than": 2}
    last = function.rpartition("_")[2]
    return _MARKERS[others.get(function, ends.index(last) if last in ends else 0)]


def _by_chance(kinds: NDArray[np.str_]) -> float:
    """Share of all pairs of questions that are of one kind."""
    _, counts = np.unique(kinds, return_counts=True)
    return float((counts * (counts - 1)).sum() / (len(kinds) * (len(kinds) - 1)))


def scikit_learn() -> ModuleType:
    """The package, with what t-SNE takes of it.

    Raises:
        MissingExtraError: it is not installed.
    """
    for module in ("sklearn.decomposition", "sklearn.manifold"):
        optional(module, extra="analysis", what="t-SNE")
    found: ModuleType = optional("sklearn", extra="analysis", what="t-SNE")
    return found
