"""Result files: numbers with everything that is needed to believe and to repeat them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from fewshot_film.errors import InvalidValueError
from fewshot_film.run.config import plain
from fewshot_film.run.environment import command_line, environment
from fewshot_film.run.files import write_json_atomically


def mean_and_interval(values: Sequence[float] | np.ndarray) -> tuple[float, float]:
    """Mean, and half the width of its 95 % confidence interval.

    The half width is ``1.96 * s / sqrt(n)``, with ``s`` the standard deviation of the sample (``n - 1``).

    Raises:
        ValueError: fewer than two values, or one that is not finite.
    """
    numbers = np.asarray(values, dtype=np.float64)
    if numbers.size < 2 or not np.isfinite(numbers).all():
        raise InvalidValueError(
            f"an interval needs at least 2 finite values, got {numbers.size}; evaluate more episodes"
        )
    return float(numbers.mean()), float(1.96 * numbers.std(ddof=1) / math.sqrt(numbers.size))


def paired_difference(values: Sequence[float], others: Sequence[float]) -> tuple[float, float]:
    """Mean of ``values - others``, pair by pair, and half the width of its 95 % confidence interval.

    What both have in common, such as how hard an episode is, drops out: the interval is as narrow as the two agree.

    Args:
        values: one number an episode.
        others: numbers of the same episodes, in the same order.

    Raises:
        ValueError: the lengths differ, or there are fewer than two pairs, or a value is not finite.
    """
    if len(values) != len(others):
        raise InvalidValueError(f"{len(values)} and {len(others)} values are no pairs; give both for the same episodes")
    return mean_and_interval(np.asarray(values, dtype=np.float64) - np.asarray(others, dtype=np.float64))


def summary(values: Sequence[float]) -> dict[str, Any]:
    """Mean, half width of the 95 % interval, number of values, and the values themselves."""
    mean, interval = mean_and_interval(values)
    return {
        "mean": mean,
        "interval": interval,
        "count": len(values),
        "values": [float(value) for value in values],
    }


def write_result(path: Path, *, config: Any, seed: int, results: Mapping[str, Any]) -> None:
    """Write a result file: results with command, settings, seed, commit, versions and hardware.

    Args:
        path: the JSON file; its folder is made.
        config: dataclass or mapping of all settings.
        seed: the seed that the numbers depend on.
        results: what was found, plain values; :func:`summary` makes the entries of repeated measurements.
    Raises:
        ValueError: ``results`` holds NaN or infinity.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    content = {"command": command_line(), "seed": seed, "config": plain(config), **environment()}
    write_json_atomically(path, {**content, "results": dict(results)})
