"""The tasks with verifiers: are all answers true, does no cheat gain a point, and how hard is each level.

    python -m benchmarks.clevr_tasks verify
    python -m benchmarks.clevr_tasks levels

``verify`` makes many items of every kind, spread over the levels, and compares each answer with that of a slow executor
that shares no code with them (``tests/reference/clevr_tasks_oracle.py``). Of every hundredth item the verifier is shown
texts that hedge, list, deny or guess (``tests/clevr/tasks/replies.py``); it must give none of them a point. The run can
be ended by Ctrl-C or by ``--minutes``; the result file holds what was done until then, and the same command goes on
from there.

``levels`` measures the accuracy of the model ``clevr-small`` and of guessing by kind and level. Guessing means always
giving the most common answer of the level, of a box the mean box; the commonest is looked for in the other half of the
items. The model is asked the prompt as it is; for ``matching`` it is asked about both images, and the one is chosen in
which it finds the sentence more probable; it cannot name boxes.
"""

from __future__ import annotations

import importlib
import re
import sys
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor

import clevr
from clevr.answers.predict import answer_logits
from clevr.data.images import fit_image
from clevr.questions.batch import QuestionBatch, build_prefix_tree
from clevr.questions.tokens import ANSWER_WORDS
from clevr.reasoning.network import Reasoner
from clevr.tasks import KINDS, LEVELS, Item, TaskError, make
from clevr.tasks.answer_types import box_text
from clevr.tasks.item import draw_images
from clevr.world.render import object_ids
from fewshot_film.run.command import Command, main
from fewshot_film.run.results import earlier_results, mean_and_interval, write_result
from fewshot_film.run.settings import Settings, Workers, at_least
from fewshot_film.run.workers import available_cores, run_jobs

RESULTS = Path("benchmarks/results")
SIZE = {"width": 128, "height": 96}
CHUNK = 100

# verify


@dataclass(frozen=True)
class VerifyConfig(Settings):
    """How much is verified."""

    items: Annotated[int, at_least(500)] = 1_000_000
    """Items of each kind, the same number of each level."""
    minutes: Annotated[float, at_least(0)] = 0.0
    """Stop after this time; 0: when all items are verified."""
    seed: Annotated[int, at_least(0)] = 0
    """Seed of the tasks."""
    workers: Workers = "auto"
    """Number of processes; auto: one per core."""
    out: Path = RESULTS / "task_verification.json"
    """Result file."""


class Job(NamedTuple):
    """A range of items of one kind and level."""

    kind: str
    level: int
    start: int


class Found(NamedTuple):
    """What came out of a job."""

    job: Job
    wrong: list[str]
    """Prompts whose answer is not that of the slow executor."""
    refused: int
    """True answers that got no point."""
    cheats: int
    """Dishonest texts that were shown to the verifier."""
    fooled: list[str]
    """Those that got a point; of boxes, those that overlap with the true one by half or more."""
    seconds: float
    """Of the processor."""


def verify_job(seed: int, job: Job) -> Found:
    """Make the items of a range and check them."""
    began = time.process_time()
    replies = importlib.import_module("tests.clevr.tasks.replies")
    series = make(job.kind, seed=seed, difficulty=job.level, **SIZE)
    items = series.batch(range(job.start, job.start + CHUNK), draw=False)
    wrong = [item.prompt for item, answer in zip(items, slow_answers(items), strict=True) if answer != item.answer]
    refused = sum(item.verify(f"So the answer is {item.answer}.") != 1 for item in items)
    cheats = replies.dishonest(items[0].answer, items[0].answer_type)
    fooled = [text for text in cheats if items[0].verify(text) >= 0.5]
    return Found(job, wrong, refused, len(cheats), fooled, time.process_time() - began)


def slow_answers(items: Sequence[Item]) -> list[str]:
    """The answers of the slow executor to items of one kind."""
    oracle = importlib.import_module("tests.reference.clevr_tasks_oracle")
    shown: Sequence[Any] = [None] * len(items)
    if items[0].answer_type == "box":
        shown = object_ids([item.scenes[0] for item in items], items[0].width, items[0].height).tolist()
    answers = []
    for item, ids in zip(items, shown, strict=True):
        records = [scene.to_json() for scene in item.scenes]
        program = None if item.program is None else [node.to_json() for node in item.program]
        answers.append(str(oracle.answer(item.task, item.prompt, program, records, ids)))
    return answers


