from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from clevr.reasoning.supervision import ATTRIBUTES, ReferentHead, SceneHead, cells, describe_scenes
from clevr.world.scene import Scene, SceneObject


def thing(column: float, row: float, color: str = "red") -> SceneObject:
    return SceneObject("cube", "small", color, "metal", (0, 0, 0), 0.0, (column, row, 9.0))


def scene(*things: SceneObject) -> Scene:
    return Scene(things, {}, {})


def test_places_are_shares_of_what_the_model_sees() -> None:
    """A picture of 12 x 8 of which a model sees the middle 12 x 6."""
    found = describe_scenes([scene(thing(6, 4), thing(0, 1))], (12, 8), 0.5)
    assert found.shape == (1, 10, 6)
    assert found[0, 0].tolist() == [0.5, 0.5, 0, 1, 1, 1]
    assert found[0, 1, :2].tolist() == [0.0, 0.0]
    assert (found[0, 2:] == -1).all()


def test_cells_of_a_grid() -> None:
    scenes = torch.from_numpy(describe_scenes([scene(thing(0, 0), thing(11.9, 7.9), thing(-1, 3))], (12, 8), 8 / 12))
    cell, inside = cells(scenes, 4, 6)
    assert cell[0, :2].tolist() == [0, 23]
    assert inside[0].tolist() == [True, True] + [False] * 8, "what lies outside the picture does not count"


def test_the_scene_loss_by_hand() -> None:
    """With weights of zero every attribute is a guess, and every position as likely as not to hold an object."""
    head = SceneHead(3)
    torch.nn.init.zeros_(head.conv.weight)
    torch.nn.init.zeros_(head.conv.bias)
    scenes = torch.from_numpy(describe_scenes([scene(thing(1, 1), thing(9, 5))], (12, 8), 8 / 12))
    presence = 4 * 6 * math.log(2) / 2
    attributes = sum(math.log(len(values)) for values in ATTRIBUTES.values())
    assert head(torch.zeros(1, 3, 4, 6), scenes).item() == pytest.approx(presence + attributes)


def test_the_scene_loss_reads_the_right_position() -> None:
    """Maps that spell out the scene, and a head that reads them, leave no loss; one position off, much."""
    scenes = torch.from_numpy(describe_scenes([scene(thing(5, 3, "cyan"))], (12, 8), 8 / 12))
    head = SceneHead(16)
    head.conv.weight.data = 60 * torch.eye(16)[:, :, None, None]
    head.conv.bias.data = torch.tensor([-30.0] + [0.0] * 15)
    maps = torch.zeros(1, 16, 4, 6)
    maps[0, [0, 1, 1 + 3 + 1, 1 + 3 + 2 + 6, 1 + 3 + 2 + 8 + 1], 1, 2] = 1
    assert head(maps, scenes).item() < 1e-6
    assert head(maps.roll(1, 3), scenes).item() > 60


def test_the_referent_loss_by_hand() -> None:
    head = ReferentHead(1)
    head.linear.weight.data = torch.tensor([[2.0], [0.0]])
    head.linear.bias.data = torch.zeros(2)
    scenes = torch.from_numpy(describe_scenes([scene(thing(0, 0), thing(11, 7))] * 2, (12, 8), 8 / 12))
    referents = torch.from_numpy(np.full((2, 2, 10), -1, np.int8))
    referents[0, 0, :2] = torch.tensor([1, 0])
    referents[1, :, :2] = torch.tensor([[1, 1], [0, 1]])
    maps = torch.zeros(2, 1, 2, 2)
    maps[0, 0, 0, 0] = 1
    one, plain = math.log(1 + math.exp(-2)), math.log(2)
    expected = (one + plain + 4 * plain) / 6
    assert head(maps, scenes, referents).item() == pytest.approx(expected)
