"""How gamma and beta are distributed in every block.

Source: Perez et al., "FiLM", AAAI 2018, section 4.2 and figures 5, 16 and 17. Their best model had 36 % of gamma and
76 % of beta below 0, and a sharp peak of gamma at 0.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from clevr.analysis.subject import Finding, Subject
from clevr.answers.plotting import COLORS, new_figure

BINS = 121
_QUANTILES = (0.01, 0.25, 0.5, 0.75, 0.99)


def analyse(subject: Subject) -> Finding:
    """Histograms and their key figures over questions of the split."""
    values = subject.flat_values([subject.data.table.texts[int(number)] for number in subject.numbers])
    names = subject.reasoner.sites.names
    parts = {"gamma": values[:, :, 0], "beta": values[:, :, 1]}
    results: dict[str, Any] = {"questions": len(values)}
    figure, axes = new_figure(len(names), 2, 9, 1.3 + 1.35 * len(names))
    for column, (part, of_part) in enumerate(parts.items()):
        low, high = np.quantile(of_part, (0.002, 0.998)).tolist()
        if low == high:  # all values are one: gamma or beta is fixed
            low, high = low - 0.5, high + 0.5
        edges = np.linspace(low, high, BINS)
        results[part] = {"edges": edges.tolist()}
        for block, name in enumerate(names):
            found = describe(of_part[:, block], edges)
            results[part][name] = found
            here = axes[2 * block + column]
            here.stairs(found["density"], edges, fill=True, color=COLORS[column])
            here.axvline(1.0 if part == "gamma" else 0.0, color="black", linewidth=0.8, linestyle=":")
            here.set_yticks([])
            here.set_ylabel(f"block {block + 1}", rotation=0, ha="right", va="center") if column == 0 else None
            here.sharex(axes[column])
        axes[column].set_title(part)
        axes[-2 + column].set_xlabel("value; dotted: the identity")
    return Finding(results, figure)


def describe(values: NDArray[np.float32], edges: NDArray[np.float64]) -> dict[str, Any]:
    """Key figures of some values, and the density between the edges.

    Args:
        values: any shape.
        edges: ``(BINS,)``; what lies outside does not count for the density.
    """
    values = values.astype(np.float64)
    counts, _ = np.histogram(values, edges)
    return {
        "mean": float(values.mean()),
        "std": float(values.std()),
        "quantiles": {
            f"{share:g}": float(value) for share, value in zip(_QUANTILES, np.quantile(values, _QUANTILES), strict=True)
        },
        "share_negative": float((values < 0).mean()),
        "share_near_zero": float((np.abs(values) < 0.1).mean()),
        "std_over_questions": float(values.std(0).mean()),
        "density": (counts / (max(1, counts.sum()) * np.diff(edges))).tolist(),
    }
