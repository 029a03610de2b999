"""Tables of ``docs/photos.md``, from the result files; ``python -m benchmarks.tables`` fills them in."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from benchmarks.photos.bars import (
    BEST_OR_WITHIN,
    CALIBRATION,
    INT8_LOSS,
    MEMBERS,
    STRANGERS,
    STRANGERS_MEAN,
    THINGS,
    judged_film,
    judged_heads,
    judged_int8,
)
from benchmarks.photos.measure import ALL, FEW, Cell

RESULTS = Path(__file__).resolve().parent.parent / "results"
NAMES = {
    "sign_digits": "digits signed by hand",
    **{f"efficientnet-lite{number}": f"EfficientNet-Lite{number}" for number in range(3)},
}
"""How tables call what is called otherwise in files."""


def read(name: str) -> dict[str, Any]:
    """The results of a file in ``benchmarks/results``."""
    content: dict[str, Any] = json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))
    results: dict[str, Any] = content["results"]
    return results


def shown(name: str) -> str:
    """The name that tables and figures use."""
    return NAMES.get(name, name)


def table(heads: Sequence[str], rows: Iterable[Sequence[str]], words: int = 1) -> str:
    """Markdown; all columns but the first ``words`` are numbers."""
    lines = [f"| {' | '.join(heads)} |", "| --- " * words + "| ---: " * (len(heads) - words) + "|"]
    return "\n".join([*lines, *(f"| {' | '.join(row)} |" for row in rows)])


def shots_of(results: Mapping[str, Any], backbone: str) -> list[int]:
    """Numbers of images per class that were measured."""
    names = {task for cells in results["cells"][backbone].values() for task in cells}
    return [shot for shot in range(1, 101) if Cell(FEW, shot).name in names]


def photos_shots() -> str:
    """Accuracy by number of photos: every domain, one head."""
    results = read("photos")
    backbone, ours = next(iter(results["cells"])), results["ours"]
    shots = shots_of(results, backbone)
    rows = []
    for way in (FEW, ALL):
        for domain, cells in results["cells"][backbone].items():
            classes = results["domains"][domain]["classes"] if way == ALL else way
            found = [cells.get(Cell(way, shot).name) for shot in shots]
            rows.append(
                [shown(domain), str(classes), *(_accuracy(cell["heads"][ours]) if cell else "" for cell in found)]
            )
    return table(["accuracy in %", "classes", *(_photos(shot) for shot in shots)], rows)


def photos_heads() -> str:
    """Mean accuracy over the domains: every head, by number of photos."""
    results = read("photos")
    backbone = next(iter(results["cells"]))
    cells, shots = results["cells"][backbone], shots_of(results, backbone)
    rows = []
    for head in heads_of(cells):
        few, whole = ([mean_of(cells, Cell(way, shot), head) for shot in shots] for way in (FEW, ALL))
        rows.append([head, *(f"{100 * value:.1f}" for value in (*few, *whole))])
    heads = [f"{'5 classes' if way == FEW else 'all'}, {shot}" for way in (FEW, ALL) for shot in shots]
    return table(["mean accuracy in %", *heads], rows)


def heads_of(cells: Mapping[str, Any]) -> list[str]:
    """Names of the heads that were measured."""
    return list(dict.fromkeys(name for tasks in cells.values() for cell in tasks.values() for name in cell["heads"]))


def mean_of(cells: Mapping[str, Any], cell: Cell, head: str) -> float:
    """Mean accuracy over the domains that have the cell."""
    return fmean(tasks[cell.name]["heads"][head]["mean"] for tasks in cells.values() if cell.name in tasks)


def photos_best() -> str:
    """Every cell: our head, the best other one, the paired difference, and whether the bar holds."""
    results = read("photos")
    backbone, ours = next(iter(results["cells"])), results["ours"]
    cells = results["cells"][backbone]
    rows = []
    for bar in judged_heads(cells, ours):
        if bar["about"] == "accuracy":
            heads = cells[bar["where"]][bar["task"]]["heads"]
            best = max((name for name in heads if name != ours), key=lambda name: heads[name]["mean"])
            gap = f"{100 * bar['found']:+z.1f} ± {100 * bar['interval']:.1f}"
            words = [shown(bar["where"]), bar["task"], f"{_accuracy(heads[best])} ({best})"]
            rows.append([*words, _accuracy(heads[ours]), gap, verdict(bar)])
    bar_text = f"at least {-100 * BEST_OR_WITHIN:g}"
    return table(["domain", "task", "best other head, %", f"{ours}, %", "difference", bar_text], rows, 2)


def photos_calibration() -> str:
    """Calibration errors of the heads that give probabilities, and the bars."""
    results = read("photos")
    backbone, ours = next(iter(results["cells"])), results["ours"]
    cells = results["cells"][backbone]
    heads = [head for head in heads_of(cells) if _has(cells, head, "calibration_error")]
    bars = {(bar["where"], bar["task"]): bar for bar in judged_heads(cells, ours) if bar["about"] == "calibration"}
    rows = []
    for domain, tasks in cells.items():
        for shot in CALIBRATION:
            task = Cell(FEW, shot).name
            if (domain, task) in bars:
                bar = bars[domain, task]
                values = [_percent(tasks[task]["heads"][head]["calibration_error"]) for head in heads]
                rows.append([shown(domain), _photos(shot), *values, bar["expected"], verdict(bar)])
    return table(["domain", "photos", *heads, "bar", ours], rows, 2)


def photos_rejection() -> str:
    """Members and strangers that our head turns away, each with its bar."""
    results = read("photos")
    backbone, ours = next(iter(results["cells"])), results["ours"]
    cells = results["cells"][backbone]
    bars = {(bar["about"], bar["where"], bar["task"]): bar for bar in judged_heads(cells, ours)}
    rows = []
    for domain, tasks in cells.items():
        for task, cell in tasks.items():
            head = cell["heads"].get(ours, {})
            if head.get("members_turned_away") is not None and head.get("strangers_turned_away") is not None:
                words = [shown(domain), task, _percent(head["members_turned_away"])]
                words += [verdict(bars.get(("members", domain, task))), _percent(head["strangers_turned_away"])]
                words += [verdict(bars.get(("strangers", domain, task))), _percent(head.get("outsiders_turned_away"))]
                rows.append(words)
    rows += [
        ["mean of all", task, "", "", _percent(bar["found"]), verdict(bar), ""]
        for (about, where, task), bar in bars.items()
        if (about, where) == ("strangers", "mean of all")
    ]
    low, high = (f"{100 * bound:g}" for bound in MEMBERS)
    things = " and ".join(shown(name) for name in THINGS)
    least = f"at least {100 * STRANGERS:g} % of {things}, {100 * STRANGERS_MEAN:g} % on the mean"
    heads = ["domain", "task", "members turned away, %", f"{low} to {high} %", "strangers turned away, %", least]
    return table([*heads, "of other kinds, %"], rows, 2)


def photos_speed() -> str:
    """Milliseconds of processor time: features of one image, and every head."""
    results = read("photos")
    rows = []
    for backbone, times in results["milliseconds"].items():
        for head, spent in times["heads"].items():
            values = (times["features"], spent["fit"], spent["query"])
            rows.append([f"{shown(backbone)}, {times['size']} pixels", head, *(f"{value:.1f}" for value in values)])
    return table(["milliseconds", "head", "features of one photo", "fit of 5 x 5", "one query"], rows, 2)


def photos_cost() -> str:
    """What a classifier of photos takes from files to classes, in both precisions, each with whether the bar holds."""
    rows = []
    for name, found in read("photo_speed").items():
        cells = [_cost(found, side) for side in ("float32", "int8")]
        alone = _cost(found, "any")  # the network has no part in it
        rows.append([name, found.get("bar", ""), *([alone, ""] if alone else cells)])
    return table(["what", "bar", "float32", "int8"], rows, 2)


def _cost(found: Mapping[str, Any], side: str) -> str:
    if side not in found:
        return ""
    value, is_reached = found[side], found.get("reached", {}).get(side)
    if is_reached is None:
        return _rounded(value)
    away = abs(value - float(found["bar"].split()[-1]))
    return f"{_rounded(value)}, holds" if is_reached else f"{_rounded(value)}, **misses by {_rounded(away)}**"


def _rounded(value: float) -> str:
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def photos_backbones() -> str:
    """Mean accuracy over the domains: every backbone, by number of photos, with the head that is used."""
    rows = []
    for results in (read("photos"), read("photos_lites")):
        for backbone, cells in results["cells"].items():
            times = results["milliseconds"][backbone]
            means = [mean_of(cells, Cell(FEW, shot), results["ours"]) for shot in shots_of(results, backbone)]
            values = [str(times["size"]), f"{times['features']:.0f}", *(f"{100 * mean:.1f}" for mean in means)]
            rows.append([shown(backbone), *values])
    shots = shots_of(read("photos"), next(iter(read("photos")["cells"])))
    return table(["mean accuracy in %", "pixels", "ms a photo", *map(_photos, shots)], rows)


def photos_sizes() -> str:
    """Mean accuracy over the domains by how images are prepared, and the largest loss in any domain."""
    results = read("photos_sizes")["variants"]
    tasks = list(next(iter(next(iter(results.values()))["domains"].values())))
    rows = []
    for name, variant in results.items():
        cells = variant["domains"].values()
        values = [f"{100 * fmean(one[task]['mean'] for one in cells if task in one):.1f}" for task in tasks]
        worst, domain, task = min(
            (one[task]["difference"]["mean"], domain, task)
            for domain, one in variant["domains"].items()
            for task in one
        )
        loss = f"{100 * worst:+.1f} ({shown(domain)}, {task})" if worst < 0 else ""
        rows.append([name, f"{variant['milliseconds']:.0f}", *values, variant["compared_with"], loss])
    return table(["pixels", "ms a photo", *tasks, "compared with", "largest loss, points"], rows)


def photos_int8() -> str:
    """Accuracy in 8-bit integers beside float32, each with whether the bar holds."""
    domains = read("photos_int8")["domains"]
    tasks = list(dict.fromkeys(task for cells in domains.values() for task in cells))
    bars = judged_int8(domains)
    found = {(bar["where"], bar["task"]): bar for bar in bars}
    rows = [[shown(domain), *(_gain(found.get((domain, task))) for task in tasks)] for domain in domains]
    means = [fmean(bar["found"] for bar in bars if bar["task"] == task) for task in tasks]
    rows.append(["mean of all", *(f"{100 * mean:+z.1f}" for mean in means)])
    return table([f"int8 against float32, points; at least {-100 * INT8_LOSS:g}", *tasks], rows)


def photos_film() -> str:
    """Paired gains by FiLM of every model in every domain, each with whether the strictest of its bars holds."""
    models = read("photos_film")["models"]
    tasks = list(dict.fromkeys(task for model in models.values() for one in model.values() for task in one))
    rows = []
    for model, domains in models.items():
        bars = judged_film(domains)
        for place in (*domains, "mean of all"):
            found = {bar["task"]: bar for bar in bars if bar["where"] == place}  # the stricter one comes last
            strictest = next(iter(found.values()))["expected"]
            rows.append([shown(model), shown(place), strictest, *(_gain(found.get(task)) for task in tasks)])
    return table(["model", "domain", "bar, points", *tasks], rows, 3)


def _gain(bar: Mapping[str, Any] | None) -> str:
    if bar is None:
        return ""
    interval = "" if bar["interval"] is None else f" ± {100 * bar['interval']:.1f}"
    return f"{100 * bar['found']:+z.1f}{interval}, {verdict(bar)}"


def _has(cells: Mapping[str, Any], head: str, what: str) -> bool:
    return any(cell["heads"].get(head, {}).get(what) is not None for tasks in cells.values() for cell in tasks.values())


def _accuracy(record: Mapping[str, Any]) -> str:
    return f"{100 * record['mean']:.1f} ± {100 * record['interval']:.1f}"


def _percent(share: float | None) -> str:
    return "" if share is None else f"{100 * share:.1f}"


def _photos(shot: int) -> str:
    return "1 photo" if shot == 1 else f"{shot} photos"


def verdict(bar: Mapping[str, Any] | None) -> str:
    """Whether a bar holds, or by how many points it is missed; nothing where there is none."""
    if bar is None:
        return ""
    points = 100 * bar["missed_by"]
    return "holds" if bar["holds"] else f"**misses by {points:.1f}**" if points >= 0.05 else "**misses by under 0.1**"


def photos_together() -> str:
    """Images classified together beside each on its own: the gain, and calibration errors, by kind of queries."""
    results = read("photos_together")
    tasks = list(dict.fromkeys(task for cells in results.values() for task in cells))
    rows = [[shown(domain), *(_together(cells.get(task)) for task in tasks)] for domain, cells in results.items()]
    means = []
    for task in tasks:
        cells = [one[task] for one in results.values() if task in one]
        before, after = (fmean(cell[name]["calibration_error"] for cell in cells) for name in ("alone", "together"))
        gain = fmean(cell["gain"]["mean"] for cell in cells)
        means.append(f"{100 * gain:+z.1f}; {100 * before:.1f} to {100 * after:.1f}")
    return table(["gain in points", *tasks], [*rows, ["mean; calibration error, %", *means]])


def _together(cell: Mapping[str, Any] | None) -> str:
    return f"{100 * cell['gain']['mean']:+z.1f} ± {100 * cell['gain']['interval']:.1f}" if cell else ""


TABLES: dict[str, Callable[[], str]] = {
    one.__name__: one
    for one in (
        photos_shots,
        photos_heads,
        photos_best,
        photos_calibration,
        photos_rejection,
        photos_speed,
        photos_cost,
        photos_backbones,
        photos_sizes,
        photos_film,
        photos_int8,
        photos_together,
    )
}
"""Tables by their names in a page."""
