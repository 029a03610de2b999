"""Images of results."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure
from torch import Tensor

from fewshot_film.episodes import Episode
from fewshot_film.run.figures import BLUE, VERMILION, literal

RIGHT, WRONG, UNKNOWN = BLUE, VERMILION, "#777777"


def episode_sheet(episode: Episode, logits: Tensor, *, max_support: int = 5, max_queries: int = 8) -> Figure:
    """One row a class: its support images, then its query images with what they were taken for.

    Args:
        episode: the task.
        logits: ``(M, way)`` for its query images.
        max_support: support images shown a class.
        max_queries: query images shown a class.

    Returns:
        A figure to save, with a blue frame around what was named rightly and an orange one, and the name that was
        given, around what was not.
    """
    shown_support = min(max_support, int(episode.support_labels.bincount().max()))
    shown_queries = min(max_queries, int(episode.query_labels.bincount().max()))
    columns = shown_support + 1 + shown_queries
    figure = Figure(figsize=(1.6 + 0.95 * columns, 0.9 + 1.15 * episode.way), dpi=100, layout="constrained")
    grid = figure.subplots(episode.way, columns, squeeze=False)
    for axes in grid.flat:
        axes.set_axis_off()
    confidence, predicted = logits.softmax(1).max(1)
    for label, name in enumerate(episode.class_names):
        grid[label, 0].set_title(literal(shortened(name)), loc="left", fontsize=9)
        support = (episode.support_labels == label).nonzero()[:shown_support, 0]
        for column, index in enumerate(support.tolist()):
            _draw(grid[label, column], episode.support_images[index])
        queries = (episode.query_labels == label).nonzero()[:shown_queries, 0]
        for column, index in enumerate(queries.tolist()):
            axes, given = grid[label, shown_support + 1 + column], int(predicted[index])
            colour = RIGHT if given == label else WRONG
            _draw(axes, episode.query_images[index], colour)
            mistaken = "" if given == label else f"\n{literal(shortened(episode.class_names[given], 14))}"
            axes.set_title(f"{100 * float(confidence[index]):.0f} %{mistaken}", fontsize=7, color=colour)
    share = float((predicted == episode.query_labels).float().mean())
    figure.suptitle(
        f"{literal(episode.source)}, episode {episode.index}: left of the gap the support set, right of it queries\n"
        f"{100 * share:.0f} % of {len(predicted)} named rightly (blue); the others (orange) with the name given",
        fontsize=10,
    )
    return figure


@dataclass(frozen=True)
class SheetImage:
    """A query image on a sheet of answers."""

    pixels: np.ndarray
    """``(3, H, W)``, uint8."""
    caption: str
    """Confidence, and what else there is to say."""
    is_right: bool | None
    """Decides the frame's colour; None: it is not known."""


@dataclass(frozen=True)
class SheetRow:
    """One class on a sheet of answers."""

    name: str
    """The class."""
    support: Sequence[np.ndarray]
    """Support images to show, ``(3, H, W)`` uint8 each."""
    queries: Sequence[SheetImage]
    """Query images that got this name, to show."""
    count: int
    """Query images that got this name, shown or not."""


def answer_sheet(rows: Sequence[SheetRow], title: str) -> Figure:
    """One row a class: its support images left of the gap, right of it the queries that got its name.

    Frames are blue around what is right and orange around what is not, grey where nothing is known.
    """
    shown_support = max((len(row.support) for row in rows), default=1)
    columns = shown_support + 1 + max((len(row.queries) for row in rows), default=1)
    figure = Figure(figsize=(1.2 + 1.15 * columns, 0.8 + 1.5 * len(rows)), dpi=100, layout="constrained")
    widths = [1.0] * shown_support + [0.25] + [1.0] * (columns - shown_support - 1)
    grid = figure.subplots(len(rows), columns, squeeze=False, width_ratios=widths)
    for axes in grid.flat:
        axes.set_axis_off()
        axes.set_box_aspect(1)
    for line, row in zip(grid, rows, strict=True):
        line[0].set_title(f"{literal(shortened(row.name))} ({row.count})", loc="left", fontsize=9)
        for axes, pixels in zip(line, row.support, strict=False):
            axes.imshow(pixels.transpose(1, 2, 0))
        for axes, picture in zip(line[shown_support + 1 :], row.queries, strict=False):
            colour = UNKNOWN if picture.is_right is None else RIGHT if picture.is_right else WRONG
            axes.imshow(picture.pixels.transpose(1, 2, 0))
            _frame(axes, colour)
            axes.set_xlabel(literal(picture.caption), fontsize=8, color=colour, labelpad=2)
    figure.suptitle(literal(title), fontsize=10)
    return figure


def reliability_diagrams(diagrams: Mapping[str, tuple[np.ndarray, np.ndarray, np.ndarray]], columns: int = 1) -> Figure:
    """Accuracy against confidence, bin by bin; the area of a point is its share of the images.

    Args:
        diagrams: by title: accuracy, confidence and number of images of every bin, ``(bins,)`` each, NaN in the first
            two where a bin is empty.
        columns: diagrams side by side.
    """
    rows = -(-len(diagrams) // columns)
    figure = Figure(figsize=(3.4 * columns, 3.5 * rows), dpi=100, layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False)
    for axes in grid.flat[len(diagrams) :]:
        axes.set_axis_off()
    for axes, (title, (accuracy, confidence, count)) in zip(grid.flat, diagrams.items(), strict=False):
        axes.plot([0, 1], [0, 1], color=UNKNOWN, linewidth=1, linestyle="--")
        axes.plot(confidence, accuracy, color=RIGHT, linewidth=1)
        axes.scatter(confidence, accuracy, s=8 + 400 * count / max(int(count.sum()), 1), color=RIGHT, alpha=0.7)
        axes.set(xlim=(0, 1), ylim=(0, 1), xlabel="confidence", ylabel="accuracy", aspect="equal")
        axes.set_title(title, fontsize=8)
    return figure


def _draw(axes, image: Tensor, frame: str = "") -> None:  # type: ignore[no-untyped-def]
    """An image ``(C, H, W)`` in [0, 1], framed where a colour is given."""
    pixels = image.detach().cpu().movedim(0, -1).numpy()
    axes.imshow(np.repeat(pixels, 3, axis=2) if pixels.shape[2] == 1 else pixels, vmin=0, vmax=1)
    if frame:
        _frame(axes, frame)


def _frame(axes, colour: str) -> None:  # type: ignore[no-untyped-def]
    axes.set_axis_on()
    axes.set(xticks=[], yticks=[])
    for spine in axes.spines.values():
        spine.set(color=colour, linewidth=2.5)


def shortened(name: str, length: int = 28) -> str:
    """A name that fits."""
    return name if len(name) <= length else f"{name[: length - 1]}…"
