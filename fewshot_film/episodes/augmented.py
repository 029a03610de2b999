"""Episodes whose images are varied at random, for training."""

from __future__ import annotations

from dataclasses import replace
from typing import SupportsIndex

import torch

from fewshot_film.config.data import AugmentConfig
from fewshot_film.data.augment import augment
from fewshot_film.episodes.episode import Episode, Episodes
from fewshot_film.run.seeding import generator


class AugmentedEpisodes:
    """Episodes with random augmentation of every image; episode ``i`` stays a function of (seed, i).

    Args:
        episodes: what to vary.
        config: how much.
        seed: decides the variation, together with the episode's number.
    """

    def __init__(self, episodes: Episodes, config: AugmentConfig, seed: int = 0) -> None:
        self.episodes = episodes
        self.config = config
        self.seed = seed

    def __getitem__(self, index: SupportsIndex) -> Episode:
        """Episode ``index``, from 0 on."""
        number = index.__index__()
        episode = self.episodes[number]
        pictures = torch.cat([episode.support_images, episode.query_images])
        varied = augment(pictures, self.config, generator(self.seed, "augment", number))
        support, query = varied.split([len(episode.support_images), len(episode.query_images)])
        return replace(episode, support_images=support, query_images=query)
