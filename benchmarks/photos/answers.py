"""The three questions of ``docs/photos.md`` answered in sentences, their numbers from the result files."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from statistics import fmean
from typing import Any

from benchmarks.photos.bars import FILM_LOSS, judged_film, judged_heads, judged_int8
from benchmarks.photos.measure import ALL, FEW, Cell
from benchmarks.photos.report import heads_of, mean_of, read, shots_of, shown, table

_NEAR = 0.005
"""Accuracies this near count as equal in a sentence."""
_SHOWN = 3
"""Missed bars that are named."""


def photos_answer_shots() -> str:
    """How many photos do I need?"""
    results = read("photos")
    backbone, ours = next(iter(results["cells"])), results["ours"]
    cells, shots = results["cells"][backbone], shots_of(results, backbone)
    means = {shot: mean_of(cells, Cell(FEW, shot), ours) for shot in shots}
    steps = [f"{_percent(means[shot])} % with {shot}" for shot in shots]
    first, last = shots[0], shots[-1]
    gained = {domain: _gained(tasks, ours, first, last) for domain, tasks in cells.items()}
    least, most = min(gained, key=gained.__getitem__), max(gained, key=gained.__getitem__)
    whole = [mean_of(cells, Cell(ALL, shot), ours) for shot in (first, last)]
    return (
        f"On the mean of {len(cells)} domains, five classes are told apart at {_listed(steps)} photos per class: from "
        f"{shots[0]} to {shots[1]} it gains {_points(means[shots[1]] - means[shots[0]])} points, from {shots[-2]} to "
        f"{last} {_points(means[last] - means[shots[-2]])}. It depends on what is on the photos: from {first} to "
        f"{last}, {shown(least)} gains {_points(gained[least])} points and {shown(most)} {_points(gained[most])}. "
        f"All classes of a domain at once are harder: {_percent(whole[0])} % with {first} and {_percent(whole[1])} % "
        f"with {last}."
    )


def _gained(tasks: Mapping[str, Any], head: str, first: int, last: int) -> float:
    known = [tasks[name]["heads"][head]["mean"] for shot in (first, last) if (name := Cell(FEW, shot).name) in tasks]
    return float(known[-1] - known[0])


def photos_answer_heads() -> str:
    """Which head?"""
    results = read("photos")
    backbone = next(iter(results["cells"]))
    cells = results["cells"][backbone]
    sentences = []
    for shot in shots_of(results, backbone):
        means = {head: mean_of(cells, Cell(FEW, shot), head) for head in heads_of(cells)}
        best = max(means, key=means.__getitem__)
        near = [head for head in means if head != best and means[best] - means[head] <= _NEAR]
        worst = min(means, key=means.__getitem__)
        photos = "1 photo" if shot == 1 else f"{shot} photos"
        also = f" ({_listed(near)} within half a point)" if near else ""
        sentences.append(
            f"- {photos}: {best}, {_percent(means[best])} %{also}; last is {worst}, {_percent(means[worst])} %."
        )
    return "\n".join(sentences)


def photos_answer_film() -> str:
    """Does FiLM help?"""
    models = read("photos_film")["models"]
    return "\n".join(f"- {shown(name)}: {_of_film(domains)}" for name, domains in models.items())


def _of_film(domains: Mapping[str, Any]) -> str:
    gains = [(cell["gain"]["mean"], domain, task) for domain, cells in domains.items() for task, cell in cells.items()]
    mean = fmean(gain for gain, _, _ in gains)
    (least, *worst), (most, *best) = min(gains), max(gains)
    losing = [gain for gain, _, _ in gains if gain < -FILM_LOSS]
    return (
        f"{100 * mean:+.1f} points on the mean, from {100 * least:+.1f} ({_place(worst)}) to {100 * most:+.1f} "
        f"({_place(best)}); {len(losing)} of {len(gains)} cells lose more than {100 * FILM_LOSS:g}."
    )


def _place(where: Sequence[str]) -> str:
    domain, task = where
    return f"{shown(domain)}, {task}"


def photos_failed() -> str:
    """How many bars of every kind hold, and which cell misses its bar by most."""
    heads = read("photos")
    kinds: dict[str, list[Mapping[str, Any]]] = {}
    for bar in judged_heads(next(iter(heads["cells"].values())), heads["ours"]):
        kinds.setdefault(f"{heads['ours']}: {bar['about']}", []).append(bar)
    for model, domains in read("photos_film")["models"].items():
        for bar in judged_film(domains):
            kinds.setdefault(f"{shown(model)}: {bar['about']}", []).append(bar)
    kinds["int8: accuracy"] = list(judged_int8(read("photos_int8")["domains"]))
    rows = []
    for kind, bars in kinds.items():
        missed = [bar for bar in bars if not bar["holds"]]
        missed.sort(key=lambda bar: -bar["missed_by"])
        worst = [
            f"{shown(bar['where'])}, {bar['task']}: {100 * bar['found']:.1f}, asked {bar['expected']}" for bar in missed
        ]
        rows.append([kind, str(len(bars)), str(len(bars) - len(missed)), "; ".join(worst[:_SHOWN]) + _more(worst)])
    return table(["what", "bars", "hold", "missed by"], rows, 4)


def _more(worst: Sequence[str]) -> str:
    return f"; and {len(worst) - _SHOWN} more" if len(worst) > _SHOWN else ""


def _percent(share: float) -> str:
    return f"{100 * share:.1f}"


def _points(share: float) -> str:
    return f"{100 * share:.1f}"


def _listed(words: Sequence[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


ANSWERS: dict[str, Callable[[], str]] = {
    one.__name__: one for one in (photos_answer_shots, photos_answer_heads, photos_answer_film, photos_failed)
}
"""Sentences by their names in a page."""
