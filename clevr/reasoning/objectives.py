"""The objectives that the training loop minimises: of the trunk alone, then of the network, each with further heads.

Answers alone teach slowly: one is a few bits about an image of ten objects. Where scenes and programs are at hand, as
for every generated world, the trunk can learn from what lies where, the blocks from which objects a question is about,
hop by hop, and the question's code from its program. The heads are thrown away after training; the network that answers
is the same with or without.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from clevr.data.supervision import ATTRIBUTES, COLUMN, GROUND, KINDS, ROW
from clevr.questions.actions import FUNCTIONS
from clevr.questions.batch import QuestionBatch
from clevr.questions.program_encoding import MAX_HOPS, field_sizes
from clevr.reasoning.exchanged_colors import exchanged_loss, with_exchanged_colors
from clevr.reasoning.hop_reasoner import HopReasoner
from clevr.reasoning.membership import is_object, membership_loss
from clevr.reasoning.network import FiLMReasoner, Reasoner
from clevr.reasoning.trunk import ObjectPositions
from clevr.world.spec import CLEVR, WorldSpec
from fewshot_film.errors import InvalidValueError

PLACE_WEIGHT = 2.0
"""Of the distance on the ground, in the scene's units, against the cross-entropies. Things stand 0.4 apart or more."""

READ_EVERY = 4
"""A hop reasoner's reader learns from every so many questions of a batch. It needs far fewer than the reasoning."""


def cells(scenes: Tensor, height: int, width: int) -> tuple[Tensor, Tensor]:
    """Where the objects' centres lie on a grid.

    Args:
        scenes: what lies where, ``(P, 10, 8)``.
        height: rows of the grid.
        width: columns of the grid.

    Returns:
        ``row * width + column`` of every object, ``(P, 10)``, and whether it is an object within the grid.
    """
    column, row = (scenes[..., COLUMN] * width).floor().long(), (scenes[..., ROW] * height).floor().long()
    inside = is_object(scenes) & (column >= 0) & (column < width) & (row >= 0) & (row < height)
    return torch.where(inside, row * width + column, 0), inside


class SceneHead(nn.Module):
    """Reads off the trunk's maps whether an object has its centre at a position, and its attributes.

    Args:
        maps: maps of the trunk.
        world: whose attributes there are.
        colors: how many of the maps, the last ones, tell colours, which are read off them alone, and no other attribute
            is; 0: all tell all.
    """

    def __init__(self, maps: int, world: WorldSpec = CLEVR, colors: int = 0) -> None:
        super().__init__()
        self.colors = colors
        self.sizes = [len(world.values[name]) for name in ATTRIBUTES if not (colors and name == "color")]
        self.presence = nn.Conv2d(maps, 1, 1)
        self.attributes = nn.Conv2d(maps - colors, sum(self.sizes), 1)
        self.color = nn.Conv2d(colors, len(world.values["color"]), 1) if colors else None

    def forward(
        self, maps: Tensor, scenes: Tensor, presence: Tensor | None = None, places: Tensor | None = None
    ) -> dict[str, Tensor]:
        """Losses per object, and how well it sees.

        Args:
            maps: the trunk's maps, ``(P, C, H, W)``.
            scenes: what lies where, ``(P, 10, 8)``, from :func:`describe_scenes`.
            presence: scores of the positions, ``(P, 1, H, W)``, of a model that has its own.
            places: where a model takes the object of each position to stand, ``(P, 2, H, W)``, in the scene's units.

        Returns:
            ``loss``, cross-entropies of presence, at all positions, and of objects' known attributes, and the distance
            of their places; ``accuracy``, the share of the objects that are found with all of these right.
        """
        cell, inside = cells(scenes, *maps.shape[2:])
        image, thing = inside.nonzero(as_tuple=True)
        where = (image, cell[image, thing])
        found = (self.presence(maps) if presence is None else presence).float().flatten(1)
        target = torch.zeros_like(found)
        target[where] = 1
        loss = F.binary_cross_entropy_with_logits(found, target, reduction="sum")
        right = found[where] > 0
        things = scenes[image, thing]
        for logits, kinds in zip(self.logits(rows_of(maps)[where]), things[:, KINDS].long().unbind(1), strict=True):
            loss = loss + F.cross_entropy(logits, kinds, reduction="sum", ignore_index=-1)
            right = right & ((logits.argmax(1) == kinds) | (kinds < 0))
        if places is not None:
            distance = (rows_of(places)[where].float() - things[:, GROUND]).abs()
            loss = loss + PLACE_WEIGHT * distance[distance.isfinite()].sum()
        count = max(len(image), 1)
        return {"loss": loss / count, "accuracy": right.sum() / count}

    def logits(self, rows: Tensor) -> list[Tensor]:
        """What the trunk's maps at some positions, ``(N, C)``, tell of each attribute, in the order of ATTRIBUTES."""
        known, colors = rows.tensor_split([rows.shape[1] - self.colors], dim=1)
        logits = list(_at_rows(self.attributes, known).split(self.sizes, dim=1))
        if self.color is not None:
            logits.insert(ATTRIBUTES.index("color"), _at_rows(self.color, colors))
        return logits


