"""One figure per question of ``docs/photos.md``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.photos.bars import FILM_LOSS
from benchmarks.photos.measure import ALL, FEW, Cell
from benchmarks.photos.report import heads_of, mean_of, read, shots_of, shown
from benchmarks.photos.settings import FiguresConfig
from fewshot_film.run.figures import BLUE, GREEN, INK, ORANGE, PALE, PURPLE, SKY, VERMILION

_COLORS = (BLUE, VERMILION, GREEN, ORANGE, PURPLE, SKY, INK, "#8C6D31")
_GAP = 3.4
"""Least distance of two labels at the ends of lines, per cent."""


def write(config: FiguresConfig) -> int:
    """Write the figures of the result files."""
    folder = Path(config.out)
    folder.mkdir(parents=True, exist_ok=True)
    shots_figure().savefig(folder / "photos-shots.png")
    heads_figure().savefig(folder / "photos-heads.png")
    film_figure(read("photos_film")["models"]).savefig(folder / "photos-film.png")
    return 0


def shots_figure() -> Figure:
    """How many photos do I need? Accuracy by photos per class, a line per domain; five classes, and all."""
    results = read("photos")
    backbone, ours = next(iter(results["cells"])), results["ours"]
    cells, shots = results["cells"][backbone], shots_of(results, backbone)
    figure = Figure(figsize=(9.6, 4.4), dpi=110, layout="constrained")
    panels = figure.subplots(1, 2, sharey=True)
    for axes, way, title in zip(panels, (FEW, ALL), ("5 classes", "all classes of the domain"), strict=True):
        ends = []
        for (domain, tasks), color in zip(cells.items(), _COLORS, strict=False):
            known = [shot for shot in shots if Cell(way, shot).name in tasks]
            values = [100 * tasks[Cell(way, shot).name]["heads"][ours]["mean"] for shot in known]
            axes.plot(known, values, color=color, marker="o", ms=4)
            classes = f" ({results['domains'][domain]['classes']})" if way == ALL else ""
            ends.append((values[-1], shown(domain) + classes, color))
        _label_ends(axes, max(shots), ends)
        _by_shot(axes, shots)
        axes.set_title(title, fontsize=10)
    panels[0].set_ylabel("accuracy, %")
    return figure


def heads_figure() -> Figure:
    """Which head? Mean accuracy over the domains less that of the cosine to the class mean, a line per head."""
    results = read("photos")
    backbone = next(iter(results["cells"]))
    cells, shots = results["cells"][backbone], shots_of(results, backbone)
    figure = Figure(figsize=(9.6, 4.0), dpi=110, layout="constrained")
    panels = figure.subplots(1, 2, sharey=True)
    base = "cosine to the mean"
    for axes, way, title in zip(panels, (FEW, ALL), ("5 classes", "all classes of the domain"), strict=True):
        for head, color in zip(heads_of(cells), _COLORS, strict=False):
            gains = [
                100 * (mean_of(cells, Cell(way, shot), head) - mean_of(cells, Cell(way, shot), base)) for shot in shots
            ]
            width = 2.6 if head == results["ours"] else 1.4
            axes.plot(shots, gains, color=color, marker="o", ms=4, linewidth=width, label=head)
        _by_shot(axes, shots)
        axes.set_title(title, fontsize=10)
    panels[0].set_ylabel(f"accuracy less that of\nthe {base}, points")
    panels[1].legend(frameon=False, fontsize=8, loc="upper left", bbox_to_anchor=(1, 1))
    return figure


def film_figure(models: Mapping[str, Any]) -> Figure:
    """Does FiLM help? Its paired gain in every domain, with intervals, a mark per number of photos.

    Args:
        models: gains by model, domain and cell; see `benchmarks.photos.film`.
    """
    figure = Figure(figsize=(4.9 * len(models), 0.9 + 0.5 * max(map(len, models.values()))), dpi=110)
    figure.set_layout_engine("constrained")
    panels = figure.subplots(1, len(models), sharey=True, squeeze=False)[0]
    for axes, (model, domains) in zip(panels, models.items(), strict=True):
        tasks = list(dict.fromkeys(task for cells in domains.values() for task in cells))
        places = np.arange(len(domains))[::-1]
        for number, (task, color) in enumerate(zip(tasks, _COLORS, strict=False)):
            gains = [cells[task]["gain"] for cells in domains.values() if task in cells]
            at = [place for place, cells in zip(places, domains.values(), strict=True) if task in cells]
            means, spans = [100 * gain["mean"] for gain in gains], [100 * gain["interval"] for gain in gains]
            shift = 0.22 * ((len(tasks) - 1) / 2 - number)
            axes.errorbar(means, np.array(at) + shift, xerr=spans, fmt="o", ms=4, color=color, label=task, capsize=2)
        axes.axvline(0, color=INK, linewidth=0.9)
        axes.axvline(-100 * FILM_LOSS, color=PALE, linewidth=0.9, linestyle="--")
        axes.set_yticks(places, [shown(domain) for domain in domains])
        axes.set_title(shown(model), fontsize=10)
        axes.set_xlabel("gain over the same without FiLM, points")
        _plain(axes)
    panels[-1].legend(frameon=False, fontsize=8, loc="upper left", bbox_to_anchor=(1, 1))
    return figure


def _by_shot(axes: Axes, shots: Sequence[int]) -> None:
    """Photos per class, from left to right by their logarithms."""
    axes.set_xscale("log")
    axes.set_xticks(shots, [str(shot) for shot in shots])
    axes.minorticks_off()
    axes.set_xlabel("photos per class")
    axes.grid(axis="y", color=PALE, linewidth=0.5, alpha=0.6)
    _plain(axes)


def _plain(axes: Axes) -> None:
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    axes.tick_params(colors=INK, labelsize=9)


def _label_ends(axes: Axes, last: int, ends: Sequence[tuple[float, str, str]]) -> None:
    """Names beside the ends of lines, moved apart where they would cover each other."""
    place = -np.inf
    for value, name, color in sorted(ends):
        place = max(value, place + _GAP)
        axes.annotate(name, (last, place), (6, 0), textcoords="offset points", color=color, fontsize=8, va="center")
    axes.margins(x=0.04)
