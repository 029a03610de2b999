from __future__ import annotations

import pytest
import torch

from clevr.config.model import AugmentationConfig
from clevr.world.augmentation import augment, recolor


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.fixture
def pictures() -> torch.Tensor:
    return torch.randint(0, 256, (4, 3, 12, 16), dtype=torch.uint8, generator=generator(1))


def test_nothing_asked_nothing_changed(pictures):
    assert torch.equal(augment(pictures, AugmentationConfig(0, 0, 0), generator()), pictures)


def test_changes_follow_the_generator(pictures):
    first, again, other = (augment(pictures, AugmentationConfig(0.1, 0.5, 2.0), generator(seed)) for seed in (5, 5, 6))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert first.dtype == torch.uint8


def test_noise_has_the_asked_strength():
    gray = torch.full((64, 3, 32, 32), 128, dtype=torch.uint8)
    change = augment(gray, AugmentationConfig(noise=6), generator()).float() - 128
    by_picture = change.std(dim=(1, 2, 3))
    assert by_picture.max() < 6.3
    assert 2 < by_picture.mean() < 4


def test_blur_leaves_flat_pictures_and_softens_edges():
    flat = torch.full((2, 3, 8, 8), 77, dtype=torch.uint8)
    assert torch.equal(augment(flat, AugmentationConfig(0, 1, 0), generator()), flat)
    edge = torch.zeros(1, 1, 8, 8, dtype=torch.uint8)
    edge[..., 4:] = 200
    soft = augment(edge, AugmentationConfig(0, 1, 0), generator())
    assert 0 < soft[0, 0, 4, 3] < soft[0, 0, 4, 4] < 200


def test_brightness_keeps_black_and_white():
    ends = torch.tensor([0, 255], dtype=torch.uint8).reshape(1, 1, 1, 2).expand(5, 1, 2, 2)
    assert torch.equal(augment(ends, AugmentationConfig(0.5, 0, 0), generator()), ends)


def colored(*rgb: int) -> torch.Tensor:
    return torch.tensor(rgb, dtype=torch.uint8).reshape(1, 3, 1, 1).expand(200, 3, 2, 2)


def test_gray_stays_gray_and_what_was_not_chosen_stays_as_it_is():
    gray, chosen = colored(120, 120, 120), torch.arange(200) % 2 == 0
    found = recolor(gray, chosen, generator())
    assert torch.equal(found[~chosen], gray[~chosen])
    changed = found[chosen].short()
    assert (changed.amax(1) - changed.amin(1)).max() <= 1
    assert len(changed[:, 0, 0, 0].unique()) > 20, "lighter and darker"


def test_red_becomes_every_hue():
    found = recolor(colored(150, 40, 40), torch.ones(200, dtype=torch.bool), generator())[:, :, 0, 0]
    strongest = found.argmax(1).bincount(minlength=3)
    assert strongest.min() > 40, "red, green and blue, each in about a third"
    spread = (found.amax(1).short() - found.amin(1).short()).float()
    assert spread.min() < 10, "some are next to gray"


def test_turning_hues_by_hand():
    """A third of a turn moves each channel to the next: no lookup, the formula itself with its angle given."""

    def third(*shape: int, generator: torch.Generator) -> torch.Tensor:
        drawn = torch.empty(shape)
        drawn[0], drawn[1], drawn[2] = 1 / 3, 1 / 1.5, 0.5
        return drawn

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch, "rand", third)
        found = recolor(colored(150, 40, 80), torch.ones(200, dtype=torch.bool), generator())
    assert found[0, :, 0, 0].tolist() == [80, 150, 40]
