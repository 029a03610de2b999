"""Pictures of results."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure
from torch import Tensor

from fewshot_film.episodes import Episode

RIGHT, WRONG = "#0072B2", "#D55E00"  # blue and vermilion of Okabe and Ito: apart for every kind of colour vision


def episode_sheet(episode: Episode, logits: Tensor, *, max_support: int = 5, max_queries: int = 8) -> Figure:
    """One row a class: its support pictures, then its query pictures with what they were taken for.

    Args:
        episode: the task.
        logits: ``(M, way)`` for its query pictures.
        max_support: support pictures shown a class.
        max_queries: query pictures shown a class.

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
        grid[label, 0].set_title(_short(name), loc="left", fontsize=9)
        support = (episode.support_labels == label).nonzero()[:shown_support, 0]
        for column, index in enumerate(support.tolist()):
            _draw(grid[label, column], episode.support_images[index])
        queries = (episode.query_labels == label).nonzero()[:shown_queries, 0]
        for column, index in enumerate(queries.tolist()):
            axes, given = grid[label, shown_support + 1 + column], int(predicted[index])
            _draw(axes, episode.query_images[index], RIGHT if given == label else WRONG)
            caption = f"{100 * float(confidence[index]):.0f} %"
            if given != label:
                caption += f"\n{_short(episode.class_names[given], 14)}"
            axes.set_title(caption, fontsize=7, color=RIGHT if given == label else WRONG)
    share = float((predicted == episode.query_labels).float().mean())
    figure.suptitle(
        f"{episode.source}, episode {episode.index}: left of the gap the support set, right of it queries\n"
        f"{100 * share:.0f} % of {len(predicted)} named rightly (blue); the others (orange) with the name given",
        fontsize=10,
    )
    return figure


def _draw(axes, image: Tensor, frame: str = "") -> None:  # type: ignore[no-untyped-def]
    """A picture ``(C, H, W)`` in [0, 1], framed where a colour is given."""
    pixels = image.detach().cpu().movedim(0, -1).numpy()
    axes.imshow(np.repeat(pixels, 3, axis=2) if pixels.shape[2] == 1 else pixels, vmin=0, vmax=1)
    if frame:
        axes.set_axis_on()
        axes.set(xticks=[], yticks=[])
        for spine in axes.spines.values():
            spine.set(color=frame, linewidth=2.5)


def _short(name: str, length: int = 28) -> str:
    return name if len(name) <= length else f"{name[: length - 1]}…"
