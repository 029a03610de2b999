"""Varied episodes: the same task, other pixels, a function of (seed, index)."""

from __future__ import annotations

import torch

from fewshot_film.config.data import AugmentConfig
from fewshot_film.episodes import Episode
from fewshot_film.episodes.augmented import AugmentedEpisodes


class Constant:
    """Every episode shows the same grey images."""

    def __getitem__(self, index: int) -> Episode:
        labels = torch.tensor([0, 1])
        grey = torch.full((2, 1, 4, 4), 0.5)
        return Episode(grey, labels, grey, labels, ("a", "b"), ("1", "2"), ("3", "4"), "constant", index)


def test_pictures_vary_and_the_task_stays():
    episodes = AugmentedEpisodes(Constant(), AugmentConfig(brightness=0.5), seed=1)
    episode, plain = episodes[3], Constant()[3]
    values = torch.cat([episode.support_images, episode.query_images])[:, 0, 0, 0]
    assert len(set(values.tolist())) == 4
    assert episode.index == 3
    assert episode.class_names == plain.class_names
    assert torch.equal(episode.support_labels, plain.support_labels)


def test_an_episode_is_a_function_of_seed_and_index():
    config = AugmentConfig(brightness=0.5)
    first = AugmentedEpisodes(Constant(), config, seed=1)[3].query_images
    assert torch.equal(AugmentedEpisodes(Constant(), config, seed=1)[3].query_images, first)
    assert not torch.equal(AugmentedEpisodes(Constant(), config, seed=2)[3].query_images, first)
    assert not torch.equal(AugmentedEpisodes(Constant(), config, seed=1)[4].query_images, first)
