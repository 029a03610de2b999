"""Studies of the CLEVR reasoner: ablations, data efficiency, pixels against features, and a training's curves.

    python -m benchmarks.clevr_experiments ablations                                  # minutes per variant

The small size trains on a generated world in minutes per training; it shows which way a comparison points, not what a
long training reaches. The paper's size needs CLEVR, CoGenT or CLEVR-Humans and a GPU. Started again, a study continues
where it was stopped: a training whose model is there is not repeated. `benchmarks.clevr_transfer` fine-tunes to CoGenT
and CLEVR-Humans with the same sizes and settings.
"""

from __future__ import annotations

import dataclasses
import json
import logging
import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import yaml

from clevr.answers.predict import predict
from clevr.answers.scores import Score, evaluate
from clevr.commands.features import run as extract
from clevr.commands.generate import run as generate
from clevr.commands.train import run as train
from clevr.config.commands import FeaturesConfig, GenerateConfig
from clevr.config.features import ExtractorConfig
from clevr.config.model import ClevrDataConfig, ReasonerConfig, TrainConfig
from clevr.data.batches import load_reasoning_data
from clevr.questions.programs import QUESTION_TYPES
from clevr.reasoning.loading import load
from fewshot_film.errors import ConfigError
from fewshot_film.extras import optional
from fewshot_film.run.command import Command, main
from fewshot_film.run.parsing import parse
from fewshot_film.run.results import write_result
from fewshot_film.run.runtime import choose_device
from fewshot_film.run.settings import SHARE, LoopConfig, OnDevice, Settings, at_least

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
    scenes: Annotated[int, at_least(1)] = 4000
    """Training scenes to generate, ten questions each."""
    test_scenes: Annotated[int, at_least(1)] = 500
    """Scenes to generate for validation, and so many for each test."""
    steps: Annotated[int | None, at_least(1)] = None
    """Steps of each training; null: 3000 at the small size, at the paper's size its 80 passes."""
    questions: Annotated[int | None, at_least(1)] = None
    """Questions to test on; null: all."""
    scene_weight: Annotated[float, at_least(0)] = 0.3
    """At the small size: weight of the trunk's own loss, without which a short training learns to see little."""
    seed: Annotated[int, at_least(0)] = 0
    """Of weights and batches."""

    @property
    def label(self) -> str:
        """What runs and results are called by: the size, or the name of the training's file."""
        return self.size if self.training is None else self.training.stem


@dataclass(frozen=True)
class StudyConfig(ExperimentConfig):
    """An experiment that compares variants."""

    seeds: Annotated[int, at_least(1)] = 1
    """Trainings of every variant, from ``seed`` on. With two or more, the table has each variant's difference from the
    first one and its 95 % interval."""


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
    out = config.runs / name
    if config.training is not None:
        return _training_of(config.training, config, out, root)
    if config.size == "paper":
        return _training_of(PAPER, config, out, root, "--loop.num_workers=4")
    return _small_training(config, out, root)


def _training_of(file: Path, config: ExperimentConfig, out: Path, root: Path, *more: str) -> TrainConfig:
    words = [f"--config={file}", f"--out={out}", f"--data.root={root}"]
    words += [f"--loop.device={config.device}", f"--loop.seed={config.seed}", *more]
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
        precision="bf16-mixed",
        validate_every=max(1, steps // 6),
        device=config.device,
        seed=config.seed,
    )
    data = ClevrDataConfig(root=root)
    return TrainConfig(out=out, data=data, model=SMALL_MODEL, scene_weight=config.scene_weight, loop=loop)


def supervision(training: TrainConfig) -> str:
    """What a training learns from, for a sentence."""
    scenes = training.trunk_pretraining is not None or training.scene_weight or training.trace_weight
    programs = training.program_weight or training.trace_weight
    parts = ["answers", *(["scene files"] if scenes else []), *(["programs"] if programs else [])]
    return f"{', '.join(parts[:-1])} and {parts[-1]}" if len(parts) > 1 else "answers alone"


def trained(training: TrainConfig) -> Path:
    """The folder of the model; trained now, or further, if it is not there."""
    model = training.out / "model"
    if not model.is_dir():
        log.info("training %s", training.out)
        train(dataclasses.replace(training, resume=True))
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


def write(config: ExperimentConfig, name: str, results: Mapping[str, Any]) -> Path:
    """Write the result file; returns its path."""
    path = config.out or RESULTS / f"{name}_{config.label}.json"
    write_result(path, config=config, seed=config.seed, results=results)
    return path


