"""CLEVR-Humans: questions in free English about CLEVR's pictures, before and after fine-tuning.

    python -m benchmarks.clevr_humans --root CLEVR_v1.0 --weights clevr-small
    python -m benchmarks.clevr_humans --size paper --root CLEVR_v1.0 --weights runs/clevr/paper/model

Before, words that the model does not know are read as its unknown token. For fine-tuning its vocabulary is extended by
the words that people used in training, and only what reads the question learns; what sees stays as it is.
The questions are looked for as ``CLEVR-Humans-train.json`` and ``CLEVR-Humans-val.json``; there is no generated
substitute for them. Published, on the test split: Perez et al., "FiLM", AAAI 2018, section 4.4 and table 4.
"""

from __future__ import annotations

import dataclasses
import logging
import sys
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

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
from clevr.config import ReasonerConfig, TrainConfig
from clevr.data.reader import ClevrSplit
from clevr.questions.tokens import tokenize
from fewshot_film.run.errors import ConfigError
from fewshot_film.run.parsing import parse

PUBLISHED = {"before, Humans": 56.6, "after, Humans": 75.9}
"""Per cent."""


@dataclass(frozen=True)
class HumansConfig(ExperimentConfig):
    """Size, data, and the model to start from."""

    weights: str = "clevr-small"
    """Model trained on CLEVR: a saved folder, or the name of one that comes with the package."""
    features: str = ""
    """For a model that reads features: folder of the stores of train and val."""
    least: int = 1
    """How often a word must occur in the training questions to be learned."""


def run(config: HumansConfig) -> None:
    """Test, extend the vocabulary, fine-tune, test again; with CLEVR's own questions to see what is forgotten."""
    if config.root is None:
        raise ConfigError("CLEVR-Humans is about CLEVR's pictures: give the folder of CLEVR as --root")
    root = data_root(config)
    folder = config.runs / f"{config.size}-humans"
    words = new_words(ClevrSplit.open(root, "train", humans=True).table().texts, config.least)
    start, model = _extended(config.weights, words, folder / "start")
    training = _fine_tuning(config, root, folder, start, model)
    before = _both(config, "before", Path(config.weights), root)
    rows = {**before, **_both(config, "after", trained(training), root)}
    found = {"words": words, "accuracy": rows, "published": PUBLISHED, "validation": curve(training)}
    path = write(config, "clevr_humans", found)
    print(as_table(rows, "CLEVR-Humans", PUBLISHED), f"\n{path}")


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


def _fine_tuning(config: HumansConfig, root: Path, folder: Path, start: Path, model: ReasonerConfig) -> TrainConfig:
    training = base_training(config, f"{config.size}-humans/tuned", root)
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
        training,
        out=folder / "tuned",
        data=dataclasses.replace(training.data, humans=True, features=config.features),
        model=model,
        weights=str(start),
        frozen=("trunk", "blocks", "classifier"),
        scene_weight=0.0,
        loop=loop,
    )


def _both(config: HumansConfig, name: str, model: Path, root: Path) -> dict[str, Any]:
    features = config.features
    return {
        f"{name}, Humans": tested(config, model, root, "val", humans=True, features=features),
        f"{name}, CLEVR": tested(config, model, root, "val", features=features),
    }


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    run(parse("python -m benchmarks.clevr_humans", HumansConfig, sys.argv[1:], description=__doc__ or ""))
