"""CoGenT: trained where cubes and cylinders have half of the colors each, tested where they have swapped them.

    python -m benchmarks.clevr_cogent
    python -m benchmarks.clevr_cogent --size paper --root CLEVR_CoGenT_v1.0

A network is trained on condition A and tested on A and B; then it is fine-tuned on more and more questions about
pictures of B that are not tested on, and tested on both again: what it gains on B, and what it forgets of A.
Published: Perez et al., "FiLM", AAAI 2018, figure 9; fine-tuned on 30,000 questions of valB, tested on its others.
"""

from __future__ import annotations

import dataclasses
import logging
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from benchmarks.clevr_experiments import (
    ExperimentConfig,
    as_table,
    base_training,
    curve,
    data_root,
    tested,
    trained,
    write,
)
from clevr.config import TrainConfig
from clevr.data.layout import images_name, questions_name, scenes_name
from clevr.data.reader import ClevrSplit
from clevr.data.writer import write_questions, write_scenes
from clevr.questions.question import Question
from clevr.world.scene import Scene
from fewshot_film.run.parsing import parse

Record = TypeVar("Record", Question, Scene)

PUBLISHED = {
    "trained on A, on A": 98.3,
    "trained on A, on B": 75.6,
    "fine-tuned on 100 %, on A": 80.8,
    "fine-tuned on 100 %, on B": 96.9,
}
"""Per cent."""

SPLITS = {"trainA": "A", "valA": "A", "valB": "B"}


@dataclass(frozen=True)
class CogentConfig(ExperimentConfig):
    """Size, data, and the fine-tuning."""

    shares: tuple[float, ...] = (0.1, 0.3, 1.0)
    """Shares of the fine-tuning questions."""
    tune_pictures: float = 0.2
    """Share of the pictures of valB that fine-tuning may use; the others are tested on. A fifth of CoGenT's valB is
    the paper's 30,000 questions."""
    tune_steps: int | None = None
    """Steps of each fine-tuning; null: a tenth of the training."""


def run(config: CogentConfig) -> None:
    """Train on A, test on both, fine-tune on B, test on both."""
    root = data_root(config, SPLITS)
    halves = divide(root, "valB", config.tune_pictures, config.runs / f"{config.size}-cogent" / "data")
    training = base_training(config, f"{config.size}-cogent/A", root)
    training = dataclasses.replace(
        training, data=dataclasses.replace(training.data, train_split="trainA", val_split="valA")
    )
    model = trained(training)
    rows = _both(config, "trained on A", model, root, halves)
    found: dict[str, Any] = {"validation": curve(training), "shares": {}}
    for share in config.shares:
        tuned = _fine_tuning(config, training, model, halves, share)
        name = f"fine-tuned on {100 * share:g} %"
        rows |= _both(config, name, trained(tuned), root, halves)
        found["shares"][name] = {"share": share, "validation": curve(tuned)}
        path = write(config, "clevr_cogent", {**found, "accuracy": rows, "published": PUBLISHED})
    print(as_table(rows, "CoGenT", PUBLISHED), f"\n{path}")


def _both(config: CogentConfig, name: str, model: Path, root: Path, halves: Path) -> dict[str, Any]:
    return {
        f"{name}, on A": tested(config, model, root, "valA"),
        f"{name}, on B": tested(config, model, halves, "rest"),
    }


def _fine_tuning(config: CogentConfig, training: TrainConfig, model: Path, halves: Path, share: float) -> TrainConfig:
    from clevr.reasoning.loading import load

    steps = config.tune_steps or max(1, training.loop.steps // 10)
    loop = dataclasses.replace(training.loop, steps=steps, validate_every=max(1, steps // 3), warmup_steps=0)
    return dataclasses.replace(
        training,
        out=config.runs / f"{config.size}-cogent" / f"B-{share:g}",
        weights=str(model),
        model=load(model).config,
        data=dataclasses.replace(
            training.data, root=halves, train_split="tune", val_split="rest", fraction=share, cache=None
        ),
        loop=loop,
    )


def divide(root: Path, split: str, share: float, out: Path) -> Path:
    """A data set whose splits ``tune`` and ``rest`` are the first pictures of a split and the others.

    Args:
        root: folder of the data set.
        split: what to divide.
        share: of the pictures, that go to ``tune``.
        out: folder to make; its pictures are links.
    """
    source = ClevrSplit.open(root, split)
    names = sorted(source.pictures)
    first = set(names[: max(1, round(share * len(names)))])
    for part, inside in (("tune", True), ("rest", False)):
        if (out / questions_name(part)).exists():
            continue
        images = out / images_name(part)
        images.parent.mkdir(parents=True, exist_ok=True)
        if not images.exists():
            images.symlink_to((root / str(source.files.images)).resolve(), target_is_directory=True)
        if source.files.scenes:
            write_scenes(out / scenes_name(part), _of(source.scenes(), first, inside), source.info())
        write_questions(out / questions_name(part), _of(source.questions(), first, inside), source.info())
    return out


def _of(records: Iterable[Record], names: set[str], inside: bool) -> Iterable[Record]:
    return (record for record in records if (record.image_filename in names) == inside)


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    run(parse("python -m benchmarks.clevr_cogent", CogentConfig, sys.argv[1:], description=__doc__ or ""))
