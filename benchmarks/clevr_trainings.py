"""Sizes, data, trainings and tests that the experiments with the CLEVR reasoner share.

The small size trains on a generated world in minutes per training: see ``configs/clevr/study.yaml``. Its trunk learns
to see from scene files first, once for all trainings of a study. The paper's size needs the paper's data and a GPU.
"""

from __future__ import annotations

import dataclasses
import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from clevr.answers.predict import predict
from clevr.answers.scores import evaluate
from clevr.commands.generate import run as generate
from clevr.commands.train import MAY_DIFFER
from clevr.commands.train import run as train
from clevr.config.commands import GenerateConfig
from clevr.config.model import AugmentationConfig, TrainConfig
from clevr.data.batches import load_reasoning_data
from clevr.reasoning.loading import load
from fewshot_film.errors import ConfigError, RunFolderError
from fewshot_film.run.checkpoint import differences
from fewshot_film.run.parsing import parse
from fewshot_film.run.results import write_result
from fewshot_film.run.run_folder import read_run
from fewshot_film.run.runtime import choose_device
from fewshot_film.run.settings import OnDevice, at_least, plain

log = logging.getLogger(__name__)

RESULTS = Path(__file__).resolve().parent / "results"
SIZES = {
    size: Path(__file__).resolve().parent.parent / "configs" / "clevr" / f"{name}.yaml"
    for size, name in (("small", "study"), ("paper", "film-pixels"))
}
"""Network and training of each size; the paper's are as published."""
SMALL_WORLD = Path(__file__).resolve().with_name("study-world.yaml")
"""What the generated scenes of the small size are made of."""
QUESTIONS_PER_SCENE = 20
"""Of the small size."""


@dataclass(frozen=True)
class ExperimentConfig(OnDevice):
    """What every experiment can be told."""

    size: Literal["small", "paper"] = "small"
    """small: a generated world and a small network; paper: the paper's data, network and training."""
    training: Path | None = None
    """Settings of `clevr-film train` to use in place of those of the size, a YAML file; it needs a root."""
    root: Path | None = None
    """Data set in CLEVR's format; null, at the small size: generated under runs."""
    runs: Path = Path("runs/clevr-experiments")
    """Folder for the world, the trainings and their models."""
    out: Path | None = None
    """Result file; null: in benchmarks/results, by the names of experiment and size."""
    scenes: Annotated[int, at_least(1)] = 12_000
    """Training scenes to generate, and their questions."""
    test_scenes: Annotated[int, at_least(1)] = 1000
    """Scenes to generate for validation, and so many for each test."""
    steps: Annotated[int | None, at_least(1)] = None
    """Steps of each training on questions; null: those of its settings."""
    precision: Literal["32-true", "bf16-mixed"] | None = None
    """Arithmetic of each training; null: that of its settings. Processors without bfloat16 are much faster with
    32-true."""
    questions: Annotated[int | None, at_least(1)] = None
    """Questions to test on; null: all."""
    seed: Annotated[int, at_least(0)] = 0
    """Of weights and batches."""

    @property
    def label(self) -> str:
        """What runs and results are called by: the size, or the name of the training's file; and the precision."""
        name = self.size if self.training is None else self.training.stem
        return name if self.precision is None else f"{name}-{self.precision}"


