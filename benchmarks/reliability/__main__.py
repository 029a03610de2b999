"""``python -m benchmarks.reliability``: all attempts, their table, and the result file."""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from benchmarks.experiment import without_folders
from benchmarks.reliability import namespace, table
from fewshot_film.run.results import write_result

OUT = Path(__file__).resolve().parent.parent / "results" / "reliability.json"
Experiment = Callable[[dict[str, Any], Path, bool], dict[str, Any]]


def _soak(places: dict[str, Any], work: Path, quick: bool) -> dict[str, Any]:
    from benchmarks.reliability.soak import soak, targets

    return soak(places, work, kills=1 if quick else 5, only=targets()[:1] if quick else None)


def _fuzz(places: dict[str, Any], work: Path, quick: bool) -> dict[str, Any]:
    from benchmarks.reliability.fuzz import fuzz

    return fuzz(places, share=0.002 if quick else 0.4)


def _declared(places: dict[str, Any], work: Path, quick: bool) -> dict[str, Any]:
    from benchmarks.reliability.declared import fuzz_declared

    return fuzz_declared(0.002 if quick else 1.0)


def _hostile(places: dict[str, Any], work: Path, quick: bool) -> dict[str, Any]:
    from benchmarks.reliability.inputs import CASES, case
    from benchmarks.reliability.resource_limits import hostile

    return hostile(places, work, cases=[case("clevr-film", "export")] if quick else CASES)


def _damage(places: dict[str, Any], work: Path, quick: bool) -> dict[str, Any]:
    from benchmarks.reliability.corruption import damage

    return damage(places, work, number=5 if quick else 100)


def _lost(places: dict[str, Any], work: Path, quick: bool) -> dict[str, Any]:
    from benchmarks.reliability.worker_failures import WORKERS, lost

    return lost(places, work, repeats=1, only=list(WORKERS)[:1] if quick else None)


def _attacks(places: dict[str, Any], work: Path, quick: bool) -> dict[str, Any]:
    from benchmarks.reliability.attacks import attacks

    return attacks(places, work, quick=quick)


def _extras(places: dict[str, Any], work: Path, quick: bool) -> dict[str, Any]:
    from benchmarks.reliability.absent import absent
    from benchmarks.reliability.inputs import CASES, case

    return absent(places, work, cases=[case("clevr-film", "export")] if quick else CASES)


EXPERIMENTS: dict[str, Experiment] = {
    "soak": _soak, "lost": _lost, "hostile": _hostile, "damage": _damage, "fuzz": _fuzz,
    "declared": _declared, "attacks": _attacks, "extras": _extras,
}  # fmt: skip


def main() -> int:
    """Try everything, print the tables, write the result; the exit status is 1 after any fault.

    The result file is written after each experiment; those that are not asked for stay in it as they were.
    """
    parser = argparse.ArgumentParser(prog="python -m benchmarks.reliability", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a taste of each that takes seconds; nothing is written")
    parser.add_argument("--only", nargs="+", choices=EXPERIMENTS, default=list(EXPERIMENTS), metavar="NAME")
    parser.add_argument("--out", type=Path, help="the result file; by default the one that the page is made from")
    args = parser.parse_args()
    namespace.enter()
    out = args.out or (None if args.quick else OUT)
    results: dict[str, Any] = {}
    if out is not None and out.exists():
        results = json.loads(out.read_text(encoding="utf-8"))["results"]
    work = Path(tempfile.mkdtemp(prefix="reliability-"))
    try:
        for name, found in attempts(args.only, work, quick=args.quick):
            results[name] = found
            if out is not None:
                config = {"quick": args.quick, "namespaces": namespace.is_inside()}
                write_result(out, config=config, seed=0, results=without_folders(results))
    finally:
        shutil.rmtree(work, ignore_errors=True)
    print("\n" + table.markdown(results), flush=True)
    for fault in table.faults_of(results):
        print(f"\nFAULT {fault}")
    return 1 if table.faults_of(results) else 0


def attempts(names: list[str], work: Path, *, quick: bool) -> Iterator[tuple[str, dict[str, Any]]]:
    """Results of experiments, one after the other, by name.

    Args:
        names: of them.
        work: folder for everything that they write.
        quick: a taste only.
    """
    from benchmarks.reliability.inputs import make_inputs

    places = make_inputs(work / "inputs", work / "logs")
    for name in names:
        print(f"\n{name}", flush=True)
        began = time.monotonic()
        rows = EXPERIMENTS[name](places, work / name, quick)
        yield name, {"seconds": round(time.monotonic() - began), "rows": rows}


if __name__ == "__main__":
    sys.exit(main())
