"""Outlier images."""

from __future__ import annotations

import itertools

import pytest
import torch

from fewshot_film.learners.film_learner import outlier_images

STRIPES = torch.tensor([0.0, 0, 0, 1, 1, 1, 1, 0]).expand(1, 3, 8, 8)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("seed", range(12))
def test_in_range_changed_and_all_alike(channels, seed):
    torch.manual_seed(seed)
    one = torch.rand(1, channels, 8, 12)
    changed = outlier_images(one.expand(3, -1, -1, -1))
    assert changed.shape == (3, channels, 8, 12)
    assert changed.min() >= 0
    assert changed.max() <= 1
    assert (changed - one).abs().mean() > 0.02
    assert torch.equal(changed[0], changed[2])


def changes_of(changed: torch.Tensor) -> set[str]:
    """The changes that made this image of STRIPES, whichever were drawn."""
    fine = STRIPES[0, 0, 0]
    smooth = 0.25 + 0.5 * torch.tensor([0, 0, 1, 3, 5, 7, 8, 8]) / 8  # means over fours, and a line between them
    rows = {"": fine, "coarse": smooth, "inverted": 1 - fine, "inverted coarse": 1 - smooth}
    for names, row in rows.items():
        glass = changed.amax((2, 3), keepdim=True) / row.max()
        if torch.allclose(changed, (row * glass).expand(1, 3, 8, 8), atol=1e-6):
            assert glass.max() < 1 + 1e-6
            clear = torch.allclose(glass, torch.ones(1), atol=1e-6)
            assert clear or glass.unique().numel() == 3  # each colour is dimmed by itself
            return {*names.split(), *([] if clear else ["tinted"])}
    raise AssertionError(f"changed in an unknown way: {changed}")


def test_each_way_by_hand():
    found = set()
    for seed in range(100):
        torch.manual_seed(seed)
        found.add(frozenset(changes_of(outlier_images(STRIPES))))
    ways = ("inverted", "tinted", "coarse")
    assert found == {frozenset(some) for count in (1, 2, 3) for some in itertools.combinations(ways, count)}


def test_reproducible():
    images = torch.rand(2, 3, 8, 8)
    torch.manual_seed(5)
    first = outlier_images(images)
    torch.manual_seed(5)
    assert torch.equal(outlier_images(images), first)
