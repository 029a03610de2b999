"""Where neighbouring images are frames of one object, an episode must not be made of neighbours."""

from __future__ import annotations

import numpy as np
import pytest

from fewshot_film.episodes import EpisodeSampler, MetaDatasetRules, MetaDatasetSampler
from tests.data.layouts import blank_set

FRAMES = 60
IMAGES = blank_set([FRAMES] * 8)
RULES = MetaDatasetRules(max_query=5, max_support=60)
SAMPLERS = {
    "fixed": EpisodeSampler(IMAGES, 5, 5, 5),
    "meta-dataset": MetaDatasetSampler(IMAGES, rules=RULES),
}


@pytest.mark.parametrize("name", SAMPLERS)
def test_support_and_query_come_from_the_whole_class_in_random_order(name: str) -> None:
    """Of two different frames of 60, neighbours are 59 of 60 * 59 / 2 pairs, which is 1 in 30."""
    near, pairs = 0, 0
    support_places, query_places = np.zeros(FRAMES), np.zeros(FRAMES)
    for index in range(300):
        plan = SAMPLERS[name].plan(index)
        for label in range(len(plan.classes)):
            support = plan.support[plan.support_labels == label] % FRAMES
            query = plan.query[plan.query_labels == label] % FRAMES
            distances = np.abs(support[:, None] - query[None])
            near += int((distances == 1).sum())
            pairs += distances.size
            support_places += np.bincount(support, minlength=FRAMES)
            query_places += np.bincount(query, minlength=FRAMES)
    assert abs(near / pairs - 1 / 30) < 0.004
    for places in (support_places, query_places):
        expected = places.sum() / FRAMES
        assert ((places - expected) ** 2 / expected).sum() < FRAMES + 5 * np.sqrt(2 * FRAMES)