def rows_of(maps: Tensor) -> Tensor:
    """Maps ``(P, C, H, W)`` position by position, ``(P, H W, C)``."""
    return maps.permute(0, 2, 3, 1).flatten(1, 2)


def _at_rows(layer: nn.Conv2d, rows: Tensor) -> Tensor:
    """A 1x1 convolution at single positions, ``(N, C)``."""
    return F.linear(rows, layer.weight[:, :, 0, 0], layer.bias).float()


class TraceHead(nn.Module):
    """Reads off the blocks' maps which objects a question is about, hop by hop.

    The last block answers for the last hop, the one before it for the hop before, and so on; where there are twice as
    many blocks as hops, every second one.

    Args:
        maps: maps of the blocks.
        blocks: number of blocks.
    """

    def __init__(self, maps: int, blocks: int) -> None:
        super().__init__()
        self.hops = range(max(MAX_HOPS - blocks, 0), MAX_HOPS)
        self.blocks_a_hop = max(blocks // MAX_HOPS, 1)
        self.linears = nn.ModuleList(nn.Linear(maps, 2) for _ in self.hops)

    def forward(
        self,
        steps: Sequence[Tensor],
        scenes: Tensor,
        traces: Tensor,
        grid: tuple[int, int],
        kept: Tensor | None = None,
    ) -> Tensor:
        """The loss, a scalar: cross-entropy of 'one of them' at the centres of all objects, summed over the hops.

        Args:
            steps: the maps of every question after each block, ``(Q, C, H, W)``.
            scenes: what lies where in the image of every question, ``(Q, 10, 8)``.
            traces: ``(Q, 4, 2, 10)``: 1, 0, or -1 where that does not apply.
            grid: rows and columns of the trunk's maps.
            kept: which of their positions the blocks' maps are of, ``(Q, K)``; None: all.
        """
        place, inside = cells(scenes, *grid)
        if kept is not None:
            is_there = kept[:, None, :] == place[:, :, None]
            place, inside = is_there.byte().argmax(2), inside & is_there.any(2)
        question, thing = inside.nonzero(as_tuple=True)
        places = question * steps[-1].shape[2:].numel() + place[question, thing]
        targets = traces[question, :, :, thing]
        losses = list[Tensor]()
        answering = steps[:: -self.blocks_a_hop][: len(self.hops)][::-1]
        for hop, linear, maps in zip(self.hops, self.linears, answering, strict=True):
            rows = maps.permute(0, 2, 3, 1).flatten(0, 2)
            logits, target = linear(rows.index_select(0, places)).float(), targets[:, hop].float()
            each = F.binary_cross_entropy_with_logits(logits, target.clamp(min=0), reduction="none")
            applies = target >= 0
            losses.append((each * applies).sum() / applies.sum().clamp(min=1))
        return torch.stack(losses).sum()


class ProgramHead(nn.Module):
    """Reads off the code of a question what each of its hops follows and filters by, and what it asks.

    Args:
        code_dim: width of the codes.
        world: whose values the programs filter by.
    """

    def __init__(self, code_dim: int, world: WorldSpec = CLEVR) -> None:
        super().__init__()
        self.strands = 2 * MAX_HOPS
        self.sizes = [*(self.strands * values for values in field_sizes(world)), len(FUNCTIONS)]
        self.linear = nn.Linear(code_dim, sum(self.sizes))

    def forward(self, codes: Tensor, program_encodings: Tensor) -> Tensor:
        """The loss, a scalar: cross-entropies, the mean over hops and strands of each field, summed.

        Args:
            codes: codes of questions, ``(Q, code_dim)``.
            program_encodings: what they do, ``(Q, 41)``; -1: not known
                (:func:`clevr.data.supervision.mark_program_encoding`).
        """
        *fields, function = self.linear(codes).float().split(self.sizes, dim=1)
        targets = program_encodings.long()
        hops = targets[:, :-1].unflatten(1, (self.strands, -1))
        loss = F.cross_entropy(function, targets[:, -1], ignore_index=-1)
        for number, logits in enumerate(fields):
            by_kind = logits.unflatten(1, (self.strands, -1)).transpose(1, 2)
            loss = loss + F.cross_entropy(by_kind, hops[..., number], ignore_index=-1)
        return loss


class TrunkPretraining(nn.Module):
    """A network's trunk, which learns what lies where from scenes.

    Args:
        reasoner: the network; the rest of it does not take part.
    """

    def __init__(self, reasoner: Reasoner) -> None:
        super().__init__()
        self.trunk = reasoner.trunk
        self.objects = reasoner.objects
        self.scene_head = SceneHead(reasoner.config.maps, reasoner.world, reasoner.config.trunk_colors)

    def forward(self, batch: tuple[Tensor, Tensor]) -> dict[str, Tensor]:
        """Loss per object and share of the objects that are seen right.

        Args:
            batch: images ``(P, 3, H, W)`` and what lies where in them, ``(P, 10, 8)``.
        """
        images, scenes = batch
        maps = self.trunk(images).contiguous(memory_format=torch.channels_last)
        report: dict[str, Tensor] = self.scene_head(maps, scenes, *_guesses(self.objects, maps))
        return report


class ReasonerTraining(nn.Module):
    """A network that learns to answer, and the heads of the further losses.

    Args:
        reasoner: the network.
        scene_weight: weight of the trunk's own loss; 0: none.
        trace_weight: weight of the blocks' own loss; 0: none.
        program_weight: weight of the question encoder's own loss; 0: none.
        frozen: parts of the network that do not learn.
        precomputed: the batches hold what :meth:`Reasoner.encode_image` made of the images; trunk and positions
            are frozen.
    """

    def __init__(
        self,
        reasoner: Reasoner,
        scene_weight: float = 0.0,
        trace_weight: float = 0.0,
        program_weight: float = 0.0,
        frozen: Sequence[str] = (),
        *,
        precomputed: bool = False,
    ) -> None:
        super().__init__()
        self.precomputed = precomputed
        names = {*frozen, "trunk"} if precomputed else {*frozen}
        names |= {"objects"} if "trunk" in names and reasoner.objects is not None else set()
        self._frozen = [reasoner.get_submodule(name) for name in sorted(names)]
        for part in self._frozen:
            part.requires_grad_(False)
        self.reasoner = reasoner
        self.weights = {
            "scene_loss": scene_weight,
            "trace_loss": trace_weight,
            "program_loss": program_weight,
        }
        config = reasoner.config
        needs_scenes = scene_weight and not precomputed
        self.scene_head = SceneHead(config.maps, reasoner.world, config.trunk_colors) if needs_scenes else None
        needs_heads = isinstance(reasoner, FiLMReasoner)  # a hop reasoner has parts of its own that these losses teach
        self.trace_head = TraceHead(config.maps, config.blocks) if trace_weight and needs_heads else None
        self.program_head = ProgramHead(config.hidden_dim, reasoner.world) if program_weight and needs_heads else None

    def train(self, mode: bool = True) -> ReasonerTraining:
        """Training or evaluation mode; frozen parts stay in evaluation mode."""
        super().train(mode)
        for part in self._frozen:
            part.eval()
        return self

    def logits(self, batch: QuestionBatch) -> Tensor:
        """Logits of the answers, ``(Q, 28)``."""
        reasoner = self.reasoner
        maps = self._precomputed_features(batch) if self.precomputed else reasoner.encode_image(batch.images)
        return reasoner.answer(maps, batch.image, reasoner.read(batch.tree))

    def forward(self, batch: QuestionBatch) -> dict[str, Tensor]:
        """Loss and accuracy of one batch.

        Raises:
            ValueError: a question has no answer.
        """
        reasoner, answers, report = self.reasoner, answers_of(batch), dict[str, Tensor]()
        if self.precomputed:
            maps = self._precomputed_features(batch)
        else:
            maps = reasoner.trunk_features(batch.images)
            if self.scene_head is not None and batch.scenes is not None:
                report["scene_loss"] = self.scene_head(maps, batch.scenes, *_guesses(reasoner.objects, maps))["loss"]
            maps = maps if reasoner.objects is None else reasoner.objects(maps)
        if self.training and reasoner.config.trunk_colors and isinstance(reasoner, HopReasoner):
            maps, batch = with_exchanged_colors(reasoner, maps, batch)
        last, of_reasoning = (
            self._through_hops(batch, maps) if isinstance(reasoner, HopReasoner) else self._through_blocks(batch, maps)
        )
        logits = reasoner.classifier(last).float()
        report |= {"answer_loss": F.cross_entropy(logits, answers), **of_reasoning}
        weighted = [self.weights.get(name, 1.0) * part for name, part in report.items()]
        loss = torch.stack(weighted).sum()
        accuracy = (logits.argmax(1) == answers).float().mean()
        return {"loss": loss, "accuracy": accuracy, **report}

    def _through_blocks(self, batch: QuestionBatch, maps: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """The maps after the last block, and the losses on the way there."""
        reasoner, losses = self.reasoner, dict[str, Tensor]()
        assert isinstance(reasoner, FiLMReasoner)
        codes = reasoner.read(batch.tree)
        steps = reasoner.steps(maps, batch.image, reasoner.modulations(codes), codes)
        if self.trace_head is not None and batch.scenes is not None and batch.traces is not None:
            losses["trace_loss"] = self._trace_loss(self.trace_head, batch, maps, steps)
        if self.program_head is not None and batch.program_encodings is not None:
            losses["program_loss"] = self.program_head(codes, batch.program_encodings)
        return steps[-1], losses

    def _through_hops(self, batch: QuestionBatch, maps: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """The same of a hop reasoner, which is taught with the right hops, where the programs are known."""
        reasoner, losses = self.reasoner, dict[str, Tensor]()
        assert isinstance(reasoner, HopReasoner)
        if batch.sequences is None:
            hops = reasoner.read(batch.tree)
            return reasoner.reason(maps, batch.image, reasoner.modulations(hops), hops), losses
        right = batch.sequences[:, 0].tolist()
        if not all(sequence[0] for sequence in right):
            read = reasoner.questions.read(batch.tree)
            right = [sequence if sequence[0] else own for sequence, own in zip(right, read, strict=True)]
        hops = reasoner.hops(right)
        odds, last = reasoner.follow(maps, batch.image, reasoner.modulations(hops), hops)
        if self.weights["trace_loss"] and batch.scenes is not None and batch.members is not None:
            losses["trace_loss"] = membership_loss(odds, hops, maps, batch)
            if self.training and reasoner.config.trunk_colors:
                losses["trace_loss"] = losses["trace_loss"] + exchanged_loss(reasoner, hops, maps, batch)
        if self.weights["program_loss"]:
            losses["program_loss"] = reasoner.questions.loss(batch.tree, batch.sequences, READ_EVERY)
        return last, losses

    def _precomputed_features(self, batch: QuestionBatch) -> Tensor:
        maps = batch.images.to(next(self.reasoner.parameters()).dtype)
        return maps.contiguous(memory_format=torch.channels_last)

    def _trace_loss(self, head: TraceHead, batch: QuestionBatch, maps: Tensor, steps: Sequence[Tensor]) -> Tensor:
        assert batch.scenes is not None
        cells = self.reasoner.cells(maps)
        kept = None if cells is None else cells.index_select(0, batch.image)
        scenes, grid = batch.scenes.index_select(0, batch.image), self.reasoner.config.grid
        loss: Tensor = head(steps, scenes, batch.traces, grid, kept)
        return loss


def answers_of(batch: QuestionBatch) -> Tensor:
    """Answers of a batch.

    Raises:
        ValueError: the questions come without answers.
    """
    if batch.answers is None or bool((batch.answers < 0).any()):
        raise InvalidValueError(
            "some questions have no answer, so they cannot be used for training or evaluation; use another split"
        )
    return batch.answers


def _guesses(objects: ObjectPositions | None, maps: Tensor) -> tuple[Tensor, ...]:
    """Score of every position and place of its object, of a model that keeps some of them."""
    return () if objects is None else (objects.score(maps), objects.places(maps))
