"""Labelled batches: every image once an epoch, each batch a function of its number."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from fewshot_film.config.data import AugmentConfig
from fewshot_film.data import ImageSet
from fewshot_film.data.batches import LabelledBatches
from fewshot_film.data.image_set import Pixels


def numbered(count: int = 10) -> ImageSet:
    """Image i is filled with the value i."""
    pixels = np.broadcast_to(np.arange(count, dtype=np.uint8)[:, None, None, None], (count, 1, 4, 4)).copy()
    labels = np.arange(count) % 3
    files = [f"{index}.png" for index in range(count)]
    digests = np.arange(count)
    return ImageSet("numbered", Pixels(pixels.shape, pixels), "abc", labels, np.arange(count), files, digests)


def pictures(batch) -> list[int]:
    return (batch.images[:, 0, 0, 0] * 255).round().int().tolist()


def test_an_epoch_has_every_picture_once_in_another_order_each_time():
    batches = LabelledBatches(numbered(), 5, AugmentConfig(), seed=1)
    epochs = [pictures(batches[2 * epoch]) + pictures(batches[2 * epoch + 1]) for epoch in range(3)]
    assert all(sorted(epoch) == list(range(10)) for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) == 3


def test_labels_belong_to_their_pictures():
    batch = LabelledBatches(numbered(), 4, AugmentConfig())[7]
    assert batch.labels.tolist() == [picture % 3 for picture in pictures(batch)]
    assert batch.labels.dtype == torch.int64
    assert batch.to("cpu").labels.tolist() == batch.labels.tolist()


def test_an_incomplete_last_batch_is_left_out():
    batches = LabelledBatches(numbered(), 4, AugmentConfig())
    assert len(set(pictures(batches[0]) + pictures(batches[1]))) == 8
    assert sorted(pictures(batches[2]) + pictures(batches[3])) != sorted(pictures(batches[0]) + pictures(batches[1]))


def test_a_batch_is_a_function_of_seed_and_number():
    augmentation = AugmentConfig(brightness=0.5)
    some = LabelledBatches(numbered(), 4, augmentation, seed=1)
    late = some[9]
    again = LabelledBatches(numbered(), 4, augmentation, seed=1)[9]
    assert torch.equal(late.images, again.images)
    other = LabelledBatches(numbered(), 4, augmentation, seed=2)[9]
    assert not torch.equal(late.images, other.images)


@pytest.mark.parametrize("size", [0, 11])
def test_batch_size_out_of_range_is_refused(size):
    with pytest.raises(ValueError, match=rf"batch_size is {size}; expected 1 to 10, the number of images of numbered"):
        LabelledBatches(numbered(), size, AugmentConfig())
