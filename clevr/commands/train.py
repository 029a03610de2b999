"""``clevr-film train``: the reasoning model, from questions and answers."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import cast

import torch

from clevr.answers.predict import check_world
from clevr.commands.calibrate import training_extractor, training_familiarity
from clevr.commands.trunk_pretraining import cache_trunk_features, pretrain_trunk, trunk_digest
from clevr.config.model import AugmentationConfig, ClevrDataConfig, ReasonerConfig, TrainConfig
from clevr.data.batches import (
    Changes,
    FreshQuestionBatches,
    ReasoningData,
    StoredQuestionBatches,
    TrainingBatches,
    cache_of,
    in_order,
    load_reasoning_data,
    unknown_token,
)
from clevr.data.reader import ClevrSplit
from clevr.questions.programs import QUESTION_TYPES
from clevr.reasoning.hop_reasoner import build_reasoner
from clevr.reasoning.loading import load, save_reasoner, take_trunk
from clevr.reasoning.network import Reasoner
from clevr.reasoning.objectives import ReasonerTraining, answers_of
from clevr.world.spec import CLEVR, WorldSpec
from clevr.world.world_file import WORLD_FILE, world_text
from fewshot_film.errors import ConfigError
from fewshot_film.run.checkpoint import load_weights
from fewshot_film.run.command import is_first_process
from fewshot_film.run.files import write_text_atomically
from fewshot_film.run.loop import TrainResult, train
from fewshot_film.run.runtime import to_device
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
        if is_first_process():
            _keep_world(config.out, reasoner.world)
        data = _read(config, reasoner)
        if config.has_fixed_trunk:
            data = _precompute(config, reasoner, data)
        module = ReasonerTraining(
            reasoner,
            config.scene_weight,
            config.trace_weight,
            config.program_weight,
            config.frozen,
            precomputed=config.has_fixed_trunk,
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
        _save(config, reasoner, data["train"], result)


def _precompute(config: TrainConfig, reasoner: Reasoner, data: dict[str, ReasoningData]) -> dict[str, ReasoningData]:
    """Train the trunk alone, or take one over; then put its features in the place of the images."""
    folder = config.out
    if config.trunk_weights:  # other trainings with the same trunk find its features there
        take_trunk(reasoner, config.trunk_weights)
        folder = (config.data.cache or cache_of(config.data.root)) / f"trunk-{trunk_digest(reasoner)}"
    pretrain_trunk(config, reasoner, data)
    return {split: cache_trunk_features(reasoner, part, folder / f"seen-{split}.npz") for split, part in data.items()}


def _save(config: TrainConfig, reasoner: Reasoner, data: ReasoningData, result: TrainResult) -> None:
    training = {
        "questions": len(data),
        "images": len(data.table.images),
        "steps": result.step,
        "best_step": result.best_step,
        "validation_accuracy": result.best,
        "seconds": round(result.seconds, 1),
    }
    training |= training_extractor(config)
    reasoner.familiarity = training_familiarity(config.data.root, config.data.train_split)
    log.info("saved %s", save_reasoner(Path(config.out) / "model", reasoner, training, config))


def _read(config: TrainConfig, reasoner: Reasoner) -> dict[str, ReasoningData]:
    data = {
        "train": _data(config.data, config.data.train_split, reasoner, with_scenes=_reads_scenes(config)),
        "val": _data(config.data, config.data.val_split, reasoner, with_scenes=config.trunk_pretraining is not None),
    }
    for split, part in data.items():
        check_world(part, reasoner)
        log.info("%s: %d questions about %d images", split, len(part), len(part.table.images))
    return data


def _reasoner(config: TrainConfig) -> Reasoner:
    if config.weights:
        return load(config.weights, config.model)
    return build_reasoner(config.model, ClevrSplit.open(config.data.root, config.data.train_split).world)


def _keep_world(run: Path, world: WorldSpec) -> None:
    """Write the world into the run folder, for ``clevr-film export``; a run without one is about CLEVR's."""
    if world != CLEVR:
        run.mkdir(parents=True, exist_ok=True)
        write_text_atomically(run / WORLD_FILE, world_text(world))


