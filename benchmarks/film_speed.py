"""What FiLM costs in a ResNet-18: injected, folded, and with the values of many tasks in one batch.

    python -m benchmarks.film_speed cost
    python -m benchmarks.film_speed tasks

``cost`` runs a ResNet-18 forward, and forward and backward, plainly, with FiLM at all BatchNorms of its blocks (3,840
channels), and with the values folded into the BatchNorms; and one FiLM with ReLU at each of the sizes that occur there,
as one step and as a product, a sum and a ReLU. ``tasks`` serves a batch of images of as many tasks, drawn from many:
their rows gathered from one table, beside the network without FiLM and beside a call per image. One thread; all
sides take turns, and ratios are of the shortest times, which other work on the machine disturbs least.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import torch
import torchvision
from torch import Tensor, nn

from benchmarks.timing import in_turns
from fewshot_film.film import FiLMedNetwork, LearnedModulations, Modulations, film_relu, fold_film, inject_film
from fewshot_film.run.command import Command, main
from fewshot_film.run.results import write_result
from fewshot_film.run.settings import Settings, at_least

SITES = "layer*.*.bn[12]"
STAGES = {"layer1": (64, 21), "layer2": (128, 11), "layer3": (256, 6), "layer4": (512, 3)}
"""Channels and side of the features at 84 x 84."""
RESULTS = Path(__file__).resolve().parent / "results"
Work = Callable[[], Any]


@dataclass(frozen=True)
class CostConfig(Settings):
    """What is measured."""

    images: Annotated[int, at_least(1)] = 16
    """Images in a batch."""
    size: Annotated[int, at_least(32)] = 84
    """Height and width of an image."""
    rounds: Annotated[int, at_least(1)] = 20
    """Measurements of each side."""
    seed: Annotated[int, at_least(0)] = 0
    """Seed of weights, images and values."""
    out: Path = RESULTS / "film_cost.json"
    """Result file."""


def cost(config: CostConfig) -> None:
    """Measure, print the ratios, write the result."""
    torch.set_num_threads(1)
    torch.manual_seed(config.seed)
    results = {"network": network_cost(config), "one site": {}}
    for stage, (channels, side) in STAGES.items():
        results["one site"][stage] = site_cost(config, channels, side)
    print(as_table(results["network"] | {f"one site of {name}": part for name, part in results["one site"].items()}))
    write_result(config.out, config=config, seed=config.seed, results=results)


def network_cost(config: CostConfig) -> dict[str, Any]:
    """Forward, and forward and backward in training mode, of the whole network."""
    filmed, x = filmed_resnet(), torch.rand(config.images, 3, *[config.size] * 2)
    row, rows = values(filmed), values(filmed, config.images)
    plain, by_hand, folded = same_weights(filmed.network), same_weights(filmed.network), fold_film(filmed, row)
    write_out(by_hand, rows)
    sides: dict[str, Callable[[], Tensor]] = {
        "plain": lambda: plain(x),
        "no values": lambda: filmed(x),
        "one row": lambda: filmed(x, row),
        "a row per image": lambda: filmed(x, rows),
        "a row per image, written out": lambda: by_hand(x),
        "folded": lambda: folded(x),
    }
    for network in (plain, filmed, folded, by_hand):
        network.eval()
    with torch.no_grad():
        forward = compare(sides, config.rounds)
    for network in (plain, filmed, folded, by_hand):
        network.train()
    both = compare({name: partial(backward, side) for name, side in sides.items()}, config.rounds)
    return {"forward": forward, "forward and backward": both}


def same_weights(network: nn.Module) -> nn.Module:
    """A ResNet-18 with the very tensors of another: where weights lie in memory changes times by several per cent."""
    other: nn.Module = torchvision.models.resnet18()
    other.load_state_dict(network.state_dict(keep_vars=True), assign=True)
    return other


def write_out(network: nn.Module, modulations: Modulations) -> None:
    """Put a product and a sum after each BatchNorm, as one writes FiLM without this package."""
    for name, modulation in modulations.items():
        gamma, beta = (part[:, :, None, None] for part in modulation)
        network.get_submodule(name).register_forward_hook(partial(_product_and_sum, gamma, beta))


def _product_and_sum(gamma: Tensor, beta: Tensor, _layer: nn.Module, _args: object, out: Tensor) -> Tensor:
    return gamma * out + beta


def backward(side: Callable[[], Tensor]) -> None:
    """Run forward and backward; gradients are added to those of the call before."""
    side().sum().backward()


def site_cost(config: CostConfig, channels: int, side: int) -> dict[str, Any]:
    """FiLM and ReLU at one site, with a row per image, forward and backward."""
    x = torch.randn(config.images, channels, side, side, requires_grad=True)
    gamma, beta = (torch.randn(config.images, channels, requires_grad=True) for _ in range(2))
    found = {}
    for name, run in (("forward", no_gradient), ("forward and backward", backward)):
        sides: dict[str, Work] = {
            "plain": partial(run, lambda: torch.relu(gamma[:, :, None, None] * x + beta[:, :, None, None])),
            "film_relu": partial(run, lambda: film_relu(x, gamma, beta)),
            "ReLU alone": partial(run, lambda: torch.relu(x)),
        }
        found[name] = compare(sides, 5 * config.rounds)
    return found


def no_gradient(side: Callable[[], Tensor]) -> None:
    """Run forward alone."""
    with torch.no_grad():
        side()


@dataclass(frozen=True)
class TasksConfig(Settings):
    """What is measured."""

    tasks: Annotated[int, at_least(1)] = 1000
    """Tasks with values of their own."""
    images: Annotated[int, at_least(1)] = 64
    """Images in a batch, each of another task."""
    size: Annotated[int, at_least(32)] = 84
    """Height and width of an image."""
    rounds: Annotated[int, at_least(1)] = 10
    """Measurements of each side."""
    seed: Annotated[int, at_least(0)] = 0
    """Seed of weights, images and values."""
    out: Path = RESULTS / "film_tasks.json"
    """Result file."""


@torch.no_grad()
def tasks(config: TasksConfig) -> None:
    """Measure, print the ratios, write the result."""
    torch.set_num_threads(1)
    torch.manual_seed(config.seed)
    filmed, x = filmed_resnet().eval(), torch.rand(config.images, 3, *[config.size] * 2)
    learned = LearnedModulations(filmed.sites, config.tasks)
    nn.init.normal_(learned.residuals, std=0.1)
    table, asked = filmed.sites.flatten(learned()), torch.randint(config.tasks, (config.images,))

    def one_by_one() -> None:
        for image, task in zip(x, asked, strict=True):
            filmed(image[None], filmed.sites.split(table[task, None]))

    networks = {
        "plain": lambda: filmed(x),
        "rows gathered": lambda: filmed(x, filmed.sites.split(table[asked])),
        "a call per image": one_by_one,
    }
    gathering = {
        "plain": lambda: table[asked],
        "gather and split": lambda: filmed.sites.split(table[asked]),
        "LearnedModulations": lambda: learned(asked),
    }
    results: dict[str, Any] = {
        "batch": compare(networks, config.rounds),
        "values": compare(gathering, 50 * config.rounds),
    }
    share = results["values"]["milliseconds"]["plain"] / results["batch"]["milliseconds"]["plain"]
    results["share of the gather in the batch"] = share
    print(as_table({"tasks": {name: results[name] for name in ("batch", "values")}}))
    write_result(config.out, config=config, seed=config.seed, results=results)


def filmed_resnet() -> FiLMedNetwork:
    """A ResNet-18 with random weights and FiLM at all BatchNorms of its blocks."""
    return inject_film(torchvision.models.resnet18(), [SITES])


def values(filmed: FiLMedNetwork, rows: int = 1) -> Modulations:
    """Values near the identity."""
    flat = filmed.sites.flatten(filmed.sites.identity(rows))
    return filmed.sites.split(flat + 0.1 * torch.randn_like(flat))


def compare(sides: Mapping[str, Work], rounds: int) -> dict[str, dict[str, float]]:
    """Shortest time of each side, and its ratio to that of ``plain``."""
    shortest = {name: min(times) for name, times in in_turns(sides, rounds, clock=time.thread_time).items()}
    return {
        "milliseconds": {name: 1000 * seconds for name, seconds in shortest.items()},
        "ratio": {name: seconds / shortest["plain"] for name, seconds in shortest.items()},
    }


def as_table(results: Mapping[str, Mapping[str, Any]]) -> str:
    """One line per comparison."""
    lines = []
    for name, part in results.items():
        comparisons = {name: part} if "ratio" in part else {f"{name}, {kind}": each for kind, each in part.items()}
        for title, each in comparisons.items():
            sides = ", ".join(f"{side} {ratio:.3f}" for side, ratio in each["ratio"].items())
            lines.append(f"{title}: {sides} (plain: {each['milliseconds']['plain']:.3f} ms)")
    return "\n".join(lines)


COMMANDS = [
    Command(
        "cost",
        CostConfig,
        "benchmarks.film_speed:cost",
        "A ResNet-18 with FiLM, injected and folded, beside the plain network.",
        ("python -m benchmarks.film_speed cost",),
    ),
    Command(
        "tasks",
        TasksConfig,
        "benchmarks.film_speed:tasks",
        "A batch of images of many tasks, each with values of its own.",
        ("python -m benchmarks.film_speed tasks",),
    ),
]

if __name__ == "__main__":
    sys.exit(main("python -m benchmarks.film_speed", COMMANDS))
