"""Studies of the CLEVR reasoner: ablations, data efficiency, pixels against features, and a training's curves.

    python -m benchmarks.clevr_experiments ablations                                  # minutes per variant

The small size trains on a generated world in minutes per training; it shows which way a comparison points, not what a
long training reaches. The paper's size needs CLEVR, CoGenT or CLEVR-Humans and a GPU. Started again, a study continues
where it was stopped: a training whose model is there is not repeated; with `--extend true` neither is one whose numbers
are in the result file. `benchmarks.clevr_transfer` fine-tunes to CoGenT and CLEVR-Humans with the same sizes and
settings.
"""

from __future__ import annotations

import dataclasses
import json
import logging
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import yaml
from matplotlib.figure import Figure

from benchmarks.clevr_trainings import (
    QUESTIONS_PER_SCENE,
    ExperimentConfig,
    base_training,
    curve,
    data_root,
    result_file,
    supervision,
    tested,
    trained,
    with_shared_trunk,
    without_trunk_training,
    write,
)
from benchmarks.clevr_variants import AIDS, PUBLISHED_ABLATIONS, VARIANTS, Change, with_model
from clevr.answers.scores import Score
from clevr.commands.features import run as extract
from clevr.commands.train import check_used
from clevr.config.commands import FeaturesConfig
from clevr.config.features import ExtractorConfig
from clevr.config.model import ClevrDataConfig, ReasonerConfig, TrainConfig
from clevr.questions.programs import QUESTION_TYPES
from fewshot_film.errors import ConfigError
from fewshot_film.run.command import Command, main
from fewshot_film.run.figures import BLUE, GREEN, INK, ORANGE, PURPLE, VERMILION
from fewshot_film.run.results import earlier_results, paired_difference, write_result
from fewshot_film.run.settings import SHARE, Settings, at_least, plain

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class StudyConfig(ExperimentConfig):
    """An experiment that compares variants."""

    seeds: Annotated[int, at_least(1)] = 1
    """Trainings of every variant, from ``seed`` on. With two or more, the table has each variant's difference from the
    first one and its 95 % interval."""
    extend: bool = False
    """Keep what the result file already has of the same settings, and train only what it lacks: further seeds, further
    variants."""


