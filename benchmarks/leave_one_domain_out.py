"""Does FiLM help on pictures of a kind that was never trained on? Each domain in turn is held out and asked about.

    python -m benchmarks.leave_one_domain_out run --omniglot omniglot.zip --cifar cifar-100.zip

For every held-out domain a backbone is pre-trained on the others and frozen, and FiLM is meta-trained on episodes of
the others (``configs/general/film.yaml``). Simple CNAPS, the same backbone without FiLM, and the nearest class mean of
raw pixels then answer the same episodes of the held-out domain's test classes. ``--weights`` takes the place of the
pre-training where there is a backbone that never saw the held-out domains. Started again, it goes on where it was
stopped; domains can be done one at a time.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.general import CONFIGS, GeneralConfig, beside_plain, sources, test_pictures
from benchmarks.paired import as_table
from fewshot_film.cli import COMMANDS
from fewshot_film.config.data import DataConfig
from fewshot_film.data.domains import domains_of
from fewshot_film.learners import load_learner
from fewshot_film.run.command import Command, main
from fewshot_film.run.results import write_result


@dataclass(frozen=True)
class LeaveOneOutConfig(GeneralConfig):
    """Which domains are held out, and where the data and the runs are."""

    domains: tuple[str, ...] = ()
    """Domains to hold out, each in turn; empty: all."""
    out: str = "benchmarks/results/leave_one_domain_out.json"
    """The result file."""
    shots: tuple[int, ...] = (1, 5)
    """Support pictures a class that are evaluated."""


def run(config: LeaveOneOutConfig) -> int:
    """Train what is missing, evaluate, print, write."""
    data = DataConfig(sources=sources(config, objects=False), cache=str(Path(config.runs) / "pictures"))
    results: dict[str, Any] = {}
    for domain in config.domains or [domain.name for domain in domains_of(data)]:
        for words in trainings(config, domain):
            print(f"\n$ fewshot-film {' '.join(words)}", flush=True)
            status = main("fewshot-film", COMMANDS, words)
            if status:
                return status
        results[domain] = evaluate(config, data, domain)
        print(as_table(f"{domain} held out", results[domain]), flush=True)
        write_result(Path(config.out), config=config, seed=0, results=results)
    return 0


def folders(config: LeaveOneOutConfig, domain: str) -> tuple[Path, Path]:
    """Runs of one held-out domain: pre-training, and FiLM."""
    runs = Path(config.runs) / f"without-{domain}"
    return runs / "pretrain", runs / "film"


def trainings(config: LeaveOneOutConfig, domain: str) -> Iterator[list[str]]:
    """The commands that are left to do for a domain."""
    pretrain, film = folders(config, domain)
    common = [*config.flags(objects=False), f"--data.held_out={domain}", "--resume"]
    weights = f"--learner.backbone.weights={config.weights or pretrain / 'model'}"
    if not config.weights and not (pretrain / "model").is_dir():
        yield ["pretrain", f"--config={CONFIGS / 'pretrain.yaml'}", f"--out={pretrain}", *common]
    if not (film / "model").is_dir():
        yield ["train", f"--config={CONFIGS / 'film.yaml'}", f"--out={film}", weights, *common]


def evaluate(config: LeaveOneOutConfig, data: DataConfig, domain: str) -> dict[str, Any]:
    """Accuracies of the three on the same episodes of a domain."""
    _, film = folders(config, domain)
    filmed = load_learner(film / "model")
    images = test_pictures(data, domain, filmed.config.backbone)
    return beside_plain(filmed, images, config.shots, config.episodes)


COMMAND = Command(
    name="run",
    config=LeaveOneOutConfig,
    run="benchmarks.leave_one_domain_out:run",
    help="Hold out each domain in turn; Simple CNAPS beside the same without FiLM and raw pixels.",
    examples=(
        "python -m benchmarks.leave_one_domain_out run --omniglot omniglot.zip --cifar cifar-100.zip",
        "python -m benchmarks.leave_one_domain_out run --omniglot omniglot.zip --cifar cifar.zip --domains [textures]",
    ),
)

if __name__ == "__main__":
    sys.exit(main("python -m benchmarks.leave_one_domain_out", [COMMAND]))
