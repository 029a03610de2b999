"""One task's network, with FiLM folded into the weights, and its head."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn

from fewshot_film.config.learners import LearnerConfig
from fewshot_film.film import FoldError, Modulation, Modulations, find_conv_norm_pairs, fold_film, fuse_conv_norm
from fewshot_film.learners.backbone import Backbone
from fewshot_film.learners.film_learner import FilmLearner, Head
from fewshot_film.learners.learner import Learner
from fewshot_film.learners.mahalanobis import MahalanobisClassifier, fit_mahalanobis
from fewshot_film.learners.simple_cnaps import SimpleCNAPS
from fewshot_film.run.errors import UserError

MAX_CODE_PICTURES = 500
"""Most pictures that the task code is made from: the size of Meta-Dataset's largest support set."""
CHUNK = LearnerConfig.chunk
"""Pictures that go through the network at once: as many as learners take, with FiLM folded in as without."""
HEAD_CHUNK = 256
"""Features that go through the head at once."""


@dataclass(frozen=True)
class TaskHead:
    """What stands on the features of one task."""

    learned: Head
    """The learner's own head: features ``(Q, D)`` to logits ``(Q, way)``."""
    metric: MahalanobisClassifier
    """Distances to the classes; the head itself in Simple CNAPS."""

    def logits(self, features: Tensor) -> Tensor:
        """``(Q, way)``, double, of features ``(Q, D)``."""
        return torch.cat([self.learned(chunk).double() for chunk in features.split(HEAD_CHUNK)])

    def distances(self, features: Tensor) -> Tensor:
        """Squared Mahalanobis distances ``(Q, way)``, double."""
        return torch.cat([self.metric.distances(chunk) for chunk in features.split(HEAD_CHUNK)])

    def nearest(self, features: Tensor) -> Tensor:
        """Distance to the nearest class, ``(Q,)``."""
        return self.distances(features).amin(1)


class Adapter:
    """Turns support sets into plain networks and heads.

    Args:
        learner: trained; it must not be changed while this is in use.

    Raises:
        UserError: the learner has no head on FiLM-adapted features.
    """

    def __init__(self, learner: Learner) -> None:
        if not isinstance(learner, FilmLearner) or learner.transductive:
            raise UserError(
                f"a classifier needs a learner that judges every picture by itself after one pass over the support "
                f"set, such as simple-cnaps or prototypes; {learner.config.method} is another kind: use its adapt()"
            )
        self.learner = learner.eval()
        self._pairs = _fusable_pairs(self._plain({}))

    @property
    def has_film(self) -> bool:
        """Whether features depend on the support set."""
        return self.learner.config.adaptation != "none"

    @property
    def device(self) -> torch.device:
        """Where the learner is."""
        return next(self.learner.backbone.parameters()).device

    @torch.no_grad()
    def modulations(self, images: Tensor, labels: Tensor) -> Modulations:
        """Gamma and beta of every site for a support set; empty without FiLM.

        Args:
            images: ``(N, C, H, W)``, uint8. Of more than 500, 500 are used, evenly over the classes.
            labels: ``(N,)`` in ``[0, way)``.
        """
        if not self.has_film:
            return {}
        chosen = images[_even_choice(labels, MAX_CODE_PICTURES)]
        return self.learner.modulations(_as_float(chosen, self.device)) or {}

    def network(self, modulations: Modulations) -> nn.Module:
        """The backbone with these values and every BatchNorm folded into its convolutions."""
        fused = fuse_conv_norm(self._plain(modulations), self._pairs)
        return fused.requires_grad_(False).eval().to(memory_format=torch.channels_last)

    @torch.no_grad()
    def fit_head(self, features: Tensor, labels: Tensor) -> TaskHead:
        """The learner's head, and the Mahalanobis distances on the same features in double precision.

        Args:
            features: ``(N, D)``.
            labels: ``(N,)`` in ``[0, way)``, on the same device.
        """
        head = self.learner.fit_head(features.double() if isinstance(self.learner, SimpleCNAPS) else features, labels)
        if isinstance(head, MahalanobisClassifier):
            return TaskHead(head, head)
        return TaskHead(head, fit_mahalanobis(features.double(), labels))

    def _plain(self, modulations: Modulations) -> nn.Module:
        if not self.has_film:
            return self.learner.backbone
        moved = {name: Modulation(*(part.to(self.device) for part in pair)) for name, pair in modulations.items()}
        return fold_film(self.learner.filmed, moved, share_weights=True)


@torch.no_grad()
def features_of(network: nn.Module, images: Tensor, device: torch.device) -> Tensor:
    """Features ``(N, D)``, float32, of ``(N, C, H, W)`` uint8 pictures."""
    return torch.cat([network(_as_float(chunk, device)) for chunk in images.split(CHUNK)])


def _as_float(images: Tensor, device: torch.device) -> Tensor:
    moved = images.to(device).contiguous(memory_format=torch.channels_last)
    return moved.float().div_(255)


class _Maps(nn.Module):
    """A backbone up to its last maps: the part whose data flow can be read off."""

    def __init__(self, backbone: Backbone) -> None:
        super().__init__()
        self.backbone = backbone

    def forward(self, images: Tensor) -> Tensor:
        for module in self.backbone.stem_modules():
            images = module(images)
        for name in self.backbone.stage_names:
            images = self.backbone.get_submodule(name)(images)
        return images


def _fusable_pairs(network: nn.Module) -> list[tuple[str, str]]:
    """Convolutions and the BatchNorm layers after them; none where the data flow cannot be read off."""
    try:
        pairs = find_conv_norm_pairs(_Maps(cast(Backbone, network)))
    except FoldError:
        return []
    return [(conv.removeprefix("backbone."), norm.removeprefix("backbone.")) for conv, norm in pairs]


def _even_choice(labels: Tensor, most: int) -> Tensor:
    """Positions of at most ``most`` pictures, evenly over the pictures in the order of their classes."""
    if len(labels) <= most:
        return torch.arange(len(labels))
    return labels.argsort(stable=True)[torch.arange(most) * len(labels) // most]
