"""Charts that both halves draw: curves, bars with intervals, confusions, histograms, feature maps.

Colours are those of Okabe and Ito (2008), apart for every kind of colour vision.
Imports matplotlib: import this module where something is drawn, not where a command line is read.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from fewshot_film.run.tables import encodable

BLUE, ORANGE, GREEN, PURPLE, SKY, VERMILION = "#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00"
INK, PALE = "#282828", "#B5B5B5"
SPLIT_COLORS = {"train": BLUE, "validation": VERMILION}

_LABELS = {"learning_rate": "learning rate", "gradient_norm": "norm of the gradient"}
_MAX_CELLS_WITH_NUMBERS = 12


def literal(text: str) -> str:
    """A user's text as matplotlib draws it as it was typed: dollar signs begin no formula."""
    return encodable(text).replace("$", r"\$")


def curves(points: Sequence[Mapping[str, Any]], columns: int = 3) -> Figure:
    """Every value of a run's ``metrics.jsonl`` against the step, one panel a name.

    Args:
        points: lines of the file; at least one.
        columns: panels in a row.
    """
    keys = dict.fromkeys(key for point in points for key in point)
    names = [key for key in keys if key not in ("step", "split", "seconds")]
    rows = -(-len(names) // columns)
    figure, panels = _grid(rows, columns, 3.6 * columns, 2.5 * rows)
    for name, axes in zip(names, panels, strict=False):
        _curve(axes, name, points)
    for axes in panels[len(names) :]:
        axes.set_axis_off()
    return figure


def _curve(axes: Axes, name: str, points: Sequence[Mapping[str, Any]]) -> None:
    """One value against the step, a line a split; shares are shown in per cent."""
    known = [point for point in points if point.get(name) is not None]
    values = [point[name] for point in known]
    is_share = _is_accuracy(name, points) and all(0 <= value <= 1 for value in values)
    splits = dict.fromkeys(str(point["split"]) for point in known)
    for split in splits:
        mine = [point for point in known if point["split"] == split]
        heights = [point[name] * (100 if is_share else 1) for point in mine]
        marker = "o" if len(mine) < 40 else ""
        color = SPLIT_COLORS.get(split, GREEN)
        axes.plot([point["step"] for point in mine], heights, color=color, marker=marker, ms=3, label=split)
    axes.set_title(literal(_LABELS.get(name, name.replace("_", " "))) + (", %" if is_share else ""))
    axes.set_xlabel("step")
    axes.margins(x=0.02)
    if values and min(values) > 0 and max(values) > 20 * min(values) and name == "gradient_norm":
        axes.set_yscale("log")
    if splits.keys() != {"train"}:
        axes.legend(frameon=False, fontsize=8)


def _is_accuracy(name: str, points: Sequence[Mapping[str, Any]]) -> bool:
    """Whether a value is an accuracy: it says so, or a validation has it by kind and no training does."""
    return "accuracy" in name or not any(name in point for point in points if point["split"] == "train")


@dataclass(frozen=True)
class Bar:
    """One bar of a chart of accuracies; everything in per cent."""

    name: str
    """What was measured."""
    value: float
    """The mean."""
    low: float
    """Lower end of the 95 % interval."""
    high: float
    """Upper end of the 95 % interval."""
    reference: float | None = None
    """What it is to be compared with, drawn as a line across the bar."""


def bars(chart: Sequence[Bar], reference: str = "", unit: str = "accuracy, %") -> Figure:
    """Lying bars from top to bottom, with their numbers, and as much of their intervals as lies between 0 and 100.

    Args:
        chart: the bars; at least one.
        reference: what the lines across the bars are, for the legend.
        unit: of the horizontal axis.
    """
    figure, (axes,) = _grid(1, 1, 7.5, 1.1 + 0.36 * len(chart))
    places = np.arange(len(chart))[::-1]
    values = np.array([bar.value for bar in chart])
    lows, highs = (np.clip([getattr(bar, end) for bar in chart], 0, 100) for end in ("low", "high"))
    errors = np.array([values - lows, highs - values])
    axes.barh(places, values, color=BLUE, height=0.66)
    axes.errorbar(values, places, xerr=errors.clip(0), fmt="none", ecolor=INK, capsize=3, linewidth=1)
    marked = [(bar.reference, place) for bar, place in zip(chart, places, strict=True) if bar.reference is not None]
    if marked:
        at = [value for value, _ in marked]
        rows = [place for _, place in marked]
        axes.scatter(at, rows, marker="|", s=190, linewidths=2.4, color=ORANGE, label=reference, zorder=3)
        axes.legend(frameon=False, fontsize=8, loc="lower right", bbox_to_anchor=(1, 1), borderaxespad=0.1)
    for bar, place, high in zip(chart, places, highs, strict=True):
        is_in_the_way = bar.reference is not None and -2 < bar.reference - high < 11
        end = bar.reference if bar.reference is not None and is_in_the_way else high
        axes.text(end + 1.5, place, f"{bar.value:.1f}", va="center", fontsize=9, color=INK)
    axes.set_yticks(places, [literal(bar.name) for bar in chart])
    axes.set_xlim(0, 112)
    axes.set_xticks(range(0, 101, 20))
    axes.set_xlabel(f"{unit}; whiskers: 95 % interval")
    return figure


def confusion(
    names: Sequence[str], shares: NDArray[np.float64], labels: tuple[str, str] = ("true class", "taken for")
) -> Figure:
    """Which class is taken for which, as shares of each row in per cent.

    Args:
        names: of rows and columns.
        shares: ``(N, N)``, 0 to 1, NaN where a row and a column never met.
        labels: what rows and columns are.
    """
    size = max(4.2, 1.8 + 0.27 * len(names))
    figure, (axes,) = _grid(1, 1, size + 1.0, size, layout="compressed")
    image = axes.imshow(100 * np.ma.masked_invalid(shares), cmap="cividis", vmin=0, vmax=100)
    axes.set_facecolor("#EEEEEE")
    shown = [literal(name) for name in names]
    axes.set_xticks(range(len(names)), shown, rotation=90)
    axes.set_yticks(range(len(names)), shown)
    axes.tick_params(labelsize=8 if len(names) > 15 else 9, length=0)
    if len(names) <= _MAX_CELLS_WITH_NUMBERS:
        for (row, column), share in np.ndenumerate(shares):
            if np.isfinite(share):
                color = "white" if share < 0.55 else "black"
                axes.text(column, row, f"{100 * share:.0f}", ha="center", va="center", fontsize=8, color=color)
    axes.set_ylabel(labels[0])
    axes.set_xlabel(labels[1])
    figure.colorbar(image, ax=axes, label="share of the row, %", fraction=0.046, pad=0.03)
    return figure


def modulation_histograms(values: Mapping[str, tuple[NDArray[Any], NDArray[Any]]], bins: int = 81) -> Figure:
    """How gamma and beta are distributed, one row a group of sites.

    Args:
        values: gamma and beta of every group, any shapes.
        bins: of each histogram.
    """
    figure, panels = _grid(len(values), 2, 8.4, 1.0 + 1.25 * len(values))
    for column, (part, identity) in enumerate((("gamma", 1.0), ("beta", 0.0))):
        everything = np.concatenate([np.ravel(pair[column]) for pair in values.values()])
        low, high = np.quantile(everything, (0.002, 0.998))
        low, high = min(low, identity - 1e-3), max(high, identity + 1e-3)
        edges = np.linspace(low - 0.05 * (high - low), high + 0.05 * (high - low), bins)
        for row, (name, pair) in enumerate(values.items()):
            axes = panels[2 * row + column]
            axes.hist(np.ravel(pair[column]), edges.tolist(), color=(BLUE, ORANGE)[column])
            axes.axvline(identity, color=INK, linewidth=0.9, linestyle=":")
            axes.set_yticks([])
            axes.tick_params(labelbottom=row == len(values) - 1)
            if column == 0:
                axes.set_ylabel(name, rotation=0, ha="right", va="center")
            if row == 0:
                axes.set_title(part)
        panels[2 * len(values) - 2 + column].set_xlabel("value; dotted: the identity")
    return figure


@dataclass(frozen=True)
class FilmedMaps:
    """Feature maps at one FiLM site, before and after it, with the values that act on them."""

    name: str
    """The site."""
    before: NDArray[Any]
    """``(C, H, W)``."""
    after: NDArray[Any]
    """``(C, H, W)``."""
    gamma: NDArray[Any]
    """``(C,)``."""
    beta: NDArray[Any]
    """``(C,)``."""


def feature_maps(sites: Sequence[FilmedMaps], shown: int = 8) -> Figure:
    """The maps that FiLM changes most at each site, one above the other: before, after.

    Both are drawn on the same scale, from the lowest to the highest value of the pair.
    """
    shown = min(shown, *(len(site.gamma) for site in sites))
    heights = [2.2 * site.before.shape[1] / site.before.shape[2] + 0.45 for site in sites]
    figure = Figure(figsize=(1.3 + 1.05 * shown, sum(heights)), dpi=110, layout="compressed")
    grid = figure.subplots(2 * len(sites), shown, squeeze=False)
    for row, site in enumerate(sites):
        change = np.abs(site.after - site.before).mean((1, 2))
        for column, channel in enumerate(np.argsort(-change)[:shown]):
            pair = np.stack([site.before[channel], site.after[channel]])
            for line, pixels in enumerate(pair):
                axes = grid[2 * row + line, column]
                axes.imshow(pixels, cmap="viridis", vmin=pair.min(), vmax=pair.max(), interpolation="nearest")
                axes.set(xticks=[], yticks=[])
                if column == 0:
                    axes.set_ylabel(f"{site.name}\n{('before', 'after')[line]}", fontsize=8)
            title = f"γ {site.gamma[channel]:.2f}\nβ {site.beta[channel]:+.2f}"
            grid[2 * row, column].set_title(title, fontsize=8, color=INK)
    return figure


def _grid(
    rows: int, columns: int, width: float, height: float, layout: Literal["constrained", "compressed"] = "constrained"
) -> tuple[Figure, list[Axes]]:
    """A figure with plain axes, row by row; ``compressed`` where axes keep the proportions of an image."""
    figure = Figure(figsize=(width, height), dpi=110, layout=layout)
    flat = [axes for row in figure.subplots(rows, columns, squeeze=False) for axes in row]
    for axes in flat:
        for side in ("top", "right"):
            axes.spines[side].set_visible(False)
        axes.tick_params(colors=INK, labelsize=9)
        axes.title.set_fontsize(10)
    return figure, flat