def verify(config: VerifyConfig) -> None:
    """Verify, go on where a run before stopped, print and write.

    The work is cut into rounds of :data:`CHUNK` items of every kind, level after level. What is written are whole
    rounds, one after the other from the first, so that their number says where to go on.
    """
    workers = available_cores() if config.workers == "auto" else config.workers
    tally = _read_tally(config)
    rounds = len(LEVELS) * (config.items // len(LEVELS) // CHUNK)
    jobs = [job for number in range(tally["total"]["rounds"], rounds) for job in _round(number)]
    began = last = time.monotonic()
    before = tally["total"]["seconds"]
    waiting: dict[int, list[Found]] = {}
    with closing(run_jobs(partial(verify_job, config.seed), jobs, workers)) as done:
        try:
            for found in done:
                waiting.setdefault(_round_of(found.job), []).append(found)
                now = time.monotonic()
                while len(waiting.get(tally["total"]["rounds"], ())) == len(KINDS):
                    _add_round(tally, waiting.pop(tally["total"]["rounds"]))
                    tally["total"] |= {"seconds": before + now - began, "processes": workers}
                if now - last > _SECONDS_BETWEEN_WRITES:
                    last = now
                    write_result(config.out, config=config, seed=config.seed, results=tally)
                if config.minutes and now - began > 60 * config.minutes:
                    break
        except KeyboardInterrupt:
            pass
    for kind, row in tally.items():
        print(kind, row)
    write_result(config.out, config=config, seed=config.seed, results=tally)


_SECONDS_BETWEEN_WRITES = 60


def _round(number: int) -> list[Job]:
    return [Job(kind, 1 + number % len(LEVELS), number // len(LEVELS) * CHUNK) for kind in KINDS]


def _round_of(job: Job) -> int:
    return job.start // CHUNK * len(LEVELS) + job.level - 1


def _read_tally(config: VerifyConfig) -> dict[str, dict[str, Any]]:
    """What was found before by runs with the same seed and kinds; nothing, where there is none."""
    results: dict[str, dict[str, Any]] = earlier_results(config.out, config, ("seed",))
    if not results:
        rows: dict[str, dict[str, Any]] = {kind: _empty_row() for kind in KINDS}
        return {**rows, "total": {"rounds": 0, "chunk": CHUNK, "seconds": 0.0, "processes": 1}}
    if results.get("total", {}).get("chunk") != CHUNK or {*results} != {*KINDS, "total"}:
        raise TaskError(
            f"{config.out} holds a verification of other kinds or in rounds of another size, which cannot be "
            "continued; give another --out, or remove it"
        )
    return results


def _empty_row() -> dict[str, Any]:
    return {
        "items": 0,
        "wrong": [],
        "true_answers_refused": 0,
        "dishonest_texts": 0,
        "dishonest_texts_accepted": [],
        "seconds_of_one_core": 0.0,
    }


def _add_round(tally: dict[str, dict[str, Any]], found: Sequence[Found]) -> None:
    for result in found:
        row = tally[result.job.kind]
        row["items"] += CHUNK
        row["wrong"] += result.wrong
        row["true_answers_refused"] += result.refused
        row["dishonest_texts"] += result.cheats
        row["dishonest_texts_accepted"] += result.fooled
        row["seconds_of_one_core"] += result.seconds
    tally["total"]["rounds"] += 1


# levels


@dataclass(frozen=True)
class LevelsConfig(Settings):
    """How many items are answered."""

    items: Annotated[int, at_least(20)] = 300
    """Items of each kind and level."""
    model: str = "clevr-small"
    """The model that answers."""
    seed: Annotated[int, at_least(0)] = 1
    """Seed of the tasks."""
    out: Path = RESULTS / "task_levels.json"
    """Result file."""


def levels(config: LevelsConfig) -> None:
    """Measure, print and write."""
    reasoner = clevr.load(config.model)
    results: dict[str, dict[str, Any]] = {}
    for kind in KINDS:
        for level in LEVELS:
            began = time.perf_counter()
            series = make(kind, seed=config.seed, difficulty=level, size=config.items, **SIZE)
            items = series.batch(range(config.items), draw=False)
            making = (time.perf_counter() - began) / config.items
            row = {"guessing": _row(guess(items)), "milliseconds_without_image": 1000 * making}
            if kind != "referring":
                row[config.model] = _row(answers_of(reasoner, items))
            results.setdefault(kind, {})[str(level)] = row
            print(kind, level, row, flush=True)
    write_result(config.out, config=config, seed=config.seed, results=results)


def _row(scores: Sequence[float]) -> dict[str, float]:
    mean, interval = mean_and_interval(scores)
    return {"mean": mean, "interval": interval, "count": len(scores)}


def guess(items: Sequence[Item]) -> list[float]:
    """Scores of the answer that is most common in the other half."""
    half = len(items) // 2
    parts = items[:half], items[half:]
    guesses = [_common(part) for part in parts[::-1]]
    return [item.verify(answer) for part, answer in zip(parts, guesses, strict=True) for item in part]


def _common(items: Sequence[Item]) -> str:
    if items[0].answer_type != "box":
        return Counter(item.answer for item in items).most_common(1)[0][0]
    boxes = [[float(side) for side in re.findall(r"\d+", item.answer)] for item in items]
    return box_text([round(float(side)) for side in np.mean(boxes, axis=0)])


def answers_of(reasoner: Reasoner, items: Sequence[Item]) -> list[float]:
    """Scores of a model's answers."""
    scores: list[float] = []
    for start in range(0, len(items), 50):
        part = items[start : start + 50]
        draw_images(part)
        if part[0].task == "matching":
            scores += _matched(reasoner, part)
        else:
            chosen = _logits(reasoner, [item.images[0] for item in part], [item.prompt for item in part]).argmax(1)
            scores += [item.verify(ANSWER_WORDS[k]) for item, k in zip(part, chosen.tolist(), strict=True)]
    return scores


def _matched(reasoner: Reasoner, items: Sequence[Item]) -> list[float]:
    asked = [as_question(item.prompt) for item in items]
    images = [item.images[place] for item in items for place in (0, 1)]
    texts = [text for text, _ in asked for _ in (0, 1)]
    shares = _logits(reasoner, images, texts).log_softmax(1).view(len(items), 2, -1)
    places = torch.tensor([ANSWER_WORDS.index(answer) for _, answer in asked])
    chosen = shares[torch.arange(len(items)), :, places].argmax(1).tolist()
    return [item.verify(("first", "second")[place]) for item, place in zip(items, chosen, strict=True)]


def as_question(prompt: str) -> tuple[str, str]:
    """The sentence of a prompt of ``matching`` as a question of CLEVR, with the answer by which it is true."""
    sentence = prompt.split("true? ")[1].removesuffix(" Answer first or second.").removesuffix(".")
    if number := re.fullmatch(r"The number of (.*) is (\d+)", sentence):
        return f"What number of {number[1]} are there?", number[2]
    if many := re.fullmatch(r"There are as many (.*)", sentence):
        some, _, more = many[1].partition(" as ")
        return f"Are there the same number of {some} and {more}?", "yes"
    start, verb, rest = sentence.partition(" is " if sentence.startswith("There is") else " are ")
    return f"{verb.strip().capitalize()} {start.lower()} {rest}?", "yes"


@torch.no_grad()
def _logits(reasoner: Reasoner, images: Sequence[Tensor], texts: Sequence[str]) -> Tensor:
    """Logits ``(B, 28)`` of one question about each image."""
    size = reasoner.config.width, reasoner.config.height
    fitted = [fit_image(Image.fromarray(image.permute(1, 2, 0).numpy()), *size) for image in images]
    tree = build_prefix_tree([reasoner.vocabulary.encode(text) for text in texts])
    batch = QuestionBatch(torch.from_numpy(np.stack(fitted)), torch.arange(len(images)), tree)
    return answer_logits(reasoner, batch).float()


COMMANDS = [
    Command(
        "verify",
        VerifyConfig,
        "benchmarks.clevr_tasks:verify",
        "Compare many answers with a slow executor, and try to cheat the verifier.",
        ("python -m benchmarks.clevr_tasks verify", "python -m benchmarks.clevr_tasks verify --minutes 10"),
    ),
    Command(
        "levels",
        LevelsConfig,
        "benchmarks.clevr_tasks:levels",
        "The accuracy of a model and of guessing by kind and level.",
        ("python -m benchmarks.clevr_tasks levels",),
    ),
]

if __name__ == "__main__":
    sys.exit(main("python -m benchmarks.clevr_tasks", COMMANDS))
