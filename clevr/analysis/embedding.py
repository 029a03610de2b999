"""Whether questions of one kind get like values of gamma and beta: nearest neighbours by block, and t-SNE.

Source: Perez et al., "FiLM", AAAI 2018, section 4.2 and figure 6, which shows the first and the last block.
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
from fewshot_film.run.figures import PALE

NEIGHBOURS = 10
_MOST = 3000
"""Questions drawn, as in the paper."""
_MARKERS = ("o", "^", "s", "X")
_BY = {"function": "last function", "hops": "relations followed"}
_HOP_COLORS = ("#fde725", "#35b779", "#31688e", "#440154")
"""From no relation to three, light to dark."""


def analyse(subject: Subject) -> Finding:
    """Neighbourhoods of gamma and beta in every block; t-SNE of the first and the last, by last function and by hops.

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
    values = subject.question_values([subject.data.table.texts[int(number)] for number in numbers])
    hops = subject.data.table.num_hops[numbers].astype(str)
    kinds = {"type": np.array([_type_of(name) for name in functions]), "function": functions, "hops": hops}
    results: dict[str, Any] = {"questions": len(numbers), "neighbours": NEIGHBOURS}
    results |= {"functions": functions.tolist(), "hops": hops.tolist()}
    results["by_chance"] = chance = {kind: _by_chance(names) for kind, names in kinds.items()}
    last = values.shape[1] - 1
    columns = sorted({0, last})
    figure, axes = new_figure(2, len(columns), 6.5 * len(columns), 14)
    for block, name in enumerate(subject.reasoner.sites.names):
        rows = values[:, block].reshape(len(values), -1)
        same = {kind: neighbours_alike(rows, names, NEIGHBOURS) for kind, names in kinds.items()}
        results[name] = {"neighbours_of_same": same}
        if block not in columns:
            continue
        points = embed(learn, rows, subject.seed)
        results[name]["points"] = points.round(2).tolist()
        above, below = axes[columns.index(block)], axes[len(columns) + columns.index(block)]
        _scatter(above, points, functions)
        _scatter_hops(below, points, hops)
        for here, kind in ((above, "function"), (below, "hops")):
            shares = f"{100 * same[kind]:.0f} % of neighbours alike, {100 * chance[kind]:.0f} % by chance"
            here.set_title(f"block {block + 1} by {_BY[kind]}: {shares}", fontsize=11)
    figure.suptitle(f"gamma and beta of {len(numbers)} questions (t-SNE)")
    figure.legend(handles=_legend(functions), loc="outside lower center", ncols=5, frameon=False, fontsize=10)
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
    _square(axes)


def _scatter_hops(axes: Axes, points: NDArray[np.float64], hops: NDArray[np.str_]) -> None:
    for name in np.unique(hops):
        chosen = points[hops == name]
        color = _HOP_COLORS[int(name)] if name in ("0", "1", "2", "3") else PALE
        axes.scatter(chosen[:, 0], chosen[:, 1], s=14, alpha=0.7, linewidths=0, color=color, label=name)
    axes.legend(title="relations", frameon=False, fontsize=10, markerscale=2)
    _square(axes)


def _square(axes: Axes) -> None:
    axes.set(xticks=[], yticks=[], box_aspect=1)
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
