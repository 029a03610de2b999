from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st

from clevr.world.lighting import may_shade
from clevr.world.vectors import PART, PARTS, ROW_LENGTH, RayPackets, Vec, cut


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(1, 3 * ROW_LENGTH)), max_size=6))
def test_rows_hold_every_entry_and_one_key(runs):
    keys = torch.cat([torch.empty(0, dtype=torch.long), *(torch.full((length,), key) for key, length in runs)])
    values, place = cut(keys)
    assert place.shape == (len(values), ROW_LENGTH)
    assert sorted(set(place.reshape(-1).tolist())) == list(range(len(keys)))
    assert torch.equal(keys[place], values.expand(-1, ROW_LENGTH))
    repeated = place.reshape(-1).bincount(minlength=len(keys)) > 1
    assert (keys[1:][repeated[:-1]] != keys[:-1][repeated[:-1]]).sum() <= len(runs)


def test_a_run_fills_its_last_row_with_its_last_entry():
    _, place = cut(torch.tensor([5, 5, 5, 7]))
    assert place[0].tolist() == [0, 1] + [2] * (ROW_LENGTH - 2)
    assert place[1].tolist() == [3] * ROW_LENGTH


def test_balls_hold_their_points():
    generator = torch.Generator().manual_seed(0)
    points = Vec(*(torch.randn(5, ROW_LENGTH, generator=generator) for _ in range(3)))
    rows = RayPackets.of(torch.zeros(5, dtype=torch.long), points)
    for middle, radius, size in ((rows.middle, rows.radius, ROW_LENGTH), (rows.part_middle, rows.part_radius, PART)):
        offset = points.reshape(-1, size) - middle.column()
        assert len(radius) == 5 * ROW_LENGTH // size
        assert (offset.dot(offset).sqrt() <= radius[:, None] + 1e-5).all()
    assert len(rows.part_radius) == PARTS * len(rows.radius)


def test_what_may_shade_one_point_may_shade_its_row():
    generator = torch.Generator().manual_seed(1)
    span = torch.tensor([0.05, 0.5, 5.0, 50.0])[:, None].repeat(500, 1)
    drawn = [torch.randn(len(span), ROW_LENGTH, generator=generator) * span for _ in range(3)]
    rows = RayPackets.of(torch.zeros(len(span), dtype=torch.long), Vec(*drawn))
    lamp, ball = (Vec(*(torch.randn(3, len(span), generator=generator) * 4)) for _ in range(2))
    radius, size = torch.tensor(0.4), torch.rand(len(span), generator=generator)
    whole = may_shade(lamp - rows.middle, ball - rows.middle, size, radius, rows.radius)
    points, none = rows.points, torch.tensor(0.0)
    single = may_shade(lamp.column() - points, ball.column() - points, size[:, None], radius, none)
    assert 0.05 < whole.float().mean() < 0.95
    assert not (single & ~whole[:, None]).any()
