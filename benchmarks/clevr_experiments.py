"""What the CLEVR experiments share: two sizes, a generated world, training with a pause at any time, evaluation.

The small size trains on a generated world in minutes a training; it shows which way a comparison points, not what a
long training reaches. The paper's size needs CLEVR, CoGenT or CLEVR-Humans and a GPU. Started again, an experiment goes
on where it was stopped: a training whose model is there is not repeated.
"""

from __future__ import annotations

import dataclasses
import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from clevr.commands.generate import GenerateConfig
from clevr.commands.generate import run as generate
from clevr.config import ClevrDataConfig, ReasonerConfig, TrainConfig
from clevr.questions.programs import QUESTION_TYPES
from fewshot_film.run.config import LoopConfig
from fewshot_film.run.errors import ConfigError
from fewshot_film.run.parsing import parse

log = logging.getLogger(__name__)

RESULTS = Path(__file__).resolve().parent / "results"
PAPER = Path(__file__).resolve().parent.parent / "configs" / "clevr" / "film-pixels.yaml"
"""The paper's network and training."""
SMALL_MODEL = ReasonerConfig(
    width=64,
    height=48,
    trunk_maps=(32,),
    maps=32,
    word_dim=64,
    hidden_dim=128,
    classifier_maps=128,
    classifier_dim=128,
    generator_init="near_identity",
)


@dataclass(frozen=True)
class ExperimentConfig:
    """What every experiment can be told."""

    size: Literal["small", "paper"] = "small"
    """small: a generated world and a small network; paper: the paper's data, network and training."""
    root: Path | None = None
    """Data set in CLEVR's format; null, at the small size: generated under runs."""
    runs: Path = Path("runs/clevr-experiments")
    """Folder for the world, the trainings and their models."""
    out: Path | None = None
    """Result file; null: in benchmarks/results, by the names of experiment and size."""
    scenes: int = 4000
    """Training scenes to generate, ten questions each."""
    test_scenes: int = 500
    """Scenes to generate for validation, and so many for each test."""
    steps: int | None = None
    """Steps of each training; null: 3000 at the small size, at the paper's size its 80 passes."""
    questions: int | None = None
    """Questions to test on; null: all."""
    scene_weight: float = 0.3
    """At the small size: weight of the trunk's own loss, without which a short training learns to see little."""
    seed: int = 0
    """Of weights and batches."""
    device: str = "auto"
    """auto (an accelerator where there is one), cpu, cuda, or mps."""


def data_root(config: ExperimentConfig, splits: Mapping[str, str] | None = None) -> Path:
    """The data set: the given one, or a world made now.

    Args:
        config: where it is, or how large to make it.
        splits: the splits that are needed, by their CoGenT condition: ``none``, ``A`` or ``B``.
    Raises:
        ConfigError: the paper's size without a data set.
        GenerateError: there is a world of another size under ``runs``.
    """
    if config.root is not None:
        return config.root
    if config.size == "paper":
        raise ConfigError("the paper's size needs the paper's data: give its folder as --root")
    root = config.runs / "world"
    for split, condition in (splits or {"train": "none", "val": "none", "test": "none"}).items():
        generate(
            GenerateConfig(
                out=root,
                split=split,
                scenes=config.scenes if split.startswith("train") else config.test_scenes,
                width=SMALL_MODEL.width,
                height=SMALL_MODEL.height,
                condition=condition,  # type: ignore[arg-type]
            )
        )
    return root


def base_training(config: ExperimentConfig, name: str, root: Path) -> TrainConfig:
    """How a network is trained at the size that was asked for; an experiment changes what it is about.

    Args:
        config: size, steps, seed.
        name: of the training; its run lies under it.
        root: the data set.
    """
    return (_paper_training if config.size == "paper" else _small_training)(config, config.runs / name, root)


def _paper_training(config: ExperimentConfig, out: Path, root: Path) -> TrainConfig:
    words = [f"--config={PAPER}", f"--out={out}", f"--data.root={root}"]
    words += [f"--loop.device={config.device}", f"--loop.seed={config.seed}", "--loop.num_workers=4"]
    words += [] if config.steps is None else [f"--loop.steps={config.steps}"]
    training: TrainConfig = parse("clevr-film train", TrainConfig, words)
    return training


