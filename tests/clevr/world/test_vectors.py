from __future__ import annotations

import math

import torch

from clevr.world.vectors import Vec


def rows(vec: Vec) -> torch.Tensor:
    return torch.stack([vec.x, vec.y, vec.z], dim=-1)


def test_components_come_apart_and_together():
    table = torch.randn(5, 3)
    assert torch.equal(rows(Vec.of(table)), table)


def test_products_are_those_of_torch():
    a, b = torch.randn(7, 3), torch.randn(7, 3)
    assert torch.allclose(Vec.of(a).dot(Vec.of(b)), (a * b).sum(1), atol=1e-6)
    assert torch.allclose(rows(Vec.of(a).cross(Vec.of(b))), torch.linalg.cross(a, b), atol=1e-6)


def test_a_quarter_turn_takes_x_to_y():
    turned = Vec.of(torch.tensor([[1.0, 0.0, 3.0]])).rotate(torch.tensor([0.0]), torch.tensor([1.0]))
    assert torch.equal(rows(turned), torch.tensor([[0.0, 1.0, 3.0]]))


def test_turning_back_undoes_a_turn():
    a = torch.randn(4, 3)
    cos, sin = torch.full((4,), math.cos(0.7)), torch.full((4,), math.sin(0.7))
    assert torch.allclose(rows(Vec.of(a).rotate(cos, sin).rotate(cos, -sin)), a, atol=1e-6)


def test_a_mirror_on_the_ground_turns_down_into_up():
    ray, up = Vec.of(torch.tensor([[0.6, 0.0, -0.8]])), Vec.of(torch.tensor([[0.0, 0.0, 1.0]]))
    assert torch.allclose(rows(ray.reflect(up)), torch.tensor([[0.6, 0.0, 0.8]]))


def test_units_have_length_one():
    lengths = rows(Vec.of(torch.randn(9, 3)).unit()).norm(dim=1)
    assert torch.allclose(lengths, torch.ones(9), atol=1e-6)
