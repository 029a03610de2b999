"""Few-shot episodes: what one is, and the samplers that draw them."""

from fewshot_film.episodes.augmented import AugmentedEpisodes
from fewshot_film.episodes.domains import DomainEpisodes, by_domain
from fewshot_film.episodes.episode import Episode, Episodes, Plan, build_episode
from fewshot_film.episodes.fingerprint import fingerprint
from fewshot_film.episodes.fixed import EpisodeSampler
from fewshot_film.episodes.meta_dataset import MetaDatasetRules, MetaDatasetSampler

__all__ = [
    "AugmentedEpisodes",
    "DomainEpisodes",
    "Episode",
    "EpisodeSampler",
    "Episodes",
    "MetaDatasetRules",
    "MetaDatasetSampler",
    "Plan",
    "build_episode",
    "by_domain",
    "fingerprint",
]