def as_table(rows: Mapping[str, Mapping[str, Any]], heading: str, published: Mapping[str, float]) -> str:
    """Accuracies by type as a Markdown table, with the 95 % interval of the overall one, beside published ones.

    Args:
        rows: what :func:`tested` found, by the name of the row; with the :func:`difference` from the first row, if any.
        heading: of the first column.
        published: overall accuracy in per cent, by the name of the row; may lack rows. Where ours has a difference
            from the first row, theirs is beside it.
    """
    columns = ("overall", *QUESTION_TYPES)
    differ = any("difference" in row for row in rows.values())
    heads = ["published", *(["difference"] if differ else []), *columns]
    lines = [f"| {heading} | {' | '.join(heads)} |", f"| --- |{' ---: |' * len(heads)}"]
    base = published.get(next(iter(rows)))
    for name, row in rows.items():
        cells = [f"{published[name]:.1f}" if name in published else ""]
        if "difference" in row and base is not None and name in published:
            cells[0] += f" ({published[name] - base:+.1f})"
        cells += [_signed(row.get("difference"))] if differ else []
        cells += [_cell(row.get(column), column == "overall") for column in columns]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _signed(found: Mapping[str, float] | None) -> str:
    return f"{100 * found['mean']:+.1f} ± {100 * found['interval']:.1f}" if found else ""


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


def compare(
    config: StudyConfig,
    study: str,
    root: Path,
    variants: Mapping[str, tuple[TrainConfig, Mapping[str, Any]]],
    published: Mapping[str, float],
) -> None:
    """Train and test every variant; the result file grows with each.

    Args:
        config: size, device, number of questions, how many trainings each.
        study: what its variants are, and the name of the result file: ``ablations``.
        root: the data set.
        variants: by name: its training, and what the result file says of it.
        published: overall accuracy in per cent, by the name of the variant; may lack some.
    """
    test = "test" if config.size == "small" else "val"  # CLEVR's test split has no answers
    rows: dict[str, Any] = {}
    found: dict[str, Any] = {}
    for name, (training, about) in variants.items():
        runs = [_of_seed(training, seed) for seed in range(config.seed, config.seed + config.seeds)]
        scores = [tested(config, trained(run), root, test, features=run.data.features) for run in runs]
        rows[name] = mean_score(scores)
        found[name] = {**about, "accuracy": rows[name], "validation": curve(runs[0])}
        found[name]["supervision"] = supervision(training)
        found[name]["accuracies"] = [score["overall"]["accuracy"] for score in scores]
        if config.seeds > 1 and len(found) > 1:
            first = next(iter(found.values()))["accuracies"]
            rows[name]["difference"] = found[name]["difference"] = difference(found[name]["accuracies"], first)
        found[name] |= {"published": published[name]} if name in published else {}
        path = write(config, f"clevr_{study}", {"tested_on": test, "variants": found})
    print(as_table(rows, study.replace("_", " "), published), f"\n{path}")


def _of_seed(training: TrainConfig, seed: int) -> TrainConfig:
    loop = dataclasses.replace(training.loop, seed=seed)
    return dataclasses.replace(training, out=training.out / f"seed-{seed}", loop=loop)


