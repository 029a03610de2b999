"""A tiny network, its data and its command line, trained by the tests in processes of their own."""

from __future__ import annotations

import hashlib
import os
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor, nn

from fewshot_film.run.command import Command, main
from fewshot_film.run.loop import TrainResult, train
from fewshot_film.run.runtime import Runtime
from fewshot_film.run.seeding import generator
from fewshot_film.run.settings import LoopConfig


@dataclass(frozen=True)
class ToyConfig:
    """Train the toy."""

    run_dir: Path
    """Folder of the run."""
    loop: LoopConfig = field(default_factory=lambda: LoopConfig(monitor="loss", mode="min"))
    """Training loop."""
    resume: bool = False
    """Go on."""
    width: int = 16
    """Hidden units."""
    dropout: float = 0.3
    """Probability of dropping a hidden unit."""
    norm: bool = True
    """BatchNorm after the first layer."""
    batch_seconds: float = 0.0
    """Time that making a batch takes."""
    poison: int | None = None
    """Number of a micro-batch that holds a NaN."""
    validates: bool = True
    """Whether there is a validation."""


class Toy(nn.Module):
    """An MLP with BatchNorm and dropout, so that both kinds of hidden state are there."""

    def __init__(self, width: int = 16, dropout: float = 0.3, norm: bool = True) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(4, width), nn.BatchNorm1d(width) if norm else nn.Identity(), nn.ReLU(),
            nn.Dropout(dropout), nn.Linear(width, 1),
        )  # fmt: skip

    def forward(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        error = self.layers(batch["x"]).squeeze(1) - batch["y"]
        return {"loss": error.square().mean(), "worst": error.abs().max()}


class ToyBatches:
    """Batch ``i`` is a function of ``i``: a noisy linear map."""

    def __init__(self, seconds: float = 0.0, poison: int | None = None) -> None:
        self.seconds = seconds
        self.poison = poison

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        time.sleep(self.seconds)
        draw = generator(7, "toy", index)
        x = torch.randn(8, 4, generator=draw)
        y = x @ torch.tensor([1.0, -2.0, 0.5, 0.0]) + 0.1 * torch.randn(8, generator=draw)
        if index == self.poison:
            x[3, 2] = float("nan")
        return {"x": x, "y": y}


def make_toy(width: int = 16, dropout: float = 0.3, norm: bool = True, seed: int = 0) -> Toy:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return Toy(width, dropout, norm)


def validate_toy(module: nn.Module) -> dict[str, float]:
    torch.rand(3)  # a validation that draws must not disturb the training
    return {"loss": module(ToyBatches()[10**6])["loss"].item()}


def weights_hash(module: nn.Module) -> str:
    """SHA-256 over names and bits of everything in the state dict."""
    digest = hashlib.sha256()
    for name, value in module.state_dict().items():
        digest.update(name.encode() + value.detach().contiguous().numpy().tobytes())
    return digest.hexdigest()


def train_toy(config: ToyConfig) -> tuple[Toy, TrainResult]:
    toy = make_toy(config.width, config.dropout, config.norm)
    result = train(
        toy,
        ToyBatches(config.batch_seconds, config.poison),
        config.loop,
        run_dir=config.run_dir,
        validate=validate_toy if config.validates else None,
        config=config,
        resume=config.resume,
        may_differ={"batch_seconds"},
    )
    return toy, result


def run(config: ToyConfig) -> None:
    toy, result = train_toy(config)
    scores = Runtime(config.loop.device, config.loop.precision).map(lambda index: index * index, 5)
    if os.environ.get("RANK", "0") == "0":
        print("hash", weights_hash(toy), "step", result.step, "scores", scores)


COMMANDS = [Command("train", ToyConfig, "tests.run.toy:run", "Train the toy.", ("toy train --run_dir runs/toy",))]

if __name__ == "__main__":
    sys.exit(main("toy", COMMANDS))
