"""Simple CNAPS on Omniglot, from the pictures to the result file.

``python -m benchmarks.omniglot run --root omniglot.zip`` pre-trains and meta-trains with the settings in
``configs/omniglot``, evaluates 600 episodes each of 5- and 20-way, 1- and 5-shot tasks over the test characters of
Vinyals' split with rotations, and writes ``benchmarks/results/omniglot.json`` with the curves. Started again, it goes
on where it was stopped; a training whose model is there is not repeated.
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fewshot_film.cli import COMMANDS
from fewshot_film.run.command import Command, main
from fewshot_film.run.results import write_result

HERE = Path(__file__).resolve().parent
CONFIGS = HERE.parent / "configs" / "omniglot"
PUBLISHED = {
    "source": "Snell et al., Prototypical Networks, NeurIPS 2017, table 1",
    "5-way 1-shot": 0.988,
    "5-way 5-shot": 0.997,
    "20-way 1-shot": 0.960,
    "20-way 5-shot": 0.989,
}


@dataclass(frozen=True)
class OmniglotConfig:
    """Where the experiment finds its pictures and leaves its runs."""

    root: str
    """Omniglot: the zip or the folder."""
    runs: str = "runs/omniglot"
    """Folder for the runs and the decoded pictures."""
    out: str = str(HERE / "results" / "omniglot.json")
    """The result file."""
    episodes: int = 600
    """Episodes for each row."""


def run(config: OmniglotConfig) -> int:
    """Pre-train, meta-train, evaluate, collect."""
    runs = Path(config.runs)
    data = [f"--data.root={config.root}", f"--data.cache={runs / 'pictures'}"]
    weights = f"--learner.backbone.weights={runs / 'pretrain' / 'model'}"
    tasks = ["--ways=[5,20]", "--shots=[1,5]", f"--episodes={config.episodes}"]
    evaluation = ["--data.source=omniglot", "--data.rotations=true", *tasks]
    trainings = {
        "pretrain": ["pretrain", f"--config={CONFIGS / 'pretrain.yaml'}", f"--out={runs / 'pretrain'}", "--resume"],
        "train": ["train", f"--config={CONFIGS / 'train.yaml'}", f"--out={runs / 'train'}", "--resume", weights],
    }
    steps = [words + data for stage, words in trainings.items() if not (runs / stage / "model").is_dir()]
    steps += [
        ["evaluate", str(folder / "model"), f"--out={folder / 'result.json'}", *evaluation, *data]
        for folder in (runs / "pretrain", runs / "train")
    ]
    for words in steps:
        print(f"\n$ fewshot-film {' '.join(words)}", flush=True)
        status = main("fewshot-film", COMMANDS, words)
        if status:
            return status
    write_result(Path(config.out), config=config, seed=0, results=_collect(runs))
    return 0


def _collect(runs: Path) -> dict[str, Any]:
    """What the two trainings cost and reached, with their curves."""
    found: dict[str, Any] = {"published": PUBLISHED}
    for stage in ("pretrain", "train"):
        folder = runs / stage
        curve = [json.loads(line) for line in (folder / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
        found[stage] = {
            "starts": json.loads((folder / "environment.json").read_text(encoding="utf-8")),
            "seconds": max(line["seconds"] for line in curve),
            "test": json.loads((folder / "result.json").read_text(encoding="utf-8"))["results"],
            "curve": curve,
        }
    return found


COMMAND = Command(
    name="run",
    config=OmniglotConfig,
    run="benchmarks.omniglot:run",
    help="Simple CNAPS on Omniglot, from the pictures to the result file.",
    examples=("python -m benchmarks.omniglot run --root omniglot.zip",),
)

if __name__ == "__main__":
    sys.exit(main("python -m benchmarks.omniglot", [COMMAND]))
