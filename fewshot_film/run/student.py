"""Student's t, for intervals and bounds from few values; SciPy has it too, but few installations need SciPy."""

from __future__ import annotations

import math
from functools import lru_cache
from statistics import NormalDist

_SERIES_TO = 200
"""Degrees of freedom up to which the distribution is summed; beyond, the expansion is as good."""


@lru_cache
def student_quantile(probability: float, freedom: int) -> float:
    """Quantile of Student's t, to 8 digits for probabilities between 1e-6 and 1 - 1e-6.

    Args:
        probability: in (0, 1).
        freedom: degrees of freedom, at least 1.

    Source:
        Abramowitz and Stegun, "Handbook of Mathematical Functions", 26.7.3 to 26.7.5.
    """
    if freedom > _SERIES_TO:
        return _expansion(NormalDist().inv_cdf(probability), freedom)
    low, high = -math.pi / 2, math.pi / 2
    while low < (middle := (low + high) / 2) < high:
        low, high = (middle, high) if _below(middle, freedom) < probability else (low, middle)
    return math.sqrt(freedom) * math.tan(middle)


def _below(angle: float, freedom: int) -> float:
    """Probability of a value below ``sqrt(freedom) * tan(angle)``, by the finite series 26.7.3 and 26.7.4."""
    is_odd = freedom % 2 == 1
    square = math.cos(angle) ** 2
    term = math.cos(angle) if is_odd else 1.0
    total = 0.0
    for power in range(int(is_odd), freedom - 1, 2):
        total += term
        term *= square * (power + 1) / (power + 2)
    total *= math.sin(angle)
    return 0.5 + ((angle + total) / math.pi if is_odd else total / 2)


def _expansion(z: float, freedom: int) -> float:
    """From the normal distribution's quantile, by 26.7.5."""
    terms = (
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
        (79 * z**9 + 776 * z**7 + 1482 * z**5 - 1920 * z**3 - 945 * z) / 92160,
    )
    return z + sum(term / float(freedom) ** (power + 1) for power, term in enumerate(terms))
