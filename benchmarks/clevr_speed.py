"""How fast CLEVR's half is: the reasoning network, images of scenes, whole data sets, and questions.

    python -m benchmarks.clevr_speed reasoner
    python -m benchmarks.clevr_speed render
    python -m benchmarks.clevr_speed generate
    python -m benchmarks.clevr_speed questions

``reasoner`` is timed against the same mathematics written down plainly, with the same weights, questions and images of
the generated world, and the same loss. ``render`` makes scenes that were not made before (placement, and the test that
every object is seen), then draws them (soft shadows, reflections and 2x2 anti-aliasing), by torch and by compiled
loops, in as many processes of one thread as there are cores, as ``clevr-film generate`` does; the rates are those of
all processes together. ``generate`` times each step alone on one core, and the command as a whole: the goals are 10,000
scenes with 100,000 questions at 128x96 in under 10 minutes on 2 cores, and 1,000 questions a second on one core.
``questions`` are written ten for each of many scenes on one core: search, program, text and record, not the scenes;
CLEVR's own depth-first search takes minutes for a thousand. Quiet machines only: a second job on the same cores halves
most numbers.
"""

from __future__ import annotations

import copy
import math
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.clevr_questions import make_scenes
from benchmarks.timing import Spent, in_turns, timed
from clevr.commands.generate import make_images, make_questions
from clevr.commands.generate import make_scenes as make_scenes_of
from clevr.commands.generate import run as generate
from clevr.config.commands import GenerateConfig
from clevr.config.model import TrainConfig
from clevr.data.writer import Chunk, encode_png
from clevr.questions.batch import QuestionBatch, build_prefix_tree
from clevr.questions.tokens import encode
from clevr.questions.writer import write_questions
from clevr.reasoning.blocks import ReasoningBlock
from clevr.reasoning.network import FiLMReasoner
from clevr.world.placement import SceneConfig, Scenes
from clevr.world.render import render
from clevr.world.scene import Scene
from fewshot_film.run.command import Command, main
from fewshot_film.run.parsing import parse
from fewshot_film.run.results import summary, write_result
from fewshot_film.run.seeding import numpy_generator
from fewshot_film.run.settings import Settings, at_least
from fewshot_film.run.workers import available_cores

RESULTS = Path(__file__).resolve().parent / "results"
CONFIGS = Path(__file__).resolve().parent.parent / "configs"

# the reasoning network


class PlainReasoner(nn.Module):
    """FiLM's model as one would write it down from the paper: to check and to time :mod:`clevr.reasoning` against.

    The same function as a reasoner with FiLM behind the normalisation, with its weights: one image for every question,
    a padded GRU, torch's own layers one after the other, contiguous layout.

    Args:
        reasoner: whose parameters to copy.
    """

    def __init__(self, reasoner: FiLMReasoner) -> None:
        super().__init__()
        self.config = reasoner.config
        self.sites = reasoner.sites
        parts = copy.deepcopy(reasoner)
        self.words, self.gru = parts.questions.words, parts.questions.gru
        self.generator, self.trunk, self.blocks = parts.generator, parts.trunk, parts.blocks
        self.classifier = parts.classifier

    def forward(self, pictures: Tensor, questions: Sequence[Sequence[int]]) -> Tensor:
        """Logits ``(Q, 28)`` of questions, each with an image of its own ``(Q, 3, H, W)``."""
        code = self.read(questions)
        assert self.generator is not None
        flat = self.generator.linear(code)  # type: ignore[operator]
        x = self.trunk(pictures).contiguous()
        for index, block in enumerate(self.blocks):
            assert isinstance(block, ReasoningBlock)
            gamma, beta = flat[:, 2 * index * self.config.maps :][:, : 2 * self.config.maps].chunk(2, dim=1)
            first = F.relu(block.entry(self._with_coordinates(x)))
            second = block.norm(block.conv(first))
            x = first + F.relu((1 + gamma)[:, :, None, None] * second + beta[:, :, None, None])
        return self.classify(x)

    def read(self, questions: Sequence[Sequence[int]]) -> Tensor:
        """Codes ``(Q, hidden_dim)``: the state of a GRU over padded questions at the end of each."""
        lengths = torch.tensor([len(question) for question in questions])
        padded = nn.utils.rnn.pad_sequence([torch.tensor(question) for question in questions], batch_first=True)
        states, _ = self.gru(self.words(padded))
        code: Tensor = states[torch.arange(len(lengths)), lengths - 1]
        return code

    def classify(self, x: Tensor) -> Tensor:
        """Logits ``(Q, 28)`` of maps ``(Q, C, H, W)``."""
        classifier = self.classifier
        responses = F.relu(classifier.norm(classifier.conv(self._with_coordinates(x))))
        answer: Tensor = classifier.answer(responses.amax((2, 3)))
        return answer

    def _with_coordinates(self, x: Tensor) -> Tensor:
        batch, _, height, width = x.shape
        rows = torch.linspace(-1, 1, height, dtype=x.dtype)[:, None].expand(height, width)
        columns = torch.linspace(-1, 1, width, dtype=x.dtype).expand(height, width)
        return torch.cat([x, torch.stack([columns, rows]).expand(batch, -1, -1, -1)], dim=1)