def data_root(config: ExperimentConfig, splits: Mapping[str, str] | None = None) -> Path:
    """The data set: the given one, or a world made now.

    Args:
        config: where it is, or how large to make it.
        splits: the splits that are needed, by their CoGenT condition: ``none``, ``A`` or ``B``.
    Raises:
        ConfigError: the paper's size, or settings of one's own, without a data set.
        GenerateError: there is a world of another size under ``runs``.
    """
    if config.root is not None:
        return config.root
    if config.size == "paper":
        raise ConfigError("the paper's size needs the paper's data: give its folder as --root")
    if config.training is not None:
        raise ConfigError(f"{config.training} needs the images that it is for: give their folder as --root")
    root = config.runs / "world"
    model = base_training(config, "none", root).model
    for split, condition in (splits or {"train": "none", "val": "none", "test": "none"}).items():
        generate(
            GenerateConfig(
                out=root,
                split=split,
                scenes=config.scenes if split.startswith("train") else config.test_scenes,
                width=model.width,
                height=model.height,
                questions_per_scene=QUESTIONS_PER_SCENE,
                world=SMALL_WORLD,
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
    words = [f"--config={config.training or SIZES[config.size]}", f"--out={config.runs / name}", f"--data.root={root}"]
    words += [f"--loop.device={config.device}", f"--loop.seed={config.seed}"]
    words += ["--loop.num_workers=4"] if config.training is None and config.size == "paper" else []
    words += [] if config.steps is None else [f"--loop.steps={config.steps}"]
    training: TrainConfig = parse("clevr-film train", TrainConfig, words)
    return training if config.precision is None else _in_precision(training, config.precision)


def _in_precision(training: TrainConfig, precision: Literal["32-true", "bf16-mixed"]) -> TrainConfig:
    """Both parts of a training in another arithmetic."""
    trunk = training.trunk_pretraining
    if trunk is not None:
        trunk = dataclasses.replace(trunk, loop=dataclasses.replace(trunk.loop, precision=precision))
    loop = dataclasses.replace(training.loop, precision=precision)
    return dataclasses.replace(training, loop=loop, trunk_pretraining=trunk)


def with_shared_trunk(config: ExperimentConfig, training: TrainConfig) -> TrainConfig:
    """A training that takes over the trunk that all trainings of this size share, rather than pre-train one of its own.

    The trunk is trained now if it is not there, in the run ``trunk`` of this size: a training that ends with its first
    step on questions. What learns no trunk from scenes beforehand stays as it is.
    """
    if training.trunk_pretraining is None:
        return training
    first = base_training(config, f"{config.label}-trunk", training.data.root)
    loop = dataclasses.replace(first.loop, steps=1, warmup_steps=0, cooldown_steps=0, validate_every=1)
    model = trained(dataclasses.replace(first, loop=loop))
    return dataclasses.replace(without_trunk_training(training), trunk_weights=str(model))


def without_trunk_training(training: TrainConfig) -> TrainConfig:
    """A training without what its trunk would be or learn from: for a trunk that is there, or another one."""
    return dataclasses.replace(
        training, trunk_pretraining=None, trunk_weights="", scene_weight=0.0, augmentation=AugmentationConfig()
    )


def supervision(training: TrainConfig) -> str:
    """What a training learns from, for a sentence."""
    scenes = training.has_fixed_trunk or training.scene_weight or training.trace_weight
    programs = training.program_weight or training.trace_weight
    parts = ["answers", *(["scene files"] if scenes else []), *(["programs"] if programs else [])]
    return f"{', '.join(parts[:-1])} and {parts[-1]}" if len(parts) > 1 else "answers alone"


def trained(training: TrainConfig) -> Path:
    """The folder of the model; trained now, or further, if it is not there.

    Raises:
        RunFolderError: a model of other settings is there.
    """
    model = training.out / "model"
    if not model.is_dir():
        log.info("training %s", training.out)
        train(dataclasses.replace(training, resume=True))
        return model
    settings, _, _ = read_run(training.out)
    changed = differences(settings, plain(training), (*MAY_DIFFER, "trunk_weights"), step=training.loop.steps + 1)
    if changed:
        raise RunFolderError(
            f"{training.out} holds a model that was trained with other settings: {'; '.join(changed)}. "
            "Give other --runs, or remove it"
        )
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


def result_file(config: ExperimentConfig, name: str) -> Path:
    """Where the results of an experiment go."""
    return config.out or RESULTS / f"{name}_{config.label}.json"


def write(config: ExperimentConfig, name: str, results: Mapping[str, Any]) -> Path:
    """Write the result file; returns its path."""
    path = result_file(config, name)
    write_result(path, config=config, seed=config.seed, results=results)
    return path
