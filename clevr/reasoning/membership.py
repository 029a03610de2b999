"""Which objects belong to the set that a hop arrives at: where a model holds them, and the loss that teaches it."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from clevr.data.supervision import GROUND, SIZE
from clevr.questions.batch import QuestionBatch
from clevr.reasoning.hop_reasoner import Hops
from clevr.reasoning.trunk import places_of

SAME_OBJECT = 0.5
"""Distance on the ground, in the scene's units, up to which a position is taken to hold an object. Centres of objects
are 0.95 or more apart."""


def is_object(scenes: Tensor) -> Tensor:
    """Whether there is an object in each row of described scenes: ``(P, 10)`` of ``(P, 10, 8)``."""
    return scenes[..., SIZE] >= 0


def membership_loss(odds: Tensor, hops: Hops, maps: Tensor, batch: QuestionBatch) -> Tensor:
    """Cross-entropy of 'belongs to the set' at all positions of a hop, summed over them; the mean over hops.

    Args:
        odds: log-odds of the hops before the answers, ``(N - Q, K)``.
        hops: of the questions.
        maps: what the reasoner sees of the images, ``(P, C + 5, 1, K)``.
        batch: with scenes, and the members of the sets; a question without known hops does not count.
    """
    assert batch.scenes is not None
    assert batch.members is not None
    assert batch.sequences is not None
    question, place = hops.question[: len(odds)], hops.place[: len(odds)]
    known = batch.sequences[question, 0, 0] > 0
    question, place = question[known], place[known]
    held = held_objects(maps, batch.scenes)[batch.image[question]]
    return loss_of_sets(odds[known], batch.members[question, place], held)


def loss_of_sets(odds: Tensor, members: Tensor, held: Tensor) -> Tensor:
    """Cross-entropy of 'belongs to the set' at all positions of a set, summed over them; the mean over sets.

    Args:
        odds: log-odds, ``(N, K)``.
        members: which objects belong to each set, ``(N, 10)``.
        held: which position holds which object of the image of each set, ``(N, 10, K)``.
    """
    target = (members.float()[:, None] @ held.float())[:, 0]
    losses = F.binary_cross_entropy_with_logits(odds.float(), target, reduction="none")
    return losses.sum(1).mean() if len(losses) else odds.sum() * 0


def held_objects(maps: Tensor, scenes: Tensor) -> Tensor:
    """Which position holds which object: the one that takes its object to stand nearest to it.

    Args:
        maps: what the reasoner sees of the images, ``(P, C + 5, 1, K)``.
        scenes: what lies where in them, ``(P, 10, 8)``.

    Returns:
        ``(P, 10, K)``; False for an object that no position holds.
    """
    apart = torch.cdist(scenes[..., GROUND].float(), places_of(maps)[:, :, 0].float().transpose(1, 2))
    apart = apart.nan_to_num(torch.inf).masked_fill(maps[:, None, -5, 0] <= 0, torch.inf)
    near = (apart <= SAME_OBJECT) & is_object(scenes)[..., None]
    nearest = F.one_hot(apart.argmin(2), apart.shape[2]).bool()
    return near & nearest