@dataclass(frozen=True)
class ReasonerSpeedConfig(Settings):
    """What to time."""

    model: Path = CONFIGS / "clevr" / "film-pixels.yaml"
    """Training settings whose network is timed; kept positions and their relations are not written down plainly."""
    images: Annotated[int, at_least(1)] = 2
    """Images in a batch."""
    questions: Annotated[int, at_least(1)] = 10
    """Questions about each."""
    repeats: Annotated[int, at_least(1)] = 3
    """Measurements of each row; the two sides take turns."""
    threads: Annotated[int, at_least(1)] = 1
    """Threads of torch."""
    compile: bool = False
    """Time torch.compile too; it needs a C++ compiler and some minutes."""
    seed: Annotated[int, at_least(0)] = 0
    """Seed of weights, scenes and questions."""
    out: Path = RESULTS / "clevr_reasoner_speed.json"
    """Result file."""


@dataclass(frozen=True)
class Work:
    """A batch in both forms."""

    batch: QuestionBatch
    pictures: Tensor
    """One image for every question."""
    questions: list[list[int]]
    answers: Tensor


def reasoner(config: ReasonerSpeedConfig) -> None:
    """Time both sides of every row, print the ratios and write the result."""
    torch.set_num_threads(config.threads)
    torch.manual_seed(config.seed)
    training: TrainConfig = parse("model", TrainConfig, [f"--config={config.model}"])
    ours = FiLMReasoner(training.model)
    plain = PlainReasoner(ours)
    work = _work(config, ours)
    difference = abs(_loss(ours, work) - _plain_loss(plain, work)).item()
    results: dict[str, Any] = {"difference of the losses": difference}
    print(f"difference of the losses: {difference:.1e}")
    for name, (slow, fast) in _rows(config, ours, plain, work).items():
        times = list(in_turns({"plain": slow, "ours": fast}, config.repeats, clock=time.perf_counter).values())
        ratio = float(np.median(times[0]) / np.median(times[1]))
        rate = len(work.answers) / float(np.median(times[1]))
        results[name] = {"ratio": ratio, "plain seconds": summary(times[0]), "seconds": summary(times[1])}
        print(f"{name}: {ratio:.2f} times as fast, {rate:.0f} questions a second")
    write_result(config.out, config=config, seed=config.seed, results=results)


