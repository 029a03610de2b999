"""How ``clevr-small`` was trained: both parts, with their curves.

Run after ``clevr-film train --config configs/clevr/small.yaml`` with:

    python -m benchmarks.clevr_small runs/clevr/small
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from fewshot_film.run.parsing import parse
from fewshot_film.run.results import write_result


@dataclass(frozen=True)
class ClevrSmallConfig:
    """Whose curves to keep."""

    run: Path = Path("runs/clevr/small")
    """Folder of a finished ``clevr-film train`` with ``seeing``."""
    out: Path = Path("benchmarks/results/clevr_small_training.json")
    """Result file."""


def run(config: ClevrSmallConfig) -> None:
    """Keep settings, times and curves of both parts of a training."""
    settings = yaml.safe_load((config.run / "config.yaml").read_text(encoding="utf-8"))
    parts = {"seeing": config.run / "seeing", "answering": config.run}
    results = {name: _part(folder) for name, folder in parts.items()}
    write_result(config.out, config=settings, seed=settings["loop"]["seed"], results=results)
    for name, part in results.items():
        print(f"{name}: {part['steps']:,} steps, {part['seconds'] / 60:.0f} minutes, best {part['best']}")


def _part(folder: Path) -> dict[str, Any]:
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    validations = [line for line in lines if line["split"] == "validation"]
    starts = json.loads((folder / "environment.json").read_text(encoding="utf-8"))
    return {
        "steps": lines[-1]["step"],
        "seconds": lines[-1]["seconds"],
        "best": max(line["accuracy"] for line in validations),
        "commands": [start["command"] for start in starts],
        "validation": validations,
        "train": [line for line in lines if line["split"] == "train"],
    }


if __name__ == "__main__":
    run(parse("python -m benchmarks.clevr_small", ClevrSmallConfig, sys.argv[1:], positionals=("run",)))
