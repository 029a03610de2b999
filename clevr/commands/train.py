"""``clevr-film train``: the reasoning model, from questions and answers."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from clevr.config import ClevrDataConfig, TrainConfig
from clevr.data.batches import ReasoningData, answers_of, in_order, load_reasoning_data, unknown_token
from clevr.data.training_batches import Changes, FreshBatches, PictureBatches, TrainingBatches
from clevr.questions.programs import QUESTION_TYPES
from clevr.reasoning.loading import load, save_reasoner
from clevr.reasoning.network import FiLMReasoner, QuestionBatch
from clevr.reasoning.supervision import ReferentHead, SceneHead
from clevr.world.effects import Effects
from fewshot_film.run.checkpoint import load_weights
from fewshot_film.run.command import is_first_process
from fewshot_film.run.loop import train
from fewshot_film.run.machine import to_device
from fewshot_film.run.seeding import derived_seed

log = logging.getLogger(__name__)

MAY_DIFFER = ("out", "weights", "data.root", "data.cache", "data.features", "validation_questions")
"""Settings that a resumed run may change: where things lie, not what they are."""


class ReasonerTraining(nn.Module):
    """What the loop trains: the network, and the heads of the further losses.

    Args:
        reasoner: the network.
        scene_weight: weight of the trunk's own loss; 0: none.
        referent_weight: weight of the last block's own loss; 0: none.
        frozen: parts of the network that do not learn.
    """

    def __init__(
        self,
        reasoner: FiLMReasoner,
        scene_weight: float = 0.0,
        referent_weight: float = 0.0,
        frozen: Sequence[str] = (),
    ) -> None:
        super().__init__()
        self._frozen = [reasoner.get_submodule(name) for name in frozen]
        for part in self._frozen:
            part.requires_grad_(False)
        self.reasoner = reasoner
        self.scene_weight, self.referent_weight = scene_weight, referent_weight
        self.scene_head = SceneHead(reasoner.config.maps) if scene_weight else None
        self.referent_head = ReferentHead(reasoner.config.maps) if referent_weight else None

    def train(self, mode: bool = True) -> ReasonerTraining:
        """Training or evaluation mode; frozen parts stay in evaluation mode."""
        super().train(mode)
        for part in self._frozen:
            part.eval()
        return self

    def forward(self, batch: QuestionBatch) -> dict[str, Tensor]:
        """Loss and accuracy of one batch."""
        reasoner, answers = self.reasoner, answers_of(batch)
        maps = reasoner.see(batch.pictures)
        codes = reasoner.questions(batch.tree)
        last = reasoner.reason(maps, batch.picture, reasoner.modulations(codes), codes)
        logits = reasoner.classifier(last).float()
        report = {"answer_loss": F.cross_entropy(logits, answers)}
        loss = report["answer_loss"]
        if self.scene_head is not None and batch.scenes is not None:
            report["scene_loss"] = self.scene_head(maps, batch.scenes)
            loss = loss + self.scene_weight * report["scene_loss"]
        if self.referent_head is not None and batch.scenes is not None and batch.referents is not None:
            scenes = batch.scenes.index_select(0, batch.picture)
            report["referent_loss"] = self.referent_head(last, scenes, batch.referents)
            loss = loss + self.referent_weight * report["referent_loss"]
        accuracy = (logits.argmax(1) == answers).float().mean()
        return {"loss": loss, "accuracy": accuracy, **report}


def run(config: TrainConfig) -> None:
    """Train and write the model with the best validation accuracy.

    Raises:
        DataNotFoundError: a split is not there.
        ConfigError: settings that do not fit each other, or the model to start from.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derived_seed(config.loop.seed, "weights"))
        module = ReasonerTraining(_reasoner(config), config.scene_weight, config.referent_weight, config.frozen)
    reasoner = module.reasoner
    data = {
        "train": _data(config.data, config.data.train_split, reasoner, with_scenes=_reads_scenes(config)),
        "val": _data(config.data, config.data.val_split, reasoner, with_scenes=False),
    }
    for split, part in data.items():
        log.info("%s: %d questions about %d pictures", split, len(part), len(part.table.images))
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
        extractor = getattr(data["train"].pictures, "settings", None)
        training |= {"extractor": extractor} if extractor else {}
        log.info("saved %s", save_reasoner(Path(config.out) / "model", reasoner, training, config))


def _reasoner(config: TrainConfig) -> FiLMReasoner:
    return load(config.weights, config.model) if config.weights else FiLMReasoner(config.model)


def _reads_scenes(config: TrainConfig) -> bool:
    return config.data.fresh or config.scene_weight > 0 or config.referent_weight > 0


def _batches(config: TrainConfig, data: ReasoningData, reasoner: FiLMReasoner) -> PictureBatches:
    effects = config.effects
    changes = Changes(
        Effects(effects.gamma, effects.blur, effects.noise) if any(vars(effects).values()) else None,
        config.unknown_words,
        unknown_token(reasoner.vocabulary),
    )
    if config.data.fresh:
        return FreshBatches(data, reasoner.vocabulary, config.data, config.loop.seed, changes)
    return TrainingBatches(data, config.data, config.loop.seed, changes)


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
        with_referents=not data.fresh,  # fresh questions bring their own
    )


def _validate(module: ReasonerTraining, data: ReasoningData, limit: int) -> Mapping[str, float]:
    """Accuracy overall and by question type."""
    device = next(module.parameters()).device
    right: dict[str, list[float]] = {"accuracy": []}
    for numbers, batch in in_order(data, 200, limit):
        moved = to_device(batch, device)
        correct = (module.reasoner(moved).argmax(1) == answers_of(moved)).float().tolist()
        for kind, value in zip(data.table.type[numbers], correct, strict=True):
            right["accuracy"].append(value)
            if kind >= 0:
                right.setdefault(QUESTION_TYPES[kind].replace(" ", "_"), []).append(value)
    return {name: sum(values) / len(values) for name, values in right.items()}
