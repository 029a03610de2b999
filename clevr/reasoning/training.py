"""What the training loop trains: the trunk alone, then the network, each with the heads of its further losses."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from clevr.questions.batch import QuestionBatch
from clevr.reasoning.network import FiLMReasoner
from clevr.reasoning.positions import ObjectPositions
from clevr.reasoning.supervision import OutlineHead, ReferentHead, SceneHead
from fewshot_film.errors import InvalidValueError


class SeeingTraining(nn.Module):
    """A network's trunk, which learns what lies where from scenes.

    Args:
        reasoner: the network; the rest of it does not take part.
    """

    def __init__(self, reasoner: FiLMReasoner) -> None:
        super().__init__()
        self.trunk = reasoner.trunk
        self.objects = reasoner.objects
        self.scene_head = SceneHead(reasoner.config.maps)

    def forward(self, batch: tuple[Tensor, Tensor]) -> dict[str, Tensor]:
        """Loss per object and share of the objects that are seen right.

        Args:
            batch: pictures ``(P, 3, H, W)`` and what lies where in them, ``(P, 10, 8)``.
        """
        pictures, scenes = batch
        maps = self.trunk(pictures).contiguous(memory_format=torch.channels_last)
        report: dict[str, Tensor] = self.scene_head(maps, scenes, *_guesses(self.objects, maps))
        return report


class ReasonerTraining(nn.Module):
    """A network that learns to answer, and the heads of the further losses.

    Args:
        reasoner: the network.
        scene_weight: weight of the trunk's own loss; 0: none.
        referent_weight: weight of the blocks' own loss; 0: none.
        outline_weight: weight of the question encoder's own loss; 0: none.
        frozen: parts of the network that do not learn.
        has_seen: the batches hold what :meth:`FiLMReasoner.see` made of the pictures; trunk and positions are frozen.
    """

    def __init__(
        self,
        reasoner: FiLMReasoner,
        scene_weight: float = 0.0,
        referent_weight: float = 0.0,
        outline_weight: float = 0.0,
        frozen: Sequence[str] = (),
        *,
        has_seen: bool = False,
    ) -> None:
        super().__init__()
        self.has_seen = has_seen
        names = {*frozen, "trunk"} if has_seen else {*frozen}
        names |= {"objects"} if "trunk" in names and reasoner.objects is not None else set()
        self._frozen = [reasoner.get_submodule(name) for name in sorted(names)]
        for part in self._frozen:
            part.requires_grad_(False)
        self.reasoner = reasoner
        self.weights = {
            "scene_loss": scene_weight,
            "referent_loss": referent_weight,
            "outline_loss": outline_weight,
        }
        config = reasoner.config
        self.scene_head = SceneHead(config.maps) if scene_weight and not has_seen else None
        self.referent_head = ReferentHead(config.maps, config.blocks) if referent_weight else None
        self.outline_head = OutlineHead(config.hidden_dim) if outline_weight else None

    def train(self, mode: bool = True) -> ReasonerTraining:
        """Training or evaluation mode; frozen parts stay in evaluation mode."""
        super().train(mode)
        for part in self._frozen:
            part.eval()
        return self

    def logits(self, batch: QuestionBatch) -> Tensor:
        """Logits of the answers, ``(Q, 28)``."""
        reasoner = self.reasoner
        maps = self._as_seen(batch) if self.has_seen else reasoner.see(batch.pictures)
        return reasoner.answer(maps, batch.picture, reasoner.questions(batch.tree))

    def forward(self, batch: QuestionBatch) -> dict[str, Tensor]:
        """Loss and accuracy of one batch.

        Raises:
            ValueError: a question has no answer.
        """
        reasoner, answers, report = self.reasoner, answers_of(batch), dict[str, Tensor]()
        if self.has_seen:
            maps = self._as_seen(batch)
        else:
            maps = reasoner.look(batch.pictures)
            if self.scene_head is not None and batch.scenes is not None:
                report["scene_loss"] = self.scene_head(maps, batch.scenes, *_guesses(reasoner.objects, maps))["loss"]
            maps = maps if reasoner.objects is None else reasoner.objects(maps)
        codes = reasoner.questions(batch.tree)
        steps = reasoner.steps(maps, batch.picture, reasoner.modulations(codes), codes)
        logits = reasoner.classifier(steps[-1]).float()
        report["answer_loss"] = F.cross_entropy(logits, answers)
        if self.referent_head is not None and batch.scenes is not None and batch.referents is not None:
            report["referent_loss"] = self._referent_loss(self.referent_head, batch, maps, steps)
        if self.outline_head is not None and batch.outlines is not None:
            report["outline_loss"] = self.outline_head(codes, batch.outlines)
        weighted = [self.weights.get(name, 1.0) * part for name, part in report.items()]
        loss = torch.stack(weighted).sum()
        accuracy = (logits.argmax(1) == answers).float().mean()
        return {"loss": loss, "accuracy": accuracy, **report}

    def _as_seen(self, batch: QuestionBatch) -> Tensor:
        maps = batch.pictures.to(next(self.reasoner.parameters()).dtype)
        return maps.contiguous(memory_format=torch.channels_last)

    def _referent_loss(self, head: ReferentHead, batch: QuestionBatch, maps: Tensor, steps: Sequence[Tensor]) -> Tensor:
        assert batch.scenes is not None
        cells = self.reasoner.cells(maps)
        kept = None if cells is None else cells.index_select(0, batch.picture)
        scenes, grid = batch.scenes.index_select(0, batch.picture), self.reasoner.config.grid
        loss: Tensor = head(steps, scenes, batch.referents, grid, kept)
        return loss


def answers_of(batch: QuestionBatch) -> Tensor:
    """Answers of a batch.

    Raises:
        ValueError: the questions come without answers.
    """
    if batch.answers is None or bool((batch.answers < 0).any()):
        raise InvalidValueError(
            "some questions have no answer, so nothing can be learned or measured; use another split"
        )
    return batch.answers


def _guesses(objects: ObjectPositions | None, maps: Tensor) -> tuple[Tensor, ...]:
    """Score of every position and place of its object, of a model that keeps some of them."""
    return () if objects is None else (objects.score(maps), objects.places(maps))