def as_table(rows: Mapping[str, Mapping[str, Any]], heading: str, published: Mapping[str, float]) -> str:
    """Accuracies by type as a Markdown table, with the 95 % interval of the overall one, beside published ones.

    Args:
        rows: what :func:`tested` found, by the name of the row; with the difference from the first row, if any.
        heading: of the first column.
        published: overall accuracy in per cent, by the name of the row; may lack rows, or all. Where ours has a
            difference from the first row, theirs is beside it.
    """
    columns = ("overall", *QUESTION_TYPES)
    differ = any("difference" in row for row in rows.values())
    heads = [*(["published"] if published else []), *(["difference"] if differ else []), *columns]
    lines = [f"| {heading} | {' | '.join(heads)} |", f"| --- |{' ---: |' * len(heads)}"]
    base = published.get(next(iter(rows)))
    for name, row in rows.items():
        cells = [f"{published[name]:.1f}" if name in published else ""] if published else []
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

    Raises:
        ConfigError: a variant has settings that its training would ignore; nothing was trained.
    """
    for training, _ in variants.values():  # rather than hours later
        check_used(training)
    test = "test" if config.size == "small" else "val"  # CLEVR's test split has no answers
    found = _known(config, study) if config.extend else {}
    for name, (training, about) in variants.items():
        seeds = found.get(name, {}).get("seeds", {})
        for seed in range(config.seed, config.seed + config.seeds):
            if str(seed) not in seeds:
                run = _of_seed(with_shared_trunk(config, _or_the_base(config, training)), seed)
                scores = tested(config, trained(run), root, test, features=run.data.features)
                seeds[str(seed)] = {"accuracy": scores, "validation": curve(run)}
        found[name] = {**about, "supervision": supervision(training), "seeds": seeds}
        found[name] |= {"published": published[name]} if name in published else {}
        summary = summarised(found)
        path = write(config, f"clevr_{study}", {"tested_on": test, "variants": summary})
    rows = {name: row_of(variant) for name, variant in summary.items()}
    print(as_table(rows, study.replace("_", " "), published), f"\n{path}")


def row_of(summary: Mapping[str, Any]) -> dict[str, Any]:
    """What :func:`as_table` shows of a variant: its accuracies, and its difference from the first one, if any."""
    return {**summary["accuracy"], **({"difference": summary["difference"]} if "difference" in summary else {})}


_OF_ONE_CALL = ("seeds", "extend", "only", "shares", "root", "runs", "out", "device")
"""Settings that may differ between two calls that fill one result file."""


def _known(config: StudyConfig, study: str) -> dict[str, Any]:
    """The variants that the result file has."""
    decisive = [name for name in plain(config) if name not in _OF_ONE_CALL]
    results = earlier_results(result_file(config, f"clevr_{study}"), config, decisive)
    variants: dict[str, Any] = results.get("variants", {})
    return variants


def summarised(found: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """Variants with their mean scores over the seeds, and their differences from the first one over the seeds of both.

    Args:
        found: by variant: ``seeds``, the accuracies by seed, and whatever else the result file says.
    """
    rows: dict[str, dict[str, Any]] = {}
    first: Mapping[str, Any] = next(iter(found.values()))["seeds"]
    for name, row in found.items():
        seeds = row["seeds"]
        overall = {seed: entry["accuracy"]["overall"]["accuracy"] for seed, entry in seeds.items()}
        rows[name] = {key: value for key, value in row.items() if key != "difference"}
        rows[name] |= {"accuracy": mean_score([entry["accuracy"] for entry in seeds.values()])}
        rows[name] |= {"accuracies": list(overall.values())}
        shared = [seed for seed in overall if seed in first]
        if seeds is not first and len(shared) > 1:
            others = [first[seed]["accuracy"]["overall"]["accuracy"] for seed in shared]
            mean, interval = paired_difference([overall[seed] for seed in shared], others)
            rows[name]["difference"] = {"mean": mean, "interval": interval}
    return rows


def _or_the_base(config: StudyConfig, training: TrainConfig) -> TrainConfig:
    """The training, in the run that all studies of this size share if it is the one that they have in common."""
    base = base_training(config, f"{config.label}-base", training.data.root)
    return base if dataclasses.replace(training, out=base.out) == base else training


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


# ablations: what each part of the network is worth, and how many blocks it needs; aids: what each thing is worth that
# the small size has and the paper has not


@dataclass(frozen=True)
class VariantsConfig(StudyConfig):
    """Size, data, and which variants."""

    only: tuple[str, ...] = ()
    """Variants to train; empty: all."""


def ablations(config: VariantsConfig) -> None:
    """Train and test every variant of the network."""
    changes = {name: with_model(**settings) for name, settings in VARIANTS.items()}
    about = {name: {"model": settings} for name, settings in VARIANTS.items()}
    _compare_changed(config, "ablations", changes, about, PUBLISHED_ABLATIONS)


def aids(config: VariantsConfig) -> None:
    """Train and test without each of the aids, and without all of them."""
    _compare_changed(config, "aids", AIDS, {}, {})


def _compare_changed(
    config: VariantsConfig,
    study: str,
    changes: Mapping[str, Change],
    about: Mapping[str, Mapping[str, Any]],
    published: Mapping[str, float],
) -> None:
    names = chosen(list(changes), config.only)
    root = data_root(config)
    variants = {}
    for name in names:
        training = base_training(config, f"{config.label}-{study}/{name}", root)
        variants[name] = changes[name](training), about.get(name, {})
    compare(config, study, root, variants, published)


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
        images = images_in_batch(training.data, share, QUESTIONS_PER_SCENE if config.size == "small" else 10)
        data = dataclasses.replace(training.data, fraction=share, images=images)
        variants[f"{100 * share:g} %"] = dataclasses.replace(training, data=data), {"share": share}
    compare(config, "data_efficiency", root, variants, {"100 %": PUBLISHED_PIXELS})


def images_in_batch(data: ClevrDataConfig, share: float, questions: int) -> int:
    """How many images a batch needs for as many questions as it has where all questions are used.

    Args:
        data: images and questions of a batch with all of them.
        share: of the questions, drawn one by one.
        questions: of each image in the data set.
    """
    left = questions * share / (1 - (1 - share) ** questions)  # on average, of an image that has any left
    return round(data.images * min(data.questions, questions) / min(data.questions, left))


# pixels against features: the same network from raw pixels, and from features of one that was trained on ImageNet


@dataclass(frozen=True)
class PixelsFeaturesConfig(StudyConfig):
    """Size, data, and what makes the features."""

    extractor: ExtractorConfig = field(
        default_factory=lambda: ExtractorConfig("efficientnet-lite0", "stage5", size=112)
    )
    """At the small size, whose weights are installed; the paper's is conv4 of a ResNet-101 at 224 pixels, with its
    weights from here if they are a file."""


def pixels_features(config: PixelsFeaturesConfig) -> None:
    """Make the features as ``clevr-film features`` does, train and test both.

    They are conv4 of a ResNet-101 at the paper's size, a stage of EfficientNet-Lite0 of as many positions as the
    network from pixels has at the small one. torchvision downloads the weights of the first; without network access,
    pass a file as ``--extractor.weights``.
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
        without_trunk_training(pixels),
        out=config.runs / f"{config.label}-pixels-features" / "features",
        model=model,
        data=dataclasses.replace(pixels.data, features=str(features)),
    )


