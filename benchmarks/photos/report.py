"""Tables of ``docs/photos.md``, from the result files; ``python -m benchmarks.tables`` fills them in."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from benchmarks.photos.bars import CALIBRATION, INT8_LOSS, MEMBERS, STRANGERS, STRANGERS_MEAN, THINGS
from benchmarks.photos.measure import ALL, FEW, Cell

RESULTS = Path(__file__).resolve().parent.parent / "results"
NAMES = {"sign_digits": "digits signed by hand", "efficientnet-lite0": "EfficientNet-Lite0"}
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
    for bar in results["bars"][backbone]:
        if bar["about"] == "accuracy":
            heads = cells[bar["where"]][bar["task"]]["heads"]
            best = max((name for name in heads if name != ours), key=lambda name: heads[name]["mean"])
            gap = f"{100 * bar['found']:+z.1f} ± {100 * bar['interval']:.1f}"
            words = [shown(bar["where"]), bar["task"], f"{_accuracy(heads[best])} ({best})"]
            rows.append([*words, _accuracy(heads[ours]), gap, _holds(bar)])
    return table(["domain", "task", "best other head, %", f"{ours}, %", "difference", "within 0.5"], rows, 2)


def photos_calibration() -> str:
    """Calibration errors of the heads that give probabilities, and the bars."""
    results = read("photos")
    backbone, ours = next(iter(results["cells"])), results["ours"]
    cells = results["cells"][backbone]
    heads = [head for head in heads_of(cells) if _has(cells, head, "calibration_error")]
    bars = {(bar["where"], bar["task"]): bar for bar in results["bars"][backbone] if bar["about"] == "calibration"}
    rows = []
    for domain, tasks in cells.items():
        for shot in CALIBRATION:
            task = Cell(FEW, shot).name
            if (domain, task) in bars:
                bar = bars[domain, task]
                values = [_percent(tasks[task]["heads"][head]["calibration_error"]) for head in heads]
                rows.append([shown(domain), _photos(shot), *values, bar["expected"], _holds(bar)])
    return table(["domain", "photos", *heads, "bar", f"{ours} holds"], rows, 2)


def photos_rejection() -> str:
    """Members and strangers that our head turns away, and the bars."""
    results = read("photos")
    backbone, ours = next(iter(results["cells"])), results["ours"]
    rows = []
    for domain, tasks in results["cells"][backbone].items():
        for task, cell in tasks.items():
            head = cell["heads"].get(ours, {})
            members, strangers = head.get("members_turned_away"), head.get("strangers_turned_away")
            others = _percent(head.get("outsiders_turned_away"))
            if members is not None and strangers is not None:
                within = _yes(MEMBERS[0] <= members <= MEMBERS[1])
                enough = _yes(strangers >= STRANGERS) if domain in THINGS else ""
                rows.append([shown(domain), task, _percent(members), within, _percent(strangers), enough, others])
    rows += [
        ["mean of all", bar["task"], "", "", _percent(bar["found"]), _holds(bar), ""]
        for bar in results["bars"][backbone]
        if bar["about"] == "strangers" and bar["where"] == "mean of all"
    ]
    low, high = (f"{100 * bound:g}" for bound in MEMBERS)
    least = f"at least {100 * STRANGERS:g} % of things, {100 * STRANGERS_MEAN:g} % on the mean"
    heads = [
        "domain",
        "task",
        "members turned away, %",
        f"{low} to {high} %",
        "strangers turned away, %",
        least,
        "of other kinds, %",
    ]
    return table(heads, rows, 2)


def photos_speed() -> str:
    """Milliseconds of processor time: features of one image, and every head."""
    results = read("photos")
    rows = []
    for backbone, times in results["milliseconds"].items():
        for head, spent in times["heads"].items():
            values = (times["features"], spent["fit"], spent["query"])
            rows.append([f"{shown(backbone)}, {times['size']} pixels", head, *(f"{value:.1f}" for value in values)])
    return table(["milliseconds", "head", "features of one photo", "fit of 5 x 5", "one query"], rows, 2)


def photos_backbones() -> str:
    """Mean accuracy over the domains: every backbone, by number of photos, with the head that is best for it."""
    results = read("photos")
    rows = []
    shots = shots_of(results, next(iter(results["cells"])))
    for backbone, cells in results["cells"].items():
        times = results["milliseconds"][backbone]
        for head in (results["ours"],):
            values = [f"{100 * mean_of(cells, Cell(FEW, shot), head):.1f}" for shot in shots]
            rows.append([shown(backbone), str(times["size"]), f"{times['features']:.0f}", *values])
    return table(["mean accuracy in %", "pixels", "ms a photo", *(_photos(shot) for shot in shots)], rows)


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
    """Accuracy in 8-bit integers beside float32, and whether the bar holds."""
    results = read("photos_int8")
    tasks = list(dict.fromkeys(task for cells in results["domains"].values() for task in cells))
    bars = {(bar["where"], bar["task"]): bar for bar in results["bars"]}
    rows = []
    for domain, cells in results["domains"].items():
        mine = [bars[domain, task] for task in cells]
        gains = [_gain(bars.get((domain, task))) for task in tasks]
        rows.append([shown(domain), *gains, _yes(all(bar["holds"] for bar in mine))])
    means = [fmean(bar["found"] for bar in results["bars"] if bar["task"] == task) for task in tasks]
    rows.append(["mean of all", *(f"{100 * mean:+z.1f}" for mean in means), ""])
    return table(["int8 against float32, points", *tasks, f"at least {-100 * INT8_LOSS:g}"], rows)


def photos_film() -> str:
    """Paired gains by FiLM of every model in every domain, and whether the bars hold."""
    results = read("photos_film")
    tasks = list(dict.fromkeys(task for model in results["models"].values() for one in model.values() for task in one))
    rows = []
    for model, domains in results["models"].items():
        bars = results["bars"][model]
        for place in (*domains, "mean of all"):
            mine = [bar for bar in bars if bar["where"] == place]
            found = {bar["task"]: bar for bar in mine}
            cells = [_gain(found.get(task)) for task in tasks]
            strictest = mine[-1]["expected"]
            rows.append([shown(model), shown(place), *cells, strictest, _yes(all(bar["holds"] for bar in mine))])
    return table(["model", "domain", *tasks, "bar, points", "holds"], rows, 2)


def _gain(bar: Mapping[str, Any] | None) -> str:
    if bar is None:
        return ""
    interval = "" if bar["interval"] is None else f" ± {100 * bar['interval']:.1f}"
    return f"{100 * bar['found']:+z.1f}{interval}"


def _has(cells: Mapping[str, Any], head: str, what: str) -> bool:
    return any(cell["heads"].get(head, {}).get(what) is not None for tasks in cells.values() for cell in tasks.values())


def _accuracy(record: Mapping[str, Any]) -> str:
    return f"{100 * record['mean']:.1f} ± {100 * record['interval']:.1f}"


def _percent(share: float | None) -> str:
    return "" if share is None else f"{100 * share:.1f}"


def _photos(shot: int) -> str:
    return "1 photo" if shot == 1 else f"{shot} photos"


def _holds(bar: Mapping[str, Any]) -> str:
    return _yes(bar["holds"])


def _yes(holds: bool) -> str:
    return "yes" if holds else "**no**"


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
        photos_backbones,
        photos_sizes,
        photos_film,
        photos_int8,
        photos_together,
    )
}
"""Tables by their names in a page."""
