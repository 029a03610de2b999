"""``clevr-film train``: the reasoning model, from questions and answers."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import cast

import torch

from clevr.commands.calibrate import training_familiarity
from clevr.commands.seeing import learn_to_see, look_once
from clevr.commands.unused import check_used
from clevr.config import AugmentationConfig, ClevrDataConfig, TrainConfig
from clevr.data.batches import (
    Changes,
    FreshQuestionBatches,
    ReasoningData,
    StoredQuestionBatches,
    TrainingBatches,
    in_order,
    load_reasoning_data,
    unknown_token,
)
from clevr.questions.programs import QUESTION_TYPES
from clevr.reasoning.loading import load, save_reasoner
from clevr.reasoning.network import FiLMReasoner
from clevr.reasoning.training import ReasonerTraining, answers_of
from fewshot_film.run.checkpoint import load_weights
from fewshot_film.run.command import is_first_process
from fewshot_film.run.device import to_device
from fewshot_film.run.loop import train
from fewshot_film.run.seeding import derived_seed

log = logging.getLogger(__name__)

MAY_DIFFER = ("out", "weights", "data.root", "data.cache", "data.features", "validation_questions")
"""Settings that a resumed run may change: where things lie, not what they are."""


def run(config: TrainConfig) -> None:
    """Train and write the model with the best validation accuracy.

    Raises:
        DataNotFoundError: a split is not there.
        ConfigError: settings that do not fit each other, or the model to start from.
    """
    check_used(config)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derived_seed(config.loop.seed, "weights"))
        reasoner = _reasoner(config)
        data = _read(config, reasoner)
        learn_to_see(config, reasoner, data)
        has_seen = config.seeing is not None
        if has_seen:
            data = {split: look_once(reasoner, part, config.out / f"seen-{split}.npz") for split, part in data.items()}
        module = ReasonerTraining(
            reasoner,
            config.scene_weight,
            config.trace_weight,
            config.program_weight,
            config.frozen,
            has_seen=has_seen,
        )
    result = train(
        module,
        _batches(config, data["train"], reasoner),
        config.loop,
        run_dir=config.out,
        validate=lambda trained: _validate(cast(ReasonerTraining, trained), data["val"], config.validation_questions),
        config=config,
        resume=config.resume,
        may_differ=MAY_DIFFER,
    )
    if result.best_checkpoint is not None:
        load_weights(module, result.best_checkpoint)
    if is_first_process():
        training = {
            "questions": len(data["train"]),
            "pictures": len(data["train"].table.images),
            "steps": result.step,
            "best_step": result.best_step,
            "validation_accuracy": result.best,
            "seconds": round(result.seconds, 1),
        }
        reasoner.familiarity = training_familiarity(config.data.root, config.data.train_split)
        extractor = getattr(data["train"].pictures, "settings", None)
        training |= {"extractor": extractor} if extractor else {}
        log.info("saved %s", save_reasoner(Path(config.out) / "model", reasoner, training, config))


def _read(config: TrainConfig, reasoner: FiLMReasoner) -> dict[str, ReasoningData]:
    data = {
        "train": _data(config.data, config.data.train_split, reasoner, with_scenes=_reads_scenes(config)),
        "val": _data(config.data, config.data.val_split, reasoner, with_scenes=config.seeing is not None),
    }
    for split, part in data.items():
        log.info("%s: %d questions about %d pictures", split, len(part), len(part.table.images))
    return data


def _reasoner(config: TrainConfig) -> FiLMReasoner:
    return load(config.weights, config.model) if config.weights else FiLMReasoner(config.model)


def _reads_scenes(config: TrainConfig) -> bool:
    weights = (config.scene_weight, config.trace_weight, config.program_weight)
    return config.data.fresh or config.seeing is not None or any(weights)


def _batches(config: TrainConfig, data: ReasoningData, reasoner: FiLMReasoner) -> TrainingBatches:
    changes = Changes(
        config.augmentation if config.seeing is None else AugmentationConfig(),
        config.unknown_words,
        unknown_token(reasoner.vocabulary),
    )
    if config.data.fresh:
        return FreshQuestionBatches(data, reasoner.vocabulary, config.data, config.loop.seed, changes)
    return StoredQuestionBatches(data, config.data, config.loop.seed, changes)


def _data(data: ClevrDataConfig, split: str, reasoner: FiLMReasoner, *, with_scenes: bool) -> ReasoningData:
    return load_reasoning_data(
        data.root,
        split,
        reasoner.config,
        reasoner.vocabulary,
        cache=data.cache,
        humans=data.humans,
        features=data.features,
        with_scenes=with_scenes,
        with_referents=with_scenes and split == data.train_split and not data.fresh,  # fresh questions bring theirs
    )


def _validate(module: ReasonerTraining, data: ReasoningData, limit: int) -> Mapping[str, float]:
    """Accuracy overall and by question type."""
    device = next(module.parameters()).device
    right: dict[str, list[float]] = {"accuracy": []}
    for numbers, batch in in_order(data, 200, limit):
        moved = to_device(batch, device)
        correct = (module.logits(moved).argmax(1) == answers_of(moved)).float().tolist()
        for kind, value in zip(data.table.type[numbers], correct, strict=True):
            right["accuracy"].append(value)
            if kind >= 0:
                right.setdefault(QUESTION_TYPES[kind].replace(" ", "_"), []).append(value)
    return {name: sum(values) / len(values) for name, values in right.items()}
