"""Objects with the colours of others: what a hop reasoner learns from them, where some colours and shapes never meet.

A trunk with a path for colours (``trunk_colors``) tells them in maps of their own, so that an object can be given those
of another one. What a question is about, and what fits a description, then follows from the scene with the colours
exchanged, and neither can come to be told by what happens to go with it.
"""

from __future__ import annotations

import dataclasses
from functools import lru_cache

import torch
from torch import Tensor

from clevr.data.supervision import ATTRIBUTES, COLOR, KINDS
from clevr.questions.actions import FIRST_FILTER, actions_about, filters_of
from clevr.questions.batch import QuestionBatch
from clevr.reasoning.hop_reasoner import HopReasoner, Hops
from clevr.reasoning.membership import held_objects, is_object, loss_of_sets
from clevr.world.spec import WorldSpec


def exchange_colors(maps: Tensor, scenes: Tensor, colors: slice) -> tuple[Tensor, Tensor]:
    """Images whose objects have the colours of those of the image before.

    Args:
        maps: what a reasoner sees of images, ``(P, C + 5, 1, K)``.
        scenes: what lies where in them, ``(P, 10, 8)``.
        colors: which of the maps tell colours.

    Returns:
        Both with exchanged colours. An object keeps its own where no position holds it, or its counterpart.
    """
    held = held_objects(maps, scenes)
    known = held.any(2)
    image, thing = (known & known.roll(1, 0)).nonzero(as_tuple=True)
    position = held.byte().argmax(2)
    rows = maps[:, colors, 0].transpose(1, 2)
    given = rows.gather(1, position[..., None].expand(-1, -1, rows.shape[2])).roll(1, 0)
    maps, changed = maps.clone(), scenes.clone()
    maps[:, colors, 0].transpose(1, 2)[image, position[image, thing]] = given[image, thing]
    changed[image, thing, COLOR] = scenes[..., COLOR].roll(1, 0)[image, thing]
    return maps, changed


def with_exchanged_colors(reasoner: HopReasoner, maps: Tensor, batch: QuestionBatch) -> tuple[Tensor, QuestionBatch]:
    """A batch whose questions that do not speak of colours are asked about images with exchanged ones.

    Args:
        reasoner: with ``trunk_colors``.
        maps: what it sees of the images, ``(P, C + 5, 1, K)``.
        batch: of questions, with scenes; those without known actions are asked about the images as they are.

    Returns:
        The maps, followed by those with exchanged colours, and the batch about them.
    """
    if batch.sequences is None or batch.scenes is None:
        return maps, batch
    config = reasoner.config
    exchanged, scenes = exchange_colors(maps, batch.scenes, slice(config.maps - config.trunk_colors, config.maps))
    actions = batch.sequences[:, 0]
    of_colors = torch.tensor(actions_about("color", reasoner.world), device=actions.device)
    as_they_are = torch.isin(actions, of_colors).any(1) | (actions[:, 0] == 0)
    image = torch.where(as_they_are, batch.image, batch.image + len(maps))
    changed = dataclasses.replace(batch, image=image, scenes=torch.cat((batch.scenes, scenes)))
    return torch.cat((maps, exchanged)), changed


def exchanged_loss(reasoner: HopReasoner, hops: Hops, maps: Tensor, batch: QuestionBatch) -> Tensor:
    """Cross-entropy of 'fits the description' for what questions begin with, about images with exchanged colours.

    Args:
        reasoner: learns.
        hops: of the questions.
        maps: from :func:`with_exchanged_colors`, ``(2 P, C + 5, 1, K)``.
        batch: from the same.

    Returns:
        A scalar: the sum over positions, the mean over all hops that read no others.
    """
    assert batch.scenes is not None
    half = len(maps) // 2
    exchanged, scenes = maps[half:], batch.scenes[half:]
    first = hops.level_sizes[0] if len(hops.level_sizes) > 1 else 0
    image = batch.image[hops.question[:first]] % half
    odds = reasoner.fitting(exchanged, image, hops.actions[:first])
    fits = _fits(scenes, image, hops.actions[:first], reasoner.world)
    return loss_of_sets(odds, fits, held_objects(exchanged, scenes)[image])


def _fits(scenes: Tensor, image: Tensor, actions: Tensor, world: WorldSpec) -> Tensor:
    """Which objects the filters among actions ``(N, A)`` leave of the scenes of some images ``(N,)``: ``(N, 10)``."""
    asked = _filters(world).to(actions.device)[actions]  # (N, A, 4), -1 where an action does not filter by an attribute
    wanted = asked.amax(1)[:, None]
    kinds = scenes[image][..., KINDS].long()
    return ((kinds == wanted) | (wanted < 0)).all(2) & is_object(scenes[image])


@lru_cache(maxsize=8)
def _filters(world: WorldSpec) -> Tensor:
    """Number of the value of each attribute that each action filters by, ``(actions, 4)``; -1: none."""
    filters = filters_of(world)
    table = torch.full((FIRST_FILTER + len(filters), len(ATTRIBUTES)), -1)
    for number, (attribute, value) in enumerate(filters, FIRST_FILTER):
        table[number, ATTRIBUTES.index(attribute)] = world.values[attribute].index(value)
    return table