def mean_score(scores: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Mean accuracy of several models on the same questions, overall and by type, with the interval of one model."""
    rows = {}
    for kind, first in scores[0].items():
        right = sum(score[kind]["right"] for score in scores) / len(scores)
        rows[kind] = Score(round(right), first["count"]).to_json()
    return rows


def difference(accuracies: Sequence[float], others: Sequence[float]) -> dict[str, float]:
    """Mean difference of trainings with the same seeds, and half its 95 % interval by Student's t."""
    quantile = optional("scipy.stats", extra="analysis", what="an interval over few seeds").t.ppf
    differences = np.asarray(accuracies) - np.asarray(others)
    count = len(differences)
    spread = float(differences.std(ddof=1)) / math.sqrt(count)
    return {"mean": float(differences.mean()), "interval": float(quantile(0.975, count - 1)) * spread}


# ablations: what each part of the network is worth, and how many blocks it needs

VARIANTS: dict[str, dict[str, Any]] = {
    "full": {},
    "only-beta": {"gamma": "one"},
    "only-gamma": {"beta": "zero"},
    "gamma-sigmoid": {"gamma": "sigmoid"},
    "gamma-tanh": {"gamma": "tanh"},
    "gamma-exp": {"gamma": "exp"},
    "film-after-relu": {"film_position": "relu"},
    "film-after-sum": {"film_position": "residual"},
    "film-after-conv": {"film_position": "conv"},
    "film-on-input": {"film_position": "input"},
    "film-in-3-blocks": {"film_blocks": 3},
    "film-in-2-blocks": {"film_blocks": 2},
    "film-in-1-block": {"film_blocks": 1},
    "1x1-no-coordinates": {"block_kernel": 1, "coordinates": False},
    "no-residual": {"residual": False},
    "no-coordinates": {"coordinates": False},
    "no-batchnorm": {"batch_norm": False},
    "1-block": {"blocks": 1},
    "2-blocks": {"blocks": 2},
    "3-blocks": {"blocks": 3},
    "5-blocks": {"blocks": 5},
    "6-blocks": {"blocks": 6},
    "zero-init": {"generator_init": "zero"},
    "concatenation": {"conditioning": "concatenation"},
    "no-question": {"conditioning": "none"},
}
"""Settings of the network that differ from the full one."""

PUBLISHED_ABLATIONS = {
    "full": 97.4,
    "only-beta": 95.9,
    "only-gamma": 96.9,
    "gamma-sigmoid": 95.9,
    "gamma-tanh": 96.3,
    "gamma-exp": 96.3,
    "film-after-relu": 97.7,
    "film-after-sum": 96.6,
    "film-after-conv": 97.1,
    "film-on-input": 95.0,
    "film-in-3-blocks": 96.8,
    "film-in-2-blocks": 96.5,
    "film-in-1-block": 97.3,
    "1x1-no-coordinates": 95.3,
    "no-residual": 94.0,
    "no-batchnorm": 93.7,
    "1-block": 93.5,
    "2-blocks": 97.1,
    "3-blocks": 96.7,
    "5-blocks": 97.4,
    "6-blocks": 97.7,
    "no-question": 21.4,
}
"""Per cent of CLEVR's validation set, where the paper has the variant: Perez et al., AAAI 2018, tables 2 and 3; from
features of a ResNet-101, the networks here from pixels."""


@dataclass(frozen=True)
class AblationsConfig(StudyConfig):
    """Size, data, and which variants."""

    only: tuple[str, ...] = ()
    """Variants to train; empty: all."""


def ablations(config: AblationsConfig) -> None:
    """Train and test every variant of the network."""
    names = chosen(list(VARIANTS), config.only)
    root = data_root(config)
    variants = {}
    for name in names:
        training = base_training(config, f"{config.label}-ablations/{name}", root)
        model = dataclasses.replace(training.model, **VARIANTS[name])
        variants[name] = dataclasses.replace(training, model=model), {"model": VARIANTS[name]}
    compare(config, "ablations", root, variants, PUBLISHED_ABLATIONS)


# data efficiency: how accuracy grows with the share of the training questions

PUBLISHED_PIXELS, PUBLISHED_FEATURES = 97.6, 97.7
"""Per cent of CLEVR's test set: Perez et al., "FiLM", AAAI 2018, table 1."""


@dataclass(frozen=True)
class DataEfficiencyConfig(StudyConfig):
    """Size, data, and which shares."""

    shares: Annotated[tuple[float, ...], SHARE] = (0.05, 0.1, 0.25, 0.5, 1.0)
    """Shares of the training questions."""


def data_efficiency(config: DataEfficiencyConfig) -> None:
    """Train and test with every share, for the same number of steps: a smaller share is seen more often."""
    root = data_root(config)
    variants = {}
    for share in config.shares:
        training = base_training(config, f"{config.label}-data-efficiency/{share:g}", root)
        data = dataclasses.replace(training.data, fraction=share)
        variants[f"{100 * share:g} %"] = dataclasses.replace(training, data=data), {"share": share}
    compare(config, "data_efficiency", root, variants, {"100 %": PUBLISHED_PIXELS})


# pixels against features: the same network from raw pixels, and from features of one that was trained on ImageNet


@dataclass(frozen=True)
class PixelsFeaturesConfig(StudyConfig):
    """Size, data, and what makes the features."""

    extractor: ExtractorConfig = field(default_factory=lambda: ExtractorConfig("resnet18", "layer2", size=112))
    """At the small size; the paper's is conv4 of a ResNet-101 at 224 pixels, with its weights from here if they are a
    file."""


def pixels_features(config: PixelsFeaturesConfig) -> None:
    """Make the features as ``clevr-film features`` does, train and test both.

    They are conv4 of a ResNet-101 at the paper's size, an earlier layer of a ResNet-18 at the small one. torchvision
    downloads the weights; without network access, pass a file as ``--extractor.weights``.
    """
    root = data_root(config)
    features = config.runs / f"{config.label}-features"
    extractor = _extractor(config)
    for split in dict.fromkeys(("train", "val", "test" if config.size == "small" else "val")):
        extract(FeaturesConfig(root, features / split, split, extractor, device=config.device))
    pixels = base_training(config, f"{config.label}-pixels-features/pixels", root)
    variants: dict[str, tuple[TrainConfig, Mapping[str, Any]]] = {
        "pixels": (pixels, {}),
        "features": (_from_features(config, pixels, features), {}),
    }
    compare(config, "pixels_features", root, variants, {"pixels": PUBLISHED_PIXELS, "features": PUBLISHED_FEATURES})


def _extractor(config: PixelsFeaturesConfig) -> ExtractorConfig:
    if config.size == "small":
        return config.extractor
    weights = config.extractor.weights
    return ExtractorConfig(weights=weights) if Path(weights).is_file() else ExtractorConfig()


def _from_features(config: PixelsFeaturesConfig, pixels: TrainConfig, features: Path) -> TrainConfig:
    """The training from pixels, with another trunk: one 3x3 convolution over maps and coordinates."""
    channels, height, width = json.loads((features / "val" / "index.json").read_text(encoding="utf-8"))["shape"]
    model: ReasonerConfig = dataclasses.replace(
        pixels.model,
        inputs="features",
        input_maps=channels,
        height=height,
        width=width,
        trunk_maps=(),
        trunk_kernel=3,
        trunk_stride=1,
    )
    return dataclasses.replace(
        pixels,
        out=config.runs / f"{config.label}-pixels-features" / "features",
        model=model,
        data=dataclasses.replace(pixels.data, features=str(features)),
        scene_weight=0.0,
    )


# the curves of a finished training


@dataclass(frozen=True)
class CurvesConfig(Settings):
    """Whose curves to keep."""

    run: Path = Path("runs/clevr/small")
    """Folder of a finished ``clevr-film train`` with ``trunk_pretraining``."""
    out: Path = Path("benchmarks/results/clevr_small_training.json")
    """Result file."""


def curves(config: CurvesConfig) -> None:
    """Keep settings, times and curves of both parts of a training."""
    settings = yaml.safe_load((config.run / "config.yaml").read_text(encoding="utf-8"))
    parts = {"trunk_pretraining": config.run / "trunk_pretraining", "answering": config.run}
    results = {name: _part(folder) for name, folder in parts.items()}
    write_result(config.out, config=settings, seed=settings["loop"]["seed"], results=results)
    for name, part in results.items():
        print(f"{name}: {part['steps']:,} steps, {part['seconds'] / 60:.0f} minutes, best {part['best']}")


def _part(folder: Path) -> dict[str, Any]:
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    validations = [line for line in lines if line["split"] == "validation"]
    starts = json.loads((folder / "environment.json").read_text(encoding="utf-8"))
    return {
        "steps": lines[-1]["step"],
        "seconds": lines[-1]["seconds"],
        "best": max(line["accuracy"] for line in validations),
        "commands": [start["command"] for start in starts],
        "validation": validations,
        "train": [line for line in lines if line["split"] == "train"],
    }


def _command(name: str, config: type, line: str, *examples: str, **settings: Any) -> Command:
    prog = f"python -m benchmarks.clevr_experiments {name}"
    run = f"benchmarks.clevr_experiments:{name.replace('-', '_')}"
    return Command(name, config, run, line, tuple(f"{prog} {rest}".strip() for rest in examples), **settings)


COMMANDS = [
    _command(
        "ablations",
        AblationsConfig,
        "What each part of the network is worth, and how many blocks it needs.",
        "",
        "--only [full,only-beta]",
        "--size paper --root CLEVR_v1.0",
    ),
    _command(
        "data-efficiency",
        DataEfficiencyConfig,
        "How accuracy grows with the share of the training questions.",
        "",
        "--size paper --root CLEVR_v1.0",
    ),
    _command(
        "pixels-features",
        PixelsFeaturesConfig,
        "The same network from raw pixels, and from features of a network that was trained on ImageNet.",
        "",
        "--size paper --root CLEVR_v1.0",
    ),
    _command(
        "curves",
        CurvesConfig,
        "Keep how clevr-small was trained: both parts, with their curves.",
        "runs/clevr/small",
        positionals=("run",),
    ),
]

if __name__ == "__main__":
    sys.exit(main("python -m benchmarks.clevr_experiments", COMMANDS))
