"""Transductive heads on many tasks at once, beside one task after another.

    python -m benchmarks.heads_speed run

times TIM, PT-MAP and LaplacianShot on synthetic features of 5-way 1-shot tasks with 75 queries, on one thread: all
tasks at once, by the same code one after another, and TIM and PT-MAP as loops over tasks that compute as the authors'
code does: TIM by automatic differentiation with PyTorch's Adam; in PT-MAP every transport starts anew, from the kernel
``exp(-lambda L)``, and ends at 1e-6.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median
from typing import Annotated, Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.timing import in_turns
from fewshot_film.config.learners import InformationConfig, PTMAPConfig
from fewshot_film.learners import PTMAP, TIM, LaplacianShot, TransductiveLearner
from fewshot_film.learners.backbone import Backbone
from fewshot_film.run.command import Command, main
from fewshot_film.run.results import summary, write_result
from fewshot_film.run.settings import Settings, at_least

WAY, QUERIES = 5, 75


@dataclass(frozen=True)
class HeadsSpeedConfig(Settings):
    """How many tasks, how often."""

    tasks: Annotated[int, at_least(1)] = 20
    """Tasks that are solved at once."""
    dim: Annotated[int, at_least(1)] = 384
    """Number of features."""
    tim_steps: Annotated[int, at_least(1)] = 100
    """Steps of TIM, whose time is proportional to them; 1,000 by default in the method."""
    rounds: Annotated[int, at_least(2)] = 5
    """Measurements of each."""
    out: str = "benchmarks/results/heads_speed.json"
    """The result file."""


def run(config: HeadsSpeedConfig) -> int:
    """Measure, print, write."""
    torch.set_num_threads(1)
    results = {name: measure(head, config) for name, head in heads(config).items()}
    for name, row in results.items():
        times = ", ".join(f"{side} {row['ms_per_task'][side]['median']:.2f}" for side in row["ms_per_task"])
        print(f"{name}, ms per task: {times}; {row['ratio_of_medians']:.1f} times as fast")
    write_result(Path(config.out), config=config, seed=0, results=results)
    return 0


def heads(config: HeadsSpeedConfig) -> dict[str, TransductiveLearner]:
    """The heads by name."""
    features = cast(Backbone, nn.Identity())  # they are given features
    return {
        "tim": TIM(backbone=features, steps=config.tim_steps),
        "pt-map": PTMAP(backbone=features),
        "laplacian-shot": LaplacianShot(backbone=features),
    }


def measure(head: TransductiveLearner, config: HeadsSpeedConfig) -> dict[str, Any]:
    """Processor time per task of every way."""
    support, members, queries = tasks(config)
    sides: dict[str, Callable[[], Any]] = {
        "at once": lambda: head.classify(support, members, queries),
        "one by one": lambda: [head.classify(*parts) for parts in zip(support, members, queries, strict=True)],
    }
    if not isinstance(head, LaplacianShot):
        written = as_published(head)
        sides["as published"] = lambda: [written(*parts) for parts in zip(support, members, queries, strict=True)]
    seconds = in_turns(sides, config.rounds)
    found = {
        side: {**summary([1000 * each / config.tasks for each in times]), "median": 1000 * median(times) / config.tasks}
        for side, times in seconds.items()
    }
    *_, slowest = sides
    return {"ms_per_task": found, "ratio_of_medians": found[slowest]["median"] / found["at once"]["median"]}


def tasks(config: HeadsSpeedConfig) -> tuple[Tensor, Tensor, Tensor]:
    """Support set, members and queries: positive features about one centre per class."""
    generator = torch.Generator().manual_seed(0)
    shape = config.tasks, WAY, config.dim
    centres = torch.randn(shape, generator=generator)
    labels = torch.arange(WAY).repeat_interleave(QUERIES // WAY)
    support = (centres + torch.randn(shape, generator=generator)).relu()
    noise = torch.randn(config.tasks, QUERIES, config.dim, generator=generator)
    return support, torch.eye(WAY).expand(config.tasks, WAY, WAY), (centres[:, labels] + noise).relu()


def as_published(head: TransductiveLearner) -> Callable[[Tensor, Tensor, Tensor], Tensor]:
    """One task's support set, members and queries to logits, as the authors of TIM or PT-MAP compute them."""
    if isinstance(head, TIM):
        return partial(information_maximisation, config=head.config)
    return partial(transported_centres, config=cast(PTMAP, head).config)


def transported_centres(support: Tensor, members: Tensor, queries: Tensor, config: PTMAPConfig) -> Tensor:
    """Logits of PT-MAP on one task: each plan is found anew."""
    support, queries = (F.normalize(rows.clamp_min(1e-6).pow(config.power), dim=1) for rows in (support, queries))
    images, centres = torch.cat([support, queries]), members.T @ support / members.sum(0)[:, None]
    per_class = len(queries) / members.shape[1]

    def transported() -> Tensor:
        plan = (-config.sinkhorn_lambda * torch.cdist(queries, centres).square()).exp()
        plan, sums = plan / plan.sum(), torch.zeros(len(queries))
        for _ in range(1000):
            if (sums - plan.sum(1)).abs().max() <= 1e-6:
                break
            sums = plan.sum(1)
            plan = plan / sums[:, None]
            plan = plan * (per_class / plan.sum(0))
        return plan

    for _ in range(config.steps):
        shares = torch.cat([members, transported()])
        centres = centres + config.rate * (shares.T @ images / shares.sum(0)[:, None] - centres)
    return transported().log()


def information_maximisation(support: Tensor, members: Tensor, queries: Tensor, config: InformationConfig) -> Tensor:
    """Logits of TIM on one task by automatic differentiation; one support image per class, in order."""
    support, queries = F.normalize(support, dim=1), F.normalize(queries, dim=1)
    weights = support.clone().requires_grad_()
    optimizer = torch.optim.Adam([weights], lr=config.learning_rate)

    def logits(rows: Tensor) -> Tensor:
        squares = rows.square().sum(1, keepdim=True) + weights.square().sum(1)
        return config.temperature * (rows @ weights.T - squares / 2)

    for _ in range(config.steps):
        shares = logits(queries).softmax(1)
        mean = shares.mean(0)
        loss = -config.support_weight * (members * logits(support).log_softmax(1)).sum(1).mean()
        loss = loss + config.marginal_weight * (mean * mean.log()).sum()
        loss = loss - config.conditional_weight * (shares * (shares + 1e-12).log()).sum(1).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return logits(queries).detach()


COMMANDS = [
    Command(
        name="run",
        config=HeadsSpeedConfig,
        run="benchmarks.heads_speed:run",
        help="Transductive heads on many tasks at once, beside one after another.",
        examples=("python -m benchmarks.heads_speed run", "python -m benchmarks.heads_speed run --tasks 50"),
    )
]

if __name__ == "__main__":
    sys.exit(main("python -m benchmarks.heads_speed", COMMANDS))