def _reads_scenes(config: TrainConfig) -> bool:
    weights = (config.scene_weight, config.trace_weight, config.program_weight)
    return config.data.fresh or config.trunk_pretraining is not None or any(weights)


def _batches(config: TrainConfig, data: ReasoningData, reasoner: Reasoner) -> TrainingBatches:
    changes = Changes(
        AugmentationConfig() if config.has_fixed_trunk else config.augmentation,
        config.unknown_words,
        unknown_token(reasoner.vocabulary),
    )
    if config.data.fresh:
        return FreshQuestionBatches(
            data, reasoner.vocabulary, config.data, config.loop.seed, changes, with_hops=reasoner.config.hop_by_hop
        )
    return StoredQuestionBatches(data, config.data, config.loop.seed, changes)


def _data(data: ClevrDataConfig, split: str, reasoner: Reasoner, *, with_scenes: bool) -> ReasoningData:
    return load_reasoning_data(
        data.root,
        split,
        reasoner.config,
        reasoner.vocabulary,
        cache=data.cache,
        humans=data.humans,
        features=data.features,
        with_scenes=with_scenes,
        with_traces=with_scenes and split == data.train_split and not data.fresh,  # fresh questions bring theirs
        visible_centers=data.centers == "visible",
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


def check_used(config: TrainConfig) -> None:
    """Refuse settings that would be ignored.

    Raises:
        ConfigError: names the first of them, why it would be ignored, and what to do.
    """
    for name, reason in (*_of_data(config), *_of_losses(config), *_of_network(config.model), *_of_parts(config)):
        raise ConfigError(f"{name} would be ignored: {reason}; leave it out")


def _of_data(config: TrainConfig) -> Iterator[tuple[str, str]]:
    data = config.data
    if data.features and config.model.inputs == "pixels":
        yield "data.features", "model.inputs is pixels"
    if data.fresh and data.humans:
        yield "data.humans", "data.fresh generates new questions in every epoch"
    if data.fresh and data.fraction < 1:
        yield "data.fraction", "data.fresh generates new questions about all scenes"
    if data.curriculum and data.humans:
        yield "data.curriculum", "questions of CLEVR-Humans have no families"


def _of_losses(config: TrainConfig) -> Iterator[tuple[str, str]]:
    if config.scene_weight and config.trunk_pretraining is not None:
        yield "scene_weight", "with trunk_pretraining, the trunk is pre-trained on scenes and then frozen"
    if config.trunk_weights:
        fixed = "trunk_weights gives a trunk that is frozen, and its features are computed once per image"
        for name, is_set in (
            ("scene_weight", config.scene_weight),
            ("augmentation", config.augmentation.changes_images),
            ("frozen: [trunk]", "trunk" in config.frozen),
        ):
            if is_set:
                yield name, fixed
    if config.scene_weight and "trunk" in config.frozen:
        yield "scene_weight", "it teaches the trunk, which is frozen"
    if config.trunk_pretraining is not None and "trunk" in config.frozen:
        yield "frozen: [trunk]", "trunk_pretraining trains the trunk"
    if config.trace_weight and config.data.humans:
        yield "trace_weight", "questions of CLEVR-Humans have no programs"
    if config.program_weight and config.data.humans:
        yield "program_weight", "questions of CLEVR-Humans have no programs"


def _of_network(model: ReasonerConfig) -> Iterator[tuple[str, str]]:
    default = ReasonerConfig()
    if model.conditioning != "film":
        for name in ("film_blocks", "film_position", "gamma", "beta", "generator_init"):
            if getattr(model, name) != getattr(default, name):
                yield f"model.{name}", f"model.conditioning is {model.conditioning}, so there is no FiLM"
    if model.hop_by_hop and model.question_code != default.question_code:
        yield "model.question_code", "model.hop_by_hop reads questions as programs"
    if model.question_heads != default.question_heads and model.question_code != "attention":
        yield "model.question_heads", f"model.question_code is {model.question_code}, not attention"


def _of_parts(config: TrainConfig) -> Iterator[tuple[str, str]]:
    if "generator" in config.frozen and not config.model.num_film_blocks:
        yield "frozen: [generator]", "the model has no FiLM (model.conditioning or model.film_blocks)"
