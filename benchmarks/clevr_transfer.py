"""The CLEVR reasoner fine-tuned to what it was not trained on: CoGenT's other colours, and questions in free English.

    python -m benchmarks.clevr_transfer cogent
    python -m benchmarks.clevr_transfer cogent --training configs/clevr/small-hues.yaml --root WORLD
    python -m benchmarks.clevr_transfer cogent --size paper --root CLEVR_CoGenT_v1.0
    python -m benchmarks.clevr_transfer composition --training configs/clevr/small-hues.yaml --root WORLD
    python -m benchmarks.clevr_transfer humans --root CLEVR_v1.0 --weights clevr-small

CoGenT: in condition A cubes and cylinders have half of the colours each, in B they have swapped them. A network is
trained on A and tested on A and B; then it is fine-tuned on more and more questions about images of B that are not
tested on, and tested on both again: what it gains on B, and what it forgets of A. A trunk that was pre-trained on
scenes stays as it is.

Composition: gamma and beta for the colours and shapes that the network trained on A has never seen together, put
together from those that it has (`clevr.analysis.composition`), on images of B. The network is that of ``cogent``, or
trained now.

CLEVR-Humans: questions that people asked about CLEVR's images, before and after fine-tuning. Before, words that the
model does not know are read as its unknown token. For fine-tuning its vocabulary is extended by the words that people
used in training, and only what reads the question learns; what sees stays as it is. The questions are looked for as
``CLEVR-Humans-train.json`` and ``CLEVR-Humans-val.json``; there is no generated substitute for them.
"""

from __future__ import annotations

import dataclasses
import sys
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, TypeVar

from benchmarks.clevr_experiments import as_table
from benchmarks.clevr_trainings import (
    ExperimentConfig,
    base_training,
    curve,
    data_root,
    supervision,
    tested,
    trained,
    without_trunk_training,
    write,
)
from clevr.config.model import ReasonerConfig, TrainConfig
from clevr.data.naming import images_name, questions_name, scenes_name
from clevr.data.reader import ClevrSplit
from clevr.data.writer import write_questions, write_scenes
from clevr.questions.question import Question
from clevr.questions.tokens import tokenize
from clevr.world.scene import Scene
from fewshot_film.errors import ConfigError
from fewshot_film.run.command import Command, main
from fewshot_film.run.settings import SHARE, above, at_least

Record = TypeVar("Record", Question, Scene)

# CoGenT

PUBLISHED_COGENT = {
    "trained on A, on A": 98.3,
    "trained on A, on B": 75.6,
    "fine-tuned on 100 %, on A": 80.8,
    "fine-tuned on 100 %, on B": 96.9,
}
"""Per cent: Perez et al., "FiLM", AAAI 2018, figure 9; fine-tuned on 30,000 questions of valB, tested on its others."""

SPLITS = {"trainA": "A", "valA": "A", "valB": "B"}


@dataclass(frozen=True)
class CogentConfig(ExperimentConfig):
    """Size, data, and the fine-tuning."""

    shares: Annotated[tuple[float, ...], SHARE] = (0.1, 0.3, 1.0)
    """Shares of the fine-tuning questions."""
    tune_images: Annotated[float, SHARE] = 0.2
    """Share of the images of valB that fine-tuning may use; the others are tested on. A fifth of CoGenT's valB is
    the paper's 30,000 questions."""
    tune_steps: Annotated[int | None, at_least(1)] = None
    """Steps of each fine-tuning; null: a tenth of the training."""
    tune_rate: Annotated[float, above(0)] = 1.0
    """Learning rate of the fine-tuning, as a share of the training's."""


def cogent(config: CogentConfig) -> None:
    """Train on A, test on both, fine-tune on B, test on both."""
    root = data_root(config, SPLITS)
    halves = divide(root, "valB", config.tune_images, config.runs / f"{config.label}-cogent" / "data")
    training = _on_a(config, root)
    model = trained(training)
    rows = _on_both(config, "trained on A", model, root, halves)
    found: dict[str, Any] = {"supervision": supervision(training), "validation": curve(training), "shares": {}}
    for share in config.shares:
        tuned = _tuning_to_b(config, training, model, halves, share)
        name = f"fine-tuned on {100 * share:g} %"
        rows |= _on_both(config, name, trained(tuned), root, halves)
        found["shares"][name] = {"share": share, "validation": curve(tuned)}
        path = write(config, "clevr_cogent", {**found, "accuracy": rows, "published": PUBLISHED_COGENT})
    print(as_table(rows, "CoGenT", PUBLISHED_COGENT), f"\n{path}")