# the curves of a finished training


@dataclass(frozen=True)
class CurvesConfig(Settings):
    """Whose curves to keep."""

    run: Path = Path("runs/clevr/small")
    """Folder of a finished ``clevr-film train``."""
    out: Path = Path("benchmarks/results/clevr_small_training.json")
    """Result file."""
    figure: Path | None = None
    """PNG file for the validation accuracies against the steps."""


def curves(config: CurvesConfig) -> None:
    """Keep settings, times and curves of a training, of both parts if its trunk was trained beforehand."""
    settings = yaml.safe_load((config.run / "config.yaml").read_text(encoding="utf-8"))
    parts = {"trunk_pretraining": config.run / "trunk_pretraining", "answering": config.run}
    results = {name: _part(folder) for name, folder in parts.items() if folder.is_dir()}
    write_result(config.out, config=settings, seed=settings["loop"]["seed"], results=results)
    for name, part in results.items():
        print(f"{name}: {part['steps']:,} steps, {part['seconds'] / 60:.0f} minutes, best {part['best']}")
    if config.figure is not None:
        accuracies_figure(results["answering"]["validation"]).savefig(config.figure)
        print(config.figure)


def accuracies_figure(validations: Sequence[Mapping[str, Any]]) -> Figure:
    """Accuracy of the validation questions against the step, of all and by type.

    Args:
        validations: lines of ``metrics.jsonl``.
    """
    drawn = Figure(figsize=(7.2, 3.8), dpi=110, layout="constrained")
    axes = drawn.subplots()
    steps = [line["step"] / 1000 for line in validations]
    for name, color in zip(("accuracy", *QUESTION_TYPES), (INK, BLUE, ORANGE, GREEN, PURPLE, VERMILION), strict=True):
        heights = [100 * line[name] for line in validations]
        label = "all questions" if name == "accuracy" else name.replace("_", " ")
        axes.plot(steps, heights, color=color, label=label, linewidth=3 if name == "accuracy" else 1.3)
    axes.set_xlabel("steps, thousands")
    axes.set_ylabel("accuracy of the validation questions, %")
    axes.grid(alpha=0.3)
    axes.legend(fontsize=9)
    return drawn


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
        VariantsConfig,
        "What each part of the network is worth, and how many blocks it needs.",
        "",
        "--only [full,only-beta]",
        "--size paper --root CLEVR_v1.0",
    ),
    _command(
        "aids",
        VariantsConfig,
        "What each aid is worth that the small size has beside answers.",
        "",
        "--only [all,no-programs]",
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
        "Keep how a model was trained, with its curves.",
        "runs/clevr/small",
        positionals=("run",),
    ),
]

if __name__ == "__main__":
    sys.exit(main("python -m benchmarks.clevr_experiments", COMMANDS))
