"""What the project asks of itself on photos, beside what was measured."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import fmean
from typing import Any

from benchmarks.photos.measure import FEW, Cell, accuracies
from fewshot_film.run.results import paired_difference

BEST_OR_WITHIN = 0.005
"""Our head may be this much below the best other head."""
CALIBRATION = {1: 0.05, 5: 0.03}
"""Largest calibration error by images per class."""
MEMBERS = (0.03, 0.07)
"""Share of members that is turned away where 5 % are asked for."""
STRANGERS = 0.8
"""Least share of strangers turned away of `THINGS`."""
STRANGERS_MEAN = 0.5
"""Least share of strangers turned away, mean of all domains."""
THINGS = ("clothing", "food")
"""Domains of things and groceries; none of the others shows such."""
FILM_LOSS, FILM_MEAN, FILM_FAR = 0.005, 0.02, 0.04
"""FiLM loses at most so much in any domain, gains at least so much on the mean, and so much in every one of `FAR`."""
INT8_LOSS = 0.005
"""Answers in 8-bit integers are right at most so much less often."""
FAR = ("pollen", "satellite", "sign_digits", "sketches")
"""Domains far from ImageNet's photos."""


@dataclass(frozen=True)
class Bar:
    """One thing that is asked."""

    about: str
    """What: accuracy, calibration, members, strangers or film."""
    where: str
    """Domain, or what the mean is over."""
    task: str
    """Cell."""
    expected: str
    """The bar in words."""
    found: float
    """What was measured, as a share."""
    holds: bool
    interval: float | None = None
    """Half width of the 95 % interval of ``found`` where it is a paired difference."""
    missed_by: float = 0.0
    """How far ``found`` is from what is asked; 0 where it holds."""


def judged(
    about: str,
    where: str,
    task: str,
    expected: str,
    found: float,
    *,
    least: float = -math.inf,
    most: float = math.inf,
    interval: float | None = None,
) -> Bar:
    """A bar: ``found`` is to be between two bounds."""
    missed_by = max(least - found, found - most, 0.0)
    return Bar(about, where, task, expected, found, missed_by == 0, interval, missed_by)


def judged_heads(domains: Mapping[str, Any], ours: str) -> list[dict[str, Any]]:
    """Bars of one head on the features of one backbone.

    Args:
        domains: records by domain, cell and head.
        ours: name of the head.
    """
    found = [bar for name, cells in domains.items() for bar in _accuracy_bars(name, cells, ours)]
    found += [bar for name, cells in domains.items() for bar in _calibration_bars(name, cells, ours)]
    found += [bar for name, cells in domains.items() for bar in _member_bars(name, cells, ours)]
    found += _stranger_bars(domains, ours)
    return [asdict(bar) for bar in found]


def _accuracy_bars(domain: str, cells: Mapping[str, Any], ours: str) -> Iterator[Bar]:
    for task, cell in cells.items():
        heads = cell["heads"]
        others = [name for name in heads if name != ours]
        if ours in heads and others:
            best = max(others, key=lambda name: heads[name]["mean"])
            gap, interval = paired_difference(accuracies(heads[ours]), accuracies(heads[best]))
            expected = f"at most {100 * BEST_OR_WITHIN:g} points below the best other head, {best}"
            yield judged("accuracy", domain, task, expected, gap, least=-BEST_OR_WITHIN, interval=interval)


def _calibration_bars(domain: str, cells: Mapping[str, Any], ours: str) -> Iterator[Bar]:
    for shot, most in CALIBRATION.items():
        error = _value(cells, shot, ours, "calibration_error")
        if error is not None:
            yield judged("calibration", domain, _few(shot), f"at most {100 * most:g} %", error, most=most)


def _member_bars(domain: str, cells: Mapping[str, Any], ours: str) -> Iterator[Bar]:
    least, most = MEMBERS
    for task, cell in cells.items():
        share = cell["heads"].get(ours, {}).get("members_turned_away")
        if share is not None:
            expected = f"{100 * least:g} to {100 * most:g} %"
            yield judged("members", domain, task, expected, share, least=least, most=most)


def _stranger_bars(domains: Mapping[str, Any], ours: str) -> Iterator[Bar]:
    tasks = dict.fromkeys(task for cells in domains.values() for task in cells)
    for task in tasks:
        away = {
            name: cells[task]["heads"][ours]["strangers_turned_away"]
            for name, cells in domains.items()
            if task in cells and cells[task]["heads"].get(ours, {}).get("strangers_turned_away") is not None
        }
        for name in THINGS:
            if name in away:
                expected = f"at least {100 * STRANGERS:g} %"
                yield judged("strangers", name, task, expected, away[name], least=STRANGERS)
        if away:
            mean, expected = fmean(away.values()), f"at least {100 * STRANGERS_MEAN:g} %"
            yield judged("strangers", "mean of all", task, expected, mean, least=STRANGERS_MEAN)


def judged_film(domains: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Bars of FiLM.

    Args:
        domains: by domain and cell: ``gain``, a paired difference with ``mean`` and ``interval``.
    """
    found: list[Bar] = []
    for name, cells in domains.items():
        for task, cell in cells.items():
            gain, interval = cell["gain"]["mean"], cell["gain"]["interval"]
            found.append(_least("film", name, task, -FILM_LOSS, gain, interval))
            if name in FAR:
                found.append(_least("film, far", name, task, FILM_FAR, gain, interval))
    tasks = dict.fromkeys(task for cells in domains.values() for task in cells)
    for task in tasks:
        mean = fmean(cells[task]["gain"]["mean"] for cells in domains.values() if task in cells)
        found.append(_least("film", "mean of all", task, FILM_MEAN, mean, None))
    return [asdict(bar) for bar in found]


def judged_int8(domains: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Bars of a network in integers.

    Args:
        domains: by domain and cell: ``difference`` to float32, paired, with ``mean`` and ``interval``.
    """
    return [
        asdict(_least("int8", name, task, -INT8_LOSS, cell["difference"]["mean"], cell["difference"]["interval"]))
        for name, cells in domains.items()
        for task, cell in cells.items()
    ]


def _least(about: str, where: str, task: str, least: float, gain: float, interval: float | None) -> Bar:
    expected = f"at least {100 * least:+g}"
    return judged(about, where, task, expected, gain, least=least, interval=interval)


def _value(cells: Mapping[str, Any], shot: int, head: str, what: str) -> float | None:
    found: float | None = cells.get(_few(shot), {}).get("heads", {}).get(head, {}).get(what)
    return found


def _few(shot: int) -> str:
    return Cell(FEW, shot).name


def summary(bars: Sequence[Mapping[str, Any]]) -> dict[str, tuple[int, int]]:
    """How many bars of each kind hold, and how many there are."""
    kinds = dict.fromkeys(bar["about"] for bar in bars)
    return {
        kind: (sum(bar["holds"] for bar in bars if bar["about"] == kind), sum(bar["about"] == kind for bar in bars))
        for kind in kinds
    }
