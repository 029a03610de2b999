"""Made-up pictures of no kind."""

from __future__ import annotations

import pytest
import torch

from fewshot_film.learners.unfamiliar import unfamiliar


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("seed", range(12))
def test_in_range_changed_and_all_alike(channels, seed):
    torch.manual_seed(seed)
    one = torch.rand(1, channels, 8, 12)
    changed = unfamiliar(one.expand(3, -1, -1, -1))
    assert changed.shape == (3, channels, 8, 12)
    assert changed.min() >= 0
    assert changed.max() <= 1
    assert (changed - one).abs().mean() > 0.02
    assert torch.equal(changed[0], changed[2])


def test_each_way_by_hand(monkeypatch):
    black_and_white = torch.tensor([0.0, 1.0]).repeat(4).expand(1, 3, 8, 8)
    expected = {1: 1 - black_and_white, 4: torch.full((1, 3, 8, 8), 0.5)}
    for ways, pictures in expected.items():
        monkeypatch.setattr(torch, "randint", lambda *_, ways=ways: torch.tensor(ways))
        torch.testing.assert_close(unfamiliar(black_and_white), pictures)
    monkeypatch.setattr(torch, "randint", lambda *_: torch.tensor(2))
    tinted = unfamiliar(black_and_white)
    assert tinted.flatten(2).amax(2).unique().numel() == 3  # each colour dimmed by itself
    torch.testing.assert_close(tinted, black_and_white * tinted.amax((2, 3), keepdim=True))


def test_reproducible():
    images = torch.rand(2, 3, 8, 8)
    torch.manual_seed(5)
    first = unfamiliar(images)
    torch.manual_seed(5)
    assert torch.equal(unfamiliar(images), first)