def _rows(
    config: ReasonerSpeedConfig, reasoner: FiLMReasoner, plain: PlainReasoner, work: Work
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
        "one image a question against grouped ones, trunk alone": (
            lambda: plain.trunk(work.pictures).sum().backward(),
            lambda: reasoner.encode_image(work.batch.images).sum().backward(),
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


def _work(config: ReasonerSpeedConfig, reasoner: FiLMReasoner) -> Work:
    """Scenes, their images, and questions that the writer asks about them."""
    model = reasoner.config
    scenes = Scenes(config.seed, "speed", SceneConfig()).batch(range(config.images))
    rng = np.random.default_rng(config.seed)
    asked = [write_questions(scene, rng, config.questions) for scene in scenes]
    drawn = render(scenes, model.width, model.height)
    picture = torch.arange(len(scenes)).repeat_interleave(torch.tensor([len(some) for some in asked]))
    questions = [encode(question.question) for some in asked for question in some]
    answers = torch.randint(0, 28, (len(questions),))
    return Work(QuestionBatch(drawn, picture, build_prefix_tree(questions)), drawn[picture], questions, answers)


# scenes and images of them


@dataclass(frozen=True)
class RenderSpeedConfig(Settings):
    """What is measured."""

    processes: Annotated[int, at_least(0)] = 0
    """Processes of one thread each; 0: one for each core."""
    repeats: Annotated[int, at_least(1)] = 8
    """Repetitions of each measurement."""
    batch: Annotated[int, at_least(1)] = 100
    """Scenes drawn at once."""
    sizes: tuple[tuple[int, int], ...] = ((128, 96), (320, 240), (480, 320))
    """Widths and heights of the images."""
    compiled: bool = True
    """Draw all images again by compiled loops; needs the extra `compiled`."""
    seed: Annotated[int, at_least(0)] = 0
    """Seed of the scenes."""
    out: Path = RESULTS / "clevr_render_speed.json"
    """Result file."""


def render_scenes(config: RenderSpeedConfig) -> None:
    """Measure, print and write."""
    processes = config.processes or available_cores()
    results: dict[str, Any] = {"processes": processes}
    # A fresh start of every process: forked ones would share the parent's idle threads.
    with ProcessPoolExecutor(processes, get_context("spawn"), partial(torch.set_num_threads, 1)) as pool:
        for width, height in config.sizes:
            for name, values in measure_render(pool, processes, config, (width, height)).items():
                found = results[f"{name}, {width}x{height}"] = summary(values)
                print(f"{width}x{height}: {name}: {found['mean']:.4g} +- {found['interval']:.2g}")
    write_result(config.out, config=config, seed=config.seed, results=results)


def measure_render(
    pool: ProcessPoolExecutor, processes: int, config: RenderSpeedConfig, size: tuple[int, int]
) -> dict[str, list[float]]:
    """Rates and times in each repetition, after one that does not count."""
    found: dict[str, list[float]] = {}
    for repeat in range(config.repeats + 1):
        starts = [config.batch * (repeat * processes + i) for i in range(processes)]
        jobs = [pool.submit(_draw_batch, config, start, size) for start in starts]
        spent = [job.result() for job in jobs]
        if repeat:
            for name, value in render_rates(spent, config.batch).items():
                found.setdefault(name, []).append(value)
    return found


def render_rates(spent: list[tuple[Spent, ...]], batch: int) -> dict[str, float]:
    """Scenes and images a second of all processes together, and the processor's time for one.

    Args:
        spent: by each process for scenes and for images of them, and perhaps for the same images by compiled loops.
        batch: how many scenes each.
    """

    def rate(*parts: Sequence[Spent]) -> float:
        return math.fsum(batch / sum(part.clock for part in process) for process in zip(*parts, strict=True))

    def milliseconds(part: Sequence[Spent]) -> float:
        return sum(one.processor for one in part) * 1000 / (batch * len(spent))

    scenes, pictures, *compiled = zip(*spent, strict=True)
    rates = {
        "images alone a second": rate(pictures),
        "scenes alone a second": rate(scenes),
        "scenes with images a second": rate(scenes, pictures),
        "processor ms an image": milliseconds(pictures),
        "processor ms a scene": milliseconds(scenes),
    }
    for looped in compiled:
        rates |= {
            "images alone by compiled loops a second": rate(looped),
            "scenes with images by compiled loops a second": rate(scenes, looped),
            "processor ms an image by compiled loops": milliseconds(looped),
        }
    return rates


def _draw_batch(config: RenderSpeedConfig, start: int, size: tuple[int, int]) -> tuple[Spent, ...]:
    """Make a batch of scenes, then images of them; and these by compiled loops, if that is asked for."""
    scenes, placing = timed(lambda: Scenes(config.seed).batch(range(start, start + config.batch)))
    ways = (False, True) if config.compiled else (False,)
    drawings = [timed(partial(render, scenes, *size, compiled=compiled))[1] for compiled in ways]
    return placing, *drawings


# data sets


@dataclass(frozen=True)
class GenerateSpeedConfig(Settings):
    """What is measured."""

    out: Path = RESULTS / "clevr_generate_speed.json"
    """Result file."""
    scenes: Annotated[int, at_least(1)] = 10_000
    """Scenes that ``clevr-film generate`` makes, ten questions each; 0 leaves that out."""
    sample: Annotated[int, at_least(1)] = 200
    """Scenes for the steps alone."""
    width: Annotated[int, at_least(1)] = 128
    """Width of the images."""
    height: Annotated[int, at_least(1)] = 96
    """Height of the images."""
    folder: Path | None = None
    """Where to keep the data set; null: a temporary folder."""


def generate_world(config: GenerateSpeedConfig) -> None:
    """Measure, print and write."""
    results = {"one_core_per_second": measure_steps(config)}
    if config.scenes:
        results["generate"] = measure_generate(config)
    for name, values in results.items():
        print(name, *(f"  {key}: {value:,.1f}" for key, value in values.items()), sep="\n")
    write_result(config.out, config=config, seed=0, results=results)


def measure_steps(config: GenerateSpeedConfig) -> dict[str, float]:
    """Scenes, images, questions and PNG files a second, each step alone with one thread."""
    torch.set_num_threads(1)
    settings = GenerateConfig(out=Path(), width=config.width, height=config.height)
    chunk = Chunk(0, config.sample)
    make_images(settings, make_scenes_of(settings, Chunk(0, 2)))  # what is made once only
    speed: dict[str, float] = {}
    scenes = _timed(speed, "scenes", lambda: make_scenes_of(settings, chunk))
    pictures = _timed(speed, "images", lambda: make_images(settings, scenes))
    _timed(speed, "png files", lambda: [encode_png(picture) for picture in pictures])
    _timed(speed, "questions", lambda: [one for scene in scenes for one in make_questions(settings, scene)])
    return speed


def measure_generate(config: GenerateSpeedConfig) -> dict[str, float]:
    """Seconds of the whole command with all cores, and images a second."""
    folder = config.folder or Path(tempfile.mkdtemp())
    settings = GenerateConfig(out=folder, scenes=config.scenes, width=config.width, height=config.height)
    seconds = timed(lambda: generate(settings))[1].clock
    if config.folder is None:
        shutil.rmtree(folder)
    return {"seconds": seconds, "scenes per second": config.scenes / seconds, "cores": available_cores()}


def _timed(speed: dict[str, float], name: str, step: Callable[[], Any]) -> Any:
    """Run a step and note how many of its results came a second."""
    made, spent = timed(step)
    speed[name] = len(made) / spent.clock
    return made


# questions


@dataclass(frozen=True)
class QuestionSpeedConfig(Settings):
    """What is measured."""

    scenes: Annotated[int, at_least(1)] = 1000
    """Scenes in a repetition."""
    repeats: Annotated[int, at_least(1)] = 5
    """Repetitions."""
    seed: Annotated[int, at_least(0)] = 0
    """Seed of scenes and questions."""
    out: Path = RESULTS / "question_speed.json"
    """Result file."""


def questions(config: QuestionSpeedConfig) -> None:
    """Measure, print and write."""
    scenes = make_scenes(config.seed, 0, config.scenes)
    rates = []
    for repeat in range(config.repeats):
        written, spent = timed(partial(_write, scenes, config.seed + repeat))
        rates.append(written / spent.clock)
        print(f"{written} questions in {spent.clock:.2f} s: {rates[-1]:.0f} a second")
    found = summary(rates)
    print(f"questions a second on one core: {found['mean']:.0f} ± {found['interval']:.0f}")
    write_result(config.out, config=config, seed=config.seed, results={"questions_per_second": found})


def _write(scenes: list[Scene], seed: int) -> int:
    """Write the questions about some scenes; how many."""
    return sum(
        len(
            [
                question.to_json()
                for question in write_questions(scene, numpy_generator(seed, "questions", scene.image_index))
            ]
        )
        for scene in scenes
    )


COMMANDS = [
    Command(
        "reasoner",
        ReasonerSpeedConfig,
        "benchmarks.clevr_speed:reasoner",
        "The reasoning network against the same mathematics written down plainly.",
        ("python -m benchmarks.clevr_speed reasoner",),
    ),
    Command(
        "render",
        RenderSpeedConfig,
        "benchmarks.clevr_speed:render_scenes",
        "How many scenes and images of them are made in a second.",
        ("python -m benchmarks.clevr_speed render",),
    ),
    Command(
        "generate",
        GenerateSpeedConfig,
        "benchmarks.clevr_speed:generate_world",
        "Each step of clevr-film generate alone on one core, and the whole.",
        ("python -m benchmarks.clevr_speed generate",),
    ),
    Command(
        "questions",
        QuestionSpeedConfig,
        "benchmarks.clevr_speed:questions",
        "How many questions a second one core writes.",
        ("python -m benchmarks.clevr_speed questions",),
    ),
]

if __name__ == "__main__":
    sys.exit(main("python -m benchmarks.clevr_speed", COMMANDS))
