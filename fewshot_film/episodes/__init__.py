"""Few-shot episodes and the samplers that draw them."""

from fewshot_film.episodes.augmented import AugmentedEpisodes
from fewshot_film.episodes.domains import DomainEpisodes, by_domain
from fewshot_film.episodes.episode import Episode, Episodes, Plan, build_episode
from fewshot_film.episodes.fixed import EpisodeSampler
from fewshot_film.episodes.holdout import HoldOutSampler
from fewshot_film.episodes.lists import (
    EpisodeList,
    EpisodeListError,
    Sampler,
    fingerprint,
    load_episodes,
    save_episodes,
)
from fewshot_film.episodes.meta_dataset import MetaDatasetRules, MetaDatasetSampler
from fewshot_film.episodes.task_sets import TaskSet, TaskSetEpisodes

__all__ = [
    "AugmentedEpisodes",
    "DomainEpisodes",
    "Episode",
    "EpisodeList",
    "EpisodeListError",
    "EpisodeSampler",
    "Episodes",
    "HoldOutSampler",
    "MetaDatasetRules",
    "MetaDatasetSampler",
    "Plan",
    "Sampler",
    "TaskSet",
    "TaskSetEpisodes",
    "build_episode",
    "by_domain",
    "fingerprint",
    "load_episodes",
    "save_episodes",
]
