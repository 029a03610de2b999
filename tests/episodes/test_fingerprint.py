from __future__ import annotations

import pytest

from fewshot_film.data import decode
from fewshot_film.episodes import EpisodeSampler, MetaDatasetSampler, fingerprint
from tests.data.layouts import array_source
from tests.processes import result_of

IMAGES = decode(array_source([8, 9, 10, 8, 8, 12]), 4, 1)


def test_equal_episodes_have_equal_fingerprints_at_any_size_of_the_pictures() -> None:
    larger = decode(array_source([8, 9, 10, 8, 8, 12]), 6, 3)
    one, two = (EpisodeSampler(images, 5, 1, 3, seed=1, split="test") for images in (IMAGES, larger))
    assert fingerprint(one, 10) == fingerprint(two, 10)


def test_anything_else_changes_it() -> None:
    prints = [
        fingerprint(EpisodeSampler(IMAGES, 5, 1, 3), 10),
        fingerprint(EpisodeSampler(IMAGES, 5, 1, 3), 11),
        fingerprint(EpisodeSampler(IMAGES, 5, 1, 3, seed=1), 10),
        fingerprint(EpisodeSampler(IMAGES, 5, 1, 3, split="val"), 10),
        fingerprint(EpisodeSampler(IMAGES, 5, 2, 2), 10),
        fingerprint(EpisodeSampler(IMAGES.with_rotations(), 5, 1, 3), 10),
        fingerprint(MetaDatasetSampler(IMAGES), 10),
        fingerprint(EpisodeSampler(IMAGES, 5, 1, 3), 0),
    ]
    assert len(set(prints)) == len(prints)


def test_another_process_gets_the_same() -> None:
    assert result_of(_fingerprint) == _fingerprint()


def _fingerprint() -> str:
    return fingerprint(MetaDatasetSampler(IMAGES, seed=3), 20)


def test_a_negative_count_is_refused() -> None:
    with pytest.raises(ValueError, match="count must be at least 0, got -1"):
        fingerprint(EpisodeSampler(IMAGES, 5, 1, 3), -1)
