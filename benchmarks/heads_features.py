"""What the table of heads is made from: features of all images, computed once, and heads that are trained on them."""

from __future__ import annotations

import copy
import dataclasses
import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import cast

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.photos.features import add_weights
from fewshot_film.config.learners import FilmConfig, PrototypesConfig
from fewshot_film.data import ImageSet
from fewshot_film.episodes import EpisodeSampler
from fewshot_film.film import remove_film
from fewshot_film.learners import CONFIGS, LEARNERS, Learner, PrototypicalNetworks
from fewshot_film.learners.backbone import Backbone
from fewshot_film.learners.feat import FEAT
from fewshot_film.learners.film_learner import FilmFeatures, FilmLearner
from fewshot_film.learners.learner import FixedFeatures
from fewshot_film.learners.local_descriptors import LocalDescriptors
from fewshot_film.learners.task_runners import features_of_set
from fewshot_film.run.files import write_atomically

POWERS = (1.0, 0.5)
"""Of the backbone's features, to choose from."""
TRAINED = ("matching", "relation", "feat")
"""Heads with parts that are trained, on features of training classes."""
IMAGES_PER_CLASS = 100
"""Of training and validation classes, at most."""
NUM_EPISODES = 500
TRAINING_SHOTS = (1, 5)
LEARNING_RATE = 1e-3

HeadOnFeatures = FilmFeatures | FixedFeatures


@dataclass(frozen=True)
class SplitFeatures:
    """Features of the images of one split, computed when first asked for and kept in a folder."""

    backbone: Backbone
    """Without FiLM, in evaluation mode."""
    template: FilmConfig
    """Settings that say what the backbone is."""
    images: ImageSet
    folder: str
    """Where features are kept; empty: nowhere."""

    @cached_property
    def key(self) -> str:
        """Digest of the weights and the images."""
        digest = hashlib.sha256("\n".join([self.images.name, *self.images.files]).encode())
        add_weights(digest, self.backbone)
        return digest.hexdigest()[:32]

    @cached_property
    def pooled(self) -> Tensor:
        """Averaged over positions and mirror images, of all stages that count, ``(N, D)``."""
        network = copy.deepcopy(self.backbone)
        network.set_features(1.0, flip_tta=True)
        learner = PrototypicalNetworks(self.template, network).eval()
        return self._kept("pooled", lambda: features_of_set(learner, self.images, torch.device("cpu")))

    def at_power(self, power: float) -> Tensor:
        """What the backbone gives where it raises its features to a power, ``(N, D)``."""
        network = copy.deepcopy(self.backbone)
        network.set_features(power)
        parts = self.pooled.split([norm.normalized_shape[0] for norm in network.norms], 1)
        return torch.cat([norm(part) for norm, part in zip(network.norms, parts, strict=True)], 1)

    def descriptors(self, learner: LocalDescriptors) -> Tensor:
        """Descriptors of every position of the last maps, ``(N, m, C)``."""
        return self._kept("maps", lambda: features_of_set(learner, self.images, torch.device("cpu")))

    def of(self, learner: HeadOnFeatures, power: float) -> Tensor:
        """What a head takes, one row for each image."""
        return self.descriptors(learner) if isinstance(learner, LocalDescriptors) else self.at_power(power)

    def _kept(self, kind: str, compute: Callable[[], Tensor]) -> Tensor:
        if not self.folder:
            return compute()
        path = Path(self.folder) / f"{kind}-{self.key}.npy"
        if not path.is_file():
            path.parent.mkdir(parents=True, exist_ok=True)
            found = compute().numpy()

            def write(temporary: Path) -> None:
                with temporary.open("wb") as file:  # by a path, numpy would add its ending
                    np.save(file, found)

            write_atomically(path, write)
        return torch.from_numpy(np.load(path))


def split_features(model: Learner, images: ImageSet, folder: str) -> SplitFeatures:
    """The features of a model's backbone, without FiLM.

    Args:
        model: with the backbone.
        images: of one split.
        folder: where features are kept; empty: nowhere.
    """
    backbone = copy.deepcopy(model.backbone)
    remove_film(backbone)
    plain = dataclasses.replace(model.config.backbone, tukey_power=1.0, flip_tta=False)
    return SplitFeatures(backbone.eval(), PrototypesConfig(backbone=plain), images, folder)


def trained_on_features(name: str, known: SplitFeatures, power: float, episodes: int = NUM_EPISODES) -> FilmLearner:
    """One of `TRAINED`, trained by Adam on episodes of cached features.

    Args:
        name: of the method.
        known: features of training classes.
        power: of the features.
        episodes: in turns of each of `TRAINING_SHOTS`.
    """
    config = CONFIGS[name](backbone=known.template.backbone)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        learner = cast(FilmLearner, LEARNERS[CONFIGS[name]](config, copy.deepcopy(known.backbone)).train())
        rows = known.at_power(power)
        samplers = [EpisodeSampler(known.images, 5, shot, 15, split="train") for shot in TRAINING_SHOTS]
        shared = {id(parameter) for parameter in learner.backbone.parameters()}
        own = [each for each in learner.parameters() if each.requires_grad and id(each) not in shared]
        optimizer = torch.optim.Adam(own, LEARNING_RATE)
        with torch.enable_grad():
            for index in range(episodes):
                plan = samplers[index % len(samplers)].plan(index)
                optimizer.zero_grad()
                _loss(learner, rows, plan.support, plan.support_labels, plan.query, plan.query_labels).backward()
                optimizer.step()
    return learner.eval().requires_grad_(False)


def _loss(
    learner: FilmLearner,
    rows: Tensor,
    support: np.ndarray,
    support_labels: np.ndarray,
    query: np.ndarray,
    query_labels: np.ndarray,
) -> Tensor:
    labels, targets = torch.from_numpy(support_labels), torch.from_numpy(query_labels)
    loss = F.cross_entropy(learner.fit_head(rows[support], labels)(rows[query]), targets)
    if isinstance(learner, FEAT):
        both = torch.from_numpy(np.concatenate([support, query]))
        loss = loss + learner.config.contrast_weight * learner.contrast(rows[both], torch.cat([labels, targets]))
    return loss


FeatureSets = Mapping[str, SplitFeatures]
"""By split."""
