"""Variation of images: what each amount does, and that it is a function of the generator."""

from __future__ import annotations

import pytest
import torch

from fewshot_film.config.data import AugmentConfig
from fewshot_film.data.augment import augment


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


IMAGES = torch.rand(6, 3, 12, 10, generator=generator(1))
EVERYTHING = AugmentConfig(20, 0.2, 0.2, 0.2, True, 0.3, 0.3, 0.3, 0.4)


def test_no_amount_changes_nothing():
    assert torch.equal(augment(IMAGES, AugmentConfig(), generator()), IMAGES)


def test_is_a_function_of_the_generator_and_stays_in_range():
    torch.manual_seed(0)
    state = torch.get_rng_state()
    first = augment(IMAGES, EVERYTHING, generator(3))
    assert torch.equal(augment(IMAGES, EVERYTHING, generator(3)), first)
    assert not torch.equal(augment(IMAGES, EVERYTHING, generator(4)), first)
    assert torch.equal(torch.get_rng_state(), state)
    assert first.shape == IMAGES.shape
    assert first.min() >= 0
    assert first.max() <= 1


def test_flip_mirrors_some_pictures_and_leaves_the_others():
    varied = augment(IMAGES, AugmentConfig(flip=True), generator())
    mirrored = [torch.allclose(new, old.flip(-1), atol=1e-5) for new, old in zip(varied, IMAGES, strict=True)]
    kept = [torch.allclose(new, old, atol=1e-5) for new, old in zip(varied, IMAGES, strict=True)]
    assert any(mirrored)
    assert any(kept)
    assert all(one != other for one, other in zip(mirrored, kept, strict=True))


def test_translation_moves_by_up_to_the_share_asked_for():
    images = torch.zeros(200, 1, 21, 21)
    images[:, :, 10, 10] = 1
    varied = augment(images, AugmentConfig(translate=0.2), generator())
    columns = (varied.sum((1, 2)) * torch.arange(21.0)).sum(1) - 10
    assert columns.abs().max() <= 0.2 * 21 + 1e-3
    assert columns.abs().max() > 0.15 * 21
    assert abs(float(columns.mean())) < 0.5


def test_rotation_keeps_the_middle_and_turns_the_rest():
    images = torch.zeros(50, 1, 21, 21)
    images[:, :, 10, 10:] = 1
    varied = augment(images, AugmentConfig(rotate=90), generator())
    torch.testing.assert_close(varied[:, 0, 10, 10], torch.ones(50), atol=0.3, rtol=0)
    assert (varied[:, 0, 10, 18] < 0.5).float().mean() > 0.5


def test_brightness_is_a_factor():
    images = torch.full((100, 1, 4, 4), 0.5)
    means = augment(images, AugmentConfig(brightness=0.4), generator()).mean((1, 2, 3))
    assert 0.3 - 1e-6 <= float(means.min()) < 0.34
    assert 0.66 < float(means.max()) <= 0.7 + 1e-6


def test_contrast_and_saturation_keep_what_they_turn_about():
    images = 0.25 + IMAGES / 2
    contrast = augment(images, AugmentConfig(contrast=0.4), generator())
    torch.testing.assert_close(contrast.mean((1, 2, 3)), images.mean((1, 2, 3)), atol=1e-4, rtol=0)
    assert not torch.allclose(contrast, images, atol=1e-3)
    grey = images[:, :1].expand(-1, 3, -1, -1)
    torch.testing.assert_close(augment(grey, AugmentConfig(saturation=0.5), generator()), grey)


def test_erase_sets_one_square_to_the_mean():
    varied = augment(IMAGES, AugmentConfig(erase=0.5), generator())
    changed = (varied != IMAGES).any(1)
    assert (changed.flatten(1).sum(1) <= 6 * 5).all()
    assert changed.any()
    expected = IMAGES.mean((1, 2, 3))[:, None, None].expand_as(changed)
    torch.testing.assert_close(varied[:, 0][changed], expected[changed])


@pytest.mark.parametrize(("name", "value", "limit"), [("rotate", 181, 180), ("scale", -0.1, 1), ("erase", 2, 1)])
def test_amounts_out_of_range_are_refused(name, value, limit):
    with pytest.raises(ValueError, match=rf"augment.{name} is {value}; expected a number from 0 to {limit}"):
        AugmentConfig(**{name: value})