def _small_training(config: ExperimentConfig, out: Path, root: Path) -> TrainConfig:
    steps = config.steps or 3000
    loop = LoopConfig(
        steps=steps,
        optimizer="adamw",
        learning_rate=1e-3,
        weight_decay=1e-4,
        schedule="cosine",
        warmup_steps=min(200, steps // 10),
        clip_norm=5.0,
        validate_every=max(1, steps // 6),
        device=config.device,
        seed=config.seed,
    )
    data = ClevrDataConfig(root=root)
    return TrainConfig(out=out, data=data, model=SMALL_MODEL, scene_weight=config.scene_weight, loop=loop)


def trained(training: TrainConfig) -> Path:
    """The folder of the model; trained now, or further, if it is not there."""
    from clevr.commands.train import run

    model = training.out / "model"
    if not model.is_dir():
        log.info("training %s", training.out)
        run(dataclasses.replace(training, resume=True))
    return model


def tested(config: ExperimentConfig, model: Path, root: Path, split: str, **data: Any) -> dict[str, Any]:
    """Accuracy of a model on a split, overall and by type, with counts and intervals.

    Args:
        config: how many questions, on which device.
        model: folder of the model.
        root: the data set.
        split: what to test on.
        **data: further arguments of :func:`clevr.data.batches.load_reasoning_data`.
    """
    from clevr.answers.predict import predict
    from clevr.answers.scores import evaluate
    from clevr.data.batches import load_reasoning_data
    from clevr.reasoning.loading import load
    from fewshot_film.run.device import choose_device

    reasoner = load(model).to(choose_device(config.device))
    questions = load_reasoning_data(root, split, reasoner.config, reasoner.vocabulary, **data)
    found = predict(reasoner, questions, limit=config.questions)
    evaluation = evaluate(questions.table.select(found.numbers), found.answers)
    by_type = {name: score.to_json() for name, score in evaluation.by.get("type", {}).items()}
    return {"overall": evaluation.overall.to_json(), **by_type}


def curve(training: TrainConfig) -> list[dict[str, Any]]:
    """Step and accuracy of every validation of a training."""
    lines = (training.out / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    records = [json.loads(line) for line in lines]
    return [{"step": line["step"], "accuracy": line["accuracy"]} for line in records if line["split"] == "validation"]


def write(config: ExperimentConfig, name: str, results: Mapping[str, Any]) -> Path:
    """Write the result file; returns its path."""
    from fewshot_film.run.results import write_result

    path = config.out or RESULTS / f"{name}_{config.size}.json"
    write_result(path, config=config, seed=config.seed, results=results)
    return path


def as_table(rows: Mapping[str, Mapping[str, Any]], heading: str, published: Mapping[str, float]) -> str:
    """Accuracies by type as a Markdown table, with the 95 % interval of the overall one, beside published ones.

    Args:
        rows: what :func:`tested` found, by the name of the row.
        heading: of the first column.
        published: overall accuracy in per cent, by the name of the row; may lack rows.
    """
    columns = ("overall", *QUESTION_TYPES)
    lines = [f"| {heading} | published | {' | '.join(columns)} |", f"| --- |{' ---: |' * (len(columns) + 1)}"]
    for name, row in rows.items():
        cells = [f"{published[name]:.1f}" if name in published else ""]
        cells += [_cell(row.get(column), column == "overall") for column in columns]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _cell(score: Mapping[str, Any] | None, with_interval: bool) -> str:
    if score is None:
        return ""
    low, high = score["interval"]
    ends = f" ({100 * low:.1f} to {100 * high:.1f})" if with_interval else ""
    return f"{100 * score['accuracy']:.1f}{ends}"


def chosen(names: Sequence[str], only: Sequence[str]) -> list[str]:
    """The variants to run.

    Raises:
        ConfigError: a name is none of them.
    """
    unknown = [name for name in only if name not in names]
    if unknown:
        raise ConfigError(f"there is no variant {unknown[0]!r}; expected some of: {', '.join(names)}")
    return [name for name in names if not only or name in only]
