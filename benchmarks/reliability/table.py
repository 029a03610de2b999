"""The tables of the page, from the result file's ``results``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

Results = Mapping[str, Any]


def markdown(results: Results) -> str:
    """Every experiment that the results have, each with a heading and a table, and the sum of all faults first."""
    parts = [_sum_of(results)]
    parts += [SECTIONS[name](results[name]["rows"]) for name in SECTIONS if name in results]
    faults = faults_of(results)
    parts += ["## The faults", "\n".join(f"- `{_shortened(fault)}`" for fault in faults)] if faults else []
    return "\n\n".join(parts)


def faults_of(results: Results) -> list[str]:
    """Everything that went wrong, over all experiments."""
    return [fault for name in SECTIONS if name in results for fault in _faults_in(results[name])]


def _faults_in(value: Any) -> list[str]:
    """Entries of all lists of what is wrong, however deep."""
    if not isinstance(value, Mapping):
        return []
    return [
        fault
        for key, inner in value.items()
        for fault in ([f"{key}: {one}" for one in inner] if key in FAULTS else _faults_in(inner))
    ]


def _shortened(fault: str) -> str:
    """Beginning and end of the first line."""
    line = fault.splitlines()[0].replace("`", "'")
    return line if len(line) <= 120 else f"{line[:60]} ... {line[-50:]}"


FAULTS = frozenset({"faults", "torn", "differing", "left", "failed"})
"""Names of the lists of what went wrong."""


def _sum_of(results: Results) -> str:
    counts = []
    if "soak" in results:
        counts.append(f"{sum(row['kills'] for row in results['soak']['rows'].values()):,} kills")
    if "fuzz" in results:
        counts.append(f"{sum(row['tried'] for row in results['fuzz']['rows'].values()):,} made-up inputs")
    kinds = (("hostile", "commands in hostile conditions"), ("damage", "damaged or malicious files"),
             ("declared", "changed models"), ("attacks", "attacks on the page"),
             ("extras", "commands without extras"))  # fmt: skip
    for name, what in kinds:
        if name in results:
            counts.append(f"{sum(row['tried'] for row in results[name]['rows'].values()):,} {what}")
    if "lost" in results:
        counts.append(f"{sum(row['tried'] for row in results['lost']['rows'].values()):,} lost processes")
    minutes = sum(results[name]["seconds"] for name in SECTIONS if name in results) / 60
    return f"**{', '.join(counts)}: {len(faults_of(results)):,} faults.** Made in {minutes:.0f} minutes."


def _soak(rows: Results) -> str:
    head = ("command", "undisturbed, s", "kills", "with a file in the making", "ends", "torn files", "other results",
            "files left", "errors")  # fmt: skip
    lines = [
        (name, f"{row['seconds']:.1f}", row["kills"], row["on_sight"], row["ends"], len(row["torn"]),
         len(row["differing"]), len(row["left"]), len(row["failed"]))
        for name, row in rows.items()
    ]  # fmt: skip
    total = ("all", "", *(sum(line[place] for line in lines) for place in range(2, 9)))  # type: ignore[misc]
    return "## Killed at random moments\n\n" + _table(head, [*lines, total])


def _tried(title: str, head: Sequence[str]) -> Any:
    def section(rows: Results) -> str:
        lines = [
            (name, row["tried"], row["read"], row["tried"] - row["read"], f"{1e3 * row['slowest']:.0f}",
             len(row["faults"]))
            for name, row in rows.items()
        ]  # fmt: skip
        return f"## {title}\n\n" + _table(head, lines)

    return section


def _counted(title: str, what: str) -> Any:
    def section(rows: Results) -> str:
        head = (what, "tried", "refused", "done", "faults")
        lines = [(name, row["tried"], row["refused"], row["done"], len(row["faults"])) for name, row in rows.items()]
        return f"## {title}\n\n" + _table(head, lines)

    return section


SECTIONS = {
    "soak": _soak,
    "lost": _counted("Lost processes", "what was killed"),
    "hostile": _counted("Hostile conditions", "condition"),
    "damage": _counted("Damaged and malicious files", "file"),
    "fuzz": _tried("Made-up inputs", ("reader", "inputs", "read", "refused", "slowest, ms", "faults")),
    "declared": _tried(
        "Saved models from strangers", ("what was changed", "folders", "equal", "refused", "slowest, ms", "faults")
    ),
    "attacks": _counted("Attacks on the page", "attack"),
    "extras": _counted("Absent extras", "what is installed"),
}
"""What makes each experiment's part of the page, in order."""


def _table(head: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    lines = [f"| {' | '.join(head)} |", f"| --- {'| ---: ' * (len(head) - 1)}|"]
    lines += [f"| {' | '.join(f'{cell:,}' if isinstance(cell, int) else cell for cell in row)} |" for row in rows]
    return "\n".join(lines)
