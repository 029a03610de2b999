"""What the trainings of the papers cost: steps at the paper's size are timed here, the rest is arithmetic.

    python -m benchmarks.paper_cost --device cuda --out benchmarks/results/paper_cost_cuda.json

A row is a training: its unit (a task, or a question), how many the paper takes, and how many a second are done here,
forward and backward, without the data. Seconds are the processor's on one core (``--threads 1``), so that other work on
the machine counts little; on an accelerator they are those of the clock.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import torch.nn.functional as F

from benchmarks.timing import in_turns
from clevr.config.model import TrainConfig as ClevrTrainConfig
from clevr.questions.batch import QuestionBatch, build_prefix_tree
from clevr.questions.tokens import ANSWER_WORDS, encode
from clevr.questions.writer import write_questions
from clevr.reasoning.network import FiLMReasoner
from clevr.world.placement import SceneConfig, Scenes
from fewshot_film.config import SimpleCNAPSConfig
from fewshot_film.episodes import Episode
from fewshot_film.learners import SimpleCNAPS
from fewshot_film.learners.objectives import MetaTraining
from fewshot_film.run.parsing import parse
from fewshot_film.run.results import summary, write_result
from fewshot_film.run.runtime import Runtime, to_device
from fewshot_film.run.settings import Settings, at_least

HERE = Path(__file__).resolve().parent
CONFIGS = HERE.parent / "configs" / "clevr"


@dataclass(frozen=True)
class CostConfig(Settings):
    """What to time."""

    repeats: Annotated[int, at_least(1)] = 3
    """Steps of each row that are timed, after one that is not."""
    threads: Annotated[int, at_least(1)] = 1
    """Threads of torch."""
    way: Annotated[int, at_least(2)] = 5
    """Classes of the task that Simple CNAPS is timed on."""
    shot: Annotated[int, at_least(1)] = 5
    """Support images a class of that task; ten queries a class."""
    device: str = "cpu"
    """cpu, cuda or mps."""
    precision: str = "32-true"
    """32-true or bf16-mixed."""
    seed: Annotated[int, at_least(0)] = 0
    """Seed of weights, images and questions."""
    out: Path = HERE / "results/paper_cost_cpu.json"
    """Result file."""


@dataclass(frozen=True)
class Row:
    """One training of a paper."""

    name: str
    """What is trained."""
    unit: str
    """What is counted."""
    units: int
    """How many the paper takes."""
    units_a_step: int
    """How many one call of ``step`` takes."""
    step: Callable[[], Any]
    """Forward and backward."""


def run(config: CostConfig) -> None:
    """Time every row and write what was found."""
    torch.set_num_threads(config.threads)
    runtime = Runtime(config.device, config.precision)

    def clock() -> float:
        if runtime.device.type == "cpu":
            return time.process_time()
        _wait(runtime.device)
        return time.perf_counter()

    results: dict[str, Any] = {}
    for row in rows(config, runtime):
        (seconds,) = in_turns({row.name: row.step}, config.repeats, clock=clock).values()
        rates = [row.units_a_step / each for each in seconds]
        results[row.name] = {"unit": row.unit, "units": row.units, "units a second": summary(rates)}
        print(f"{row.name}: {np.mean(rates):.2f} {row.unit}s a second, {row.units:,} in the paper", flush=True)
    write_result(config.out, config=config, seed=config.seed, results=results)


def rows(config: CostConfig, runtime: Runtime) -> Iterator[Row]:
    """The trainings, one at a time in memory."""
    torch.manual_seed(config.seed)
    module = MetaTraining(SimpleCNAPS(SimpleCNAPSConfig())).to(runtime.device).train()
    episode = to_device(_episode(config.way, config.shot, query=10), runtime.device)
    name = f"Simple CNAPS, {config.way}-way {config.shot}-shot, 84 x 84"
    yield Row(name, "task", 110_000, 1, partial(_step, runtime, module, episode))
    for name, file in (("FiLM on CLEVR, pixels", "film-pixels"), ("FiLM on CLEVR, features", "film-features")):
        training: ClevrTrainConfig = parse("cost", ClevrTrainConfig, [f"--config={CONFIGS / file}.yaml"])
        reasoner = FiLMReasoner(training.model).to(runtime.device).train()
        questions = to_device(_questions(config.seed, reasoner, training.data.images), runtime.device)
        step = partial(_answer, runtime, reasoner, questions)
        yield Row(name, "question", 80 * 699_989, len(questions.image), step)


def _step(runtime: Runtime, module: MetaTraining, episode: Episode) -> None:
    with runtime.autocast():
        loss = module(episode)["loss"]
    loss.backward()


def _answer(runtime: Runtime, reasoner: FiLMReasoner, batch: QuestionBatch) -> None:
    assert batch.answers is not None
    with runtime.autocast():
        loss = F.cross_entropy(reasoner(batch).float(), batch.answers)
    loss.backward()


def _episode(way: int, shot: int, query: int) -> Episode:
    support, asked = torch.arange(way).repeat_interleave(shot), torch.arange(way).repeat_interleave(query)
    pictures = torch.rand(len(support) + len(asked), 3, 84, 84)
    names = tuple(map(str, range(len(pictures))))
    return Episode(
        pictures[: len(support)], support, pictures[len(support) :], asked,
        names[:way], names[: len(support)], names[len(support) :], "noise", 0,
    )  # fmt: skip


def _questions(seed: int, reasoner: FiLMReasoner, count: int) -> QuestionBatch:
    """One question about each of so many images, as the papers batch them."""
    scenes = Scenes(seed, "cost", SceneConfig()).batch(range(count))
    rng = np.random.default_rng(seed)
    asked = [encode(write_questions(scene, rng, 1)[0].question) for scene in scenes]
    config = reasoner.config
    shape = (count, config.input_maps, config.height, config.width)
    pixels = torch.randint(256, shape, dtype=torch.uint8) if config.inputs == "pixels" else torch.rand(shape)
    answers = torch.randint(len(ANSWER_WORDS), (count,))
    return QuestionBatch(pixels, torch.arange(count), build_prefix_tree(asked), answers)


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize()


if __name__ == "__main__":
    run(parse("python -m benchmarks.paper_cost", CostConfig, sys.argv[1:], description=__doc__ or ""))