def _on_a(config: ExperimentConfig, root: Path) -> TrainConfig:
    training = base_training(config, f"{config.label}-cogent/A", root)
    return dataclasses.replace(
        training, data=dataclasses.replace(training.data, train_split="trainA", val_split="valA")
    )


def _on_both(config: CogentConfig, name: str, model: Path, root: Path, halves: Path) -> dict[str, Any]:
    return {
        f"{name}, on A": tested(config, model, root, "valA"),
        f"{name}, on B": tested(config, model, halves, "rest"),
    }


def _tuning_to_b(config: CogentConfig, training: TrainConfig, model: Path, halves: Path, share: float) -> TrainConfig:
    from clevr.reasoning.loading import load

    steps = config.tune_steps or max(1, training.loop.steps // 10)
    loop = dataclasses.replace(
        training.loop,
        steps=steps,
        learning_rate=training.loop.learning_rate * config.tune_rate,
        validate_every=max(1, steps // 3),
        warmup_steps=0,
        cooldown_steps=min(training.loop.cooldown_steps, steps),
    )
    if training.has_fixed_trunk:
        training = dataclasses.replace(without_trunk_training(training), frozen=(*training.frozen, "trunk"))
    return dataclasses.replace(
        training,
        out=config.runs / f"{config.label}-cogent" / f"B-{share:g}",
        weights=str(model),
        model=load(model).config,
        data=dataclasses.replace(
            training.data, root=halves, train_split="tune", val_split="rest", fraction=share, cache=None
        ),
        loop=loop,
    )


def divide(root: Path, split: str, share: float, out: Path) -> Path:
    """A data set whose splits ``tune`` and ``rest`` are the first images of a split and the others.

    Args:
        root: folder of the data set.
        split: what to divide.
        share: of the images, that go to ``tune``.
        out: folder to make; its images are links.
    """
    source = ClevrSplit.open(root, split)
    names = sorted(source.images)
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


# zero-shot composition

PUBLISHED_COMPOSITION = {"asked": 71.5, "composed": 80.7}
"""Per cent of the third of CoGenT B's questions that could be put together: Perez et al., "FiLM", AAAI 2018, section
4.5."""


def composition(config: ExperimentConfig) -> None:
    """Ask a network trained on A about B, as it is and by gamma and beta put together from what it has seen.

    Raises:
        ConfigError: the network's training had all colours and shapes together, or its scenes are not found.
    """
    from clevr.analysis.composition import analyse
    from clevr.commands.analyse import subject_of
    from clevr.config.commands import AnalyseConfig

    root = data_root(config, SPLITS)
    training = _on_a(config, root)
    about = AnalyseConfig(
        model=str(trained(training)),
        data=root,
        out=config.runs,
        analyses=("composition",),
        split="valB",
        questions=config.questions or 20_000,
        device=config.device,
    )
    found = analyse(subject_of(about, ("composition",))).results
    if not found["training"].get("never seen"):
        raise ConfigError(
            f"{about.model} was trained on all colours and shapes together, or on scenes that are not there; give the "
            "folder of CoGenT's data, with its scenes, as --root"
        )
    results = {"supervision": supervision(training), **found, "published": PUBLISHED_COMPOSITION}
    path = write(config, "clevr_composition", results)
    for name, (asked, composed) in composition_rows(found).items():
        shares = (
            f"{100 * one['accuracy']:.1f} % of {one['count']:,} {way}"
            for way, one in (("asked", asked), ("composed", composed))
        )
        print(f"{name}: {', '.join(shares)}")
    print(path)


def composition_rows(found: Mapping[str, Any]) -> dict[str, tuple[Mapping[str, Any], Mapping[str, Any]]]:
    """Scores of the question itself and of the sum, by what is asked about what."""
    ways = found["ways"]
    rows = {}
    for name in ("never seen in training", "seen in training"):
        key = f"where there are, {name}"
        if key in ways["asked"]:
            rows[f"how many there are, {name}"] = ways["asked"][key], ways["composed"][key]
    for kind, name in (("not in CoGenT A", "never seen in training"), ("in CoGenT A", "seen in training")):
        if kind in found["other questions"]:
            both = found["other questions"][kind]
            rows[f"any question about one, {name}"] = both["asked"], both["composed"]
    return rows


# CLEVR-Humans

PUBLISHED_HUMANS = {"before, Humans": 56.6, "after, Humans": 75.9}
"""Per cent of the test split: Perez et al., "FiLM", AAAI 2018, section 4.4 and table 4."""


@dataclass(frozen=True)
class HumansConfig(ExperimentConfig):
    """Size, data, and the model to start from."""

    weights: str = "clevr-small"
    """Model trained on CLEVR: a saved folder, or the name of one that comes with the package."""
    features: str = ""
    """For a model that reads features: folder of the stores of train and val."""
    least: Annotated[int, at_least(1)] = 1
    """How often a word must occur in the training questions to be learned."""


def humans(config: HumansConfig) -> None:
    """Test, extend the vocabulary, fine-tune, test again; with CLEVR's own questions to see what is forgotten."""
    if config.root is None:
        raise ConfigError("CLEVR-Humans is about CLEVR's images: give the folder of CLEVR as --root")
    root = data_root(config)
    folder = config.runs / f"{config.label}-humans"
    words = new_words(ClevrSplit.open(root, "train", humans=True).table().texts, config.least)
    start, model = _extended(config.weights, words, folder / "start")
    training = _tuning_to_humans(config, root, folder, start, model)
    before = _with_clevr(config, "before", Path(config.weights), root)
    rows = {**before, **_with_clevr(config, "after", trained(training), root)}
    found = {"words": words, "accuracy": rows, "published": PUBLISHED_HUMANS, "validation": curve(training)}
    path = write(config, "clevr_humans", found)
    print(as_table(rows, "CLEVR-Humans", PUBLISHED_HUMANS), f"\n{path}")


def new_words(texts: Iterable[str], least: int) -> list[str]:
    """Words of some questions that occur often enough, as they are written and in small letters, sorted."""
    counts = Counter(word for text in texts for word in tokenize(text.lower()))
    return sorted(word for word, count in counts.items() if count >= least)


def _extended(weights: str, words: list[str], folder: Path) -> tuple[Path, ReasonerConfig]:
    """The model to start from, with the further words; and its settings."""
    from clevr.reasoning.loading import load, save_reasoner
    from clevr.reasoning.network import extend_vocabulary

    reasoner = extend_vocabulary(load(weights), words)
    if not folder.is_dir():
        save_reasoner(folder, reasoner, {"extended_from": weights}, TrainConfig(out=folder, model=reasoner.config))
    return folder, reasoner.config


def _tuning_to_humans(
    config: HumansConfig, root: Path, folder: Path, start: Path, model: ReasonerConfig
) -> TrainConfig:
    training = base_training(config, f"{config.label}-humans/tuned", root)
    steps = config.steps or 3000
    loop = dataclasses.replace(
        training.loop,
        steps=steps,
        learning_rate=3e-4,
        warmup_steps=0,
        validate_every=max(1, steps // 10),
        patience=None,
    )
    return dataclasses.replace(
        without_trunk_training(training),
        out=folder / "tuned",
        data=dataclasses.replace(training.data, humans=True, features=config.features),
        model=model,
        weights=str(start),
        frozen=("trunk", "blocks", "classifier"),
        trace_weight=0.0,
        program_weight=0.0,
        loop=loop,
    )


def _with_clevr(config: HumansConfig, name: str, model: Path, root: Path) -> dict[str, Any]:
    features = config.features
    return {
        f"{name}, Humans": tested(config, model, root, "val", humans=True, features=features),
        f"{name}, CLEVR": tested(config, model, root, "val", features=features),
    }


COMMANDS = [
    Command(
        name="cogent",
        config=CogentConfig,
        run="benchmarks.clevr_transfer:cogent",
        help="CoGenT: trained on condition A, tested on both, fine-tuned on B.",
        examples=(
            "python -m benchmarks.clevr_transfer cogent",
            "python -m benchmarks.clevr_transfer cogent --size paper --root CLEVR_CoGenT_v1.0",
        ),
    ),
    Command(
        name="composition",
        config=ExperimentConfig,
        run="benchmarks.clevr_transfer:composition",
        help="Zero-shot composition of gamma and beta, by a network trained on CoGenT A, on images of B.",
        examples=(
            "python -m benchmarks.clevr_transfer composition",
            "python -m benchmarks.clevr_transfer composition --size paper --root CLEVR_CoGenT_v1.0",
        ),
    ),
    Command(
        name="humans",
        config=HumansConfig,
        run="benchmarks.clevr_transfer:humans",
        help="CLEVR-Humans: questions in free English, before and after fine-tuning.",
        examples=(
            "python -m benchmarks.clevr_transfer humans --root CLEVR_v1.0 --weights clevr-small",
            "python -m benchmarks.clevr_transfer humans --size paper --root CLEVR_v1.0"
            " --weights runs/clevr/paper/model",
        ),
    ),
]

if __name__ == "__main__":
    sys.exit(main("python -m benchmarks.clevr_transfer", COMMANDS))
