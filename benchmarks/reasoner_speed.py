"""What a question costs: the reasoning network against the same mathematics written down plainly.

    python -m benchmarks.reasoner_speed

Both get the same weights, questions and pictures of the generated world, and give the same loss. Times are ratios
within one run; nothing else should run beside it.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.plain_reasoner import PlainReasoner
from clevr.config import TrainConfig
from clevr.questions.batch import QuestionBatch, build_prefix_tree
from clevr.questions.tokens import encode
from clevr.questions.writer import write_questions
from clevr.reasoning.network import FiLMReasoner
from clevr.world.placement import SceneConfig, Scenes
from clevr.world.render import render
from fewshot_film.run.parsing import parse
from fewshot_film.run.results import summary, write_result

HERE = Path(__file__).resolve().parent


@dataclass(frozen=True)
class SpeedConfig:
    """What to time."""

    model: Path = HERE.parent / "configs/clevr/film-pixels.yaml"
    """Training settings whose network is timed; kept positions and their relations are not written down plainly."""
    pictures: int = 2
    """Pictures in a batch."""
    questions: int = 10
    """Questions about each."""
    repeats: int = 3
    """Measurements of each row; the two sides take turns."""
    threads: int = 1
    """Threads of torch."""
    compile: bool = False
    """Time torch.compile too; it needs a C++ compiler and some minutes."""
    seed: int = 0
    """Seed of weights, scenes and questions."""
    out: Path = HERE / "results/clevr_reasoner_speed.json"
    """Result file."""


@dataclass(frozen=True)
class Work:
    """A batch in both forms."""

    batch: QuestionBatch
    pictures: Tensor
    """One picture for every question."""
    questions: list[list[int]]
    answers: Tensor


def run(config: SpeedConfig) -> None:
    """Time both sides of every row, print the ratios and write the result."""
    torch.set_num_threads(config.threads)
    torch.manual_seed(config.seed)
    training: TrainConfig = parse("model", TrainConfig, [f"--config={config.model}"])
    reasoner = FiLMReasoner(training.model)
    plain = PlainReasoner(reasoner)
    work = _work(config, reasoner)
    difference = abs(_loss(reasoner, work) - _plain_loss(plain, work)).item()
    results: dict[str, Any] = {"difference of the losses": difference}
    print(f"difference of the losses: {difference:.1e}")
    for name, (slow, fast) in _rows(config, reasoner, plain, work).items():
        times = _in_turns(slow, fast, config.repeats)
        ratio = float(np.median(times[0]) / np.median(times[1]))
        rate = len(work.answers) / float(np.median(times[1]))
        results[name] = {"ratio": ratio, "plain seconds": summary(times[0]), "seconds": summary(times[1])}
        print(f"{name}: {ratio:.2f} times as fast, {rate:.0f} questions a second")
    write_result(config.out, config=config, seed=config.seed, results=results)


def _rows(
    config: SpeedConfig, reasoner: FiLMReasoner, plain: PlainReasoner, work: Work
) -> dict[str, tuple[Callable[[], Any], Callable[[], Any]]]:
    """The slow and the fast side of every row."""
    tree, tokens = work.batch.tree, work.questions
    maps = torch.relu(torch.randn(len(tokens), reasoner.config.maps, 11, 16)).requires_grad_()
    rows: dict[str, tuple[Callable[[], Any], Callable[[], Any]]] = {
        "training step": (lambda: _plain_loss(plain, work).backward(), lambda: _loss(reasoner, work).backward()),
        "answering": (_quiet(lambda: _plain_loss(plain, work)), _quiet(lambda: _loss(reasoner, work))),
        "question encoder, forward and backward": (
            lambda: plain.read(tokens).sum().backward(),
            lambda: reasoner.questions(tree).sum().backward(),
        ),
        "classifier, forward and backward": (
            lambda: plain.classify(maps).sum().backward(),
            lambda: reasoner.classifier(maps).sum().backward(),
        ),
        "one picture a question against grouped ones, trunk alone": (
            lambda: plain.trunk(work.pictures).sum().backward(),
            lambda: reasoner.see(work.batch.pictures).sum().backward(),
        ),
        "bfloat16 against 32 bits, training step": (
            lambda: _loss(reasoner, work).backward(),
            lambda: _half_loss(reasoner, work).backward(),
        ),
    }
    if config.compile:
        compiled = torch.compile(reasoner)
        rows["torch.compile against none, training step"] = (
            lambda: _loss(reasoner, work).backward(),
            lambda: _loss(compiled, work).backward(),
        )
    return rows


def _quiet(function: Callable[[], Any]) -> Callable[[], Any]:
    def run() -> Any:
        with torch.no_grad():
            return function()

    return run


def _loss(reasoner: Callable[[QuestionBatch], Tensor], work: Work) -> Tensor:
    return F.cross_entropy(reasoner(work.batch).float(), work.answers)


def _half_loss(reasoner: nn.Module, work: Work) -> Tensor:
    with torch.autocast("cpu", torch.bfloat16):
        return _loss(reasoner, work)


def _plain_loss(plain: PlainReasoner, work: Work) -> Tensor:
    return F.cross_entropy(plain(work.pictures, work.questions), work.answers)


def _work(config: SpeedConfig, reasoner: FiLMReasoner) -> Work:
    """Scenes, their pictures, and questions that the writer asks about them."""
    model = reasoner.config
    scenes = Scenes(config.seed, "speed", SceneConfig()).batch(range(config.pictures))
    rng = np.random.default_rng(config.seed)
    asked = [write_questions(scene, rng, config.questions) for scene in scenes]
    drawn = render(scenes, model.width, model.height)
    picture = torch.arange(len(scenes)).repeat_interleave(torch.tensor([len(some) for some in asked]))
    questions = [encode(question.question) for some in asked for question in some]
    answers = torch.randint(0, 28, (len(questions),))
    return Work(QuestionBatch(drawn, picture, build_prefix_tree(questions)), drawn[picture], questions, answers)


def _in_turns(slow: Callable[[], Any], fast: Callable[[], Any], repeats: int) -> tuple[list[float], list[float]]:
    times: tuple[list[float], list[float]] = ([], [])
    for function in (slow, fast):
        function()
    for _ in range(repeats):
        for function, found in zip((slow, fast), times, strict=True):
            began = time.perf_counter()
            function()
            found.append(time.perf_counter() - began)
    return times


if __name__ == "__main__":
    run(parse("python -m benchmarks.reasoner_speed", SpeedConfig, sys.argv[1:], description=__doc__ or ""))
