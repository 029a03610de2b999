"""One task's network, with FiLM folded into the weights, and its head."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple, Protocol, Self, cast

import torch
from torch import Tensor, nn

from fewshot_film.classifier.quantized import BLOCK, Int8Calibration, QuantizationError, QuantizedNetwork, Quantizer
from fewshot_film.config.learners import LearnerConfig
from fewshot_film.errors import ConfigError, UserError
from fewshot_film.film import (
    ChannelGenerator,
    FoldError,
    Modulation,
    Modulations,
    channel_statistics,
    find_conv_norm_pairs,
    fold_film,
    fuse_conv_norm,
    site_moments,
)
from fewshot_film.film.channelwise import SiteMoments
from fewshot_film.learners.backbone import Backbone, FeatureMaps
from fewshot_film.learners.film_learner import FilmLearner
from fewshot_film.learners.learner import Head, Learner
from fewshot_film.learners.prefix import without_prefix
from fewshot_film.learners.ridge import RidgeHead, RidgeRegression, span_coordinates
from fewshot_film.learners.simple_cnaps import MahalanobisClassifier, SimpleCNAPS, fit_mahalanobis
from fewshot_film.learners.support import NonFiniteFeaturesError, check_finite

MAX_CODE_IMAGES = 500
"""Most images that the task code is made from: the size of Meta-Dataset's largest support set."""
CHUNK = LearnerConfig.chunk
"""Most images that go through the network at once: as many as learners take, with FiLM folded in as without."""
CHUNK_PIXELS = 2 * 224 * 224
"""Most pixels that go through the network at once for every thread of a processor, whose caches hold no more maps."""
MAPS_CHUNK = 32
"""Images whose maps, which are small, go at once through what follows the first FiLM site, on any device."""
MAX_CALIBRATION_IMAGES = 16
"""Most support images that a network in integers is calibrated on."""
HEAD_CHUNK = 256
"""Features that go through the head at once."""


class Metric(Protocol):
    """What says how far features are from the classes."""

    def distances(self, queries: Tensor, /) -> Tensor:
        """``(Q, way)``, at least 0, of features ``(Q, D)``."""
        ...


@dataclass(frozen=True)
class TaskHead:
    """What stands on the features of one task."""

    learned: Head
    """The learner's own head: features ``(Q, D)`` to logits ``(Q, way)``."""
    metric: Metric
    """Distances to the classes; the head itself in Simple CNAPS and ridge regression."""

    @torch.no_grad()
    def logits(self, features: Tensor) -> Tensor:
        """``(Q, way)``, double, of features ``(Q, D)``.

        Raises:
            NonFiniteFeaturesError: the head's own weights make NaN of finite features.
        """
        found = torch.cat([self.learned(chunk).double() for chunk in features.split(HEAD_CHUNK)])
        if bool(found.isnan().any()):
            raise NonFiniteFeaturesError(
                "the head computed NaN from finite features, so the model's weights are faulty: use another model"
            )
        return found

    @torch.no_grad()
    def distances(self, features: Tensor) -> Tensor:
        """Distances ``(Q, way)``, double: squared Mahalanobis distances, or what the learner's head has of its own."""
        return torch.cat([self.metric.distances(chunk) for chunk in features.split(HEAD_CHUNK)])

    def nearest(self, features: Tensor) -> Tensor:
        """Distance to the nearest class, ``(Q,)``."""
        return self.distances(features).amin(1)


@dataclass(frozen=True)
class PlainPass:
    """What support images are without FiLM: the same for every task, so that it is computed once for each image."""

    features: Tensor
    """``(N, D)``."""
    maps: Tensor | None = None
    """What enters the first block with FiLM, ``(N, C, H, W)``; None: there is no FiLM."""
    moments: Mapping[str, SiteMoments] = field(default_factory=dict)
    """Of every site."""

    def joined(self, other: Self) -> Self:
        """These images, then the other ones."""
        maps = None if self.maps is None or other.maps is None else torch.cat([self.maps, other.maps])
        moments = {
            name: SiteMoments(*map(torch.cat, zip(one, other.moments[name], strict=True)))
            for name, one in self.moments.items()
        }
        return type(self)(torch.cat([self.features, other.features]), maps, moments)

    def moments_of(self, rows: Tensor) -> dict[str, SiteMoments]:
        """Moments of some images."""
        return {name: SiteMoments(*(part[rows] for part in one)) for name, one in self.moments.items()}


class _Parts(NamedTuple):
    """A learner whose FiLM depends on the maps at its sites alone, cut before the first of them."""

    prefix: nn.Module
    """Images to the maps there, BatchNorm folded in."""
    rest: FilmLearner
    """What reads these maps."""
    pairs: list[tuple[str, str]]
    """Convolutions and the BatchNorm layers after them, in what reads the maps."""


class Adapter:
    """Does what :meth:`FilmLearner.adapt` does, in its parts, with FiLM folded into a plain network's weights.

    Args:
        learner: trained; it must not be changed while this is in use.

    Raises:
        UserError: the learner has no head on FiLM-adapted features.
    """

    def __init__(self, learner: Learner) -> None:
        if not isinstance(learner, FilmLearner) or learner.transductive:
            raise UserError(
                f"a classifier needs a learner that classifies every image on its own after one pass over the "
                "support set, such as simple-cnaps or prototypes; "
                f"{learner.config.method} is another kind: use its adapt()"
            )
        self.learner = learner.eval()
        self._pairs = _fusable_pairs(_folded(learner, {}))

    @cached_property
    def _unmodified(self) -> nn.Module:
        return self.network({})

    @cached_property
    def _parts(self) -> _Parts | None:
        if not isinstance(self.learner.generator, ChannelGenerator):
            return None
        rest, prefix = without_prefix(self.learner)
        whole = fuse_conv_norm(prefix, _pairs_in(prefix)).requires_grad_(False).to(memory_format=torch.channels_last)
        return _Parts(whole, rest, _fusable_pairs(_folded(rest, {})))

    @property
    def has_film(self) -> bool:
        """Whether features depend on the support set."""
        return self.learner.has_film

    @property
    def device(self) -> torch.device:
        """Where the learner is."""
        return self.learner.backbone.normalize.mean.device  # a network may have no parameters

    @torch.no_grad()
    def plain_pass(self, images: Tensor, first: int = 0) -> PlainPass | None:
        """What images are without FiLM; None where FiLM depends on more than the maps at its sites.

        Args:
            images: ``(N, C, H, W)``, uint8.
            first: number of the first image, for an error.

        Raises:
            NonFiniteFeaturesError: a feature is NaN or infinite; says of which images.
        """
        if not self.has_film:
            return PlainPass(features_of(self._unmodified, images, self.device, first))
        if self._parts is None:
            return None
        prefix, rest, _ = self._parts
        maps = torch.cat([prefix(_as_float(chunk, self.device)) for chunk in images.split(_chunk(images, self.device))])
        features: list[Tensor] = []
        moments = site_moments(rest.filmed, lambda: features.extend(map(rest.backbone, maps.split(MAPS_CHUNK))))
        joined = torch.cat(features)
        check_finite(joined, "image", first=first)
        return PlainPass(joined, maps, moments)

    @torch.no_grad()
    def modulations(
        self, images: Tensor, labels: Tensor, weights: Tensor | None = None, known: PlainPass | None = None
    ) -> Modulations:
        """Gamma and beta of every site for a support set; empty without FiLM.

        Args:
            images: ``(N, C, H, W)``, uint8. Of more than 500, 500 are used, evenly over the classes.
            labels: ``(N,)`` in ``[0, way)``.
            weights: what each image counts, above 0, ``(N,)``; None: 1 each. Integers count as repetitions; other
                weights draw 500 images in proportion, evenly and not at random, which count as much as their sum.
            known: the images' :meth:`plain_pass`, which saves another one.

        Raises:
            NonFiniteFeaturesError: gamma or beta is NaN or infinite.
        """
        if not self.has_film:
            return {}
        chosen = _even_choice(labels, MAX_CODE_IMAGES, weights)
        if known is None or self._parts is None:
            found = self.learner.modulations(_as_float(images[chosen], self.device)) or {}
        else:
            count = None if weights is None else min(max(float(weights.sum()), 1.0), MAX_CODE_IMAGES)
            statistics = channel_statistics(self._parts.rest.filmed, known.moments_of(chosen), count)
            found = cast(ChannelGenerator, self.learner.generator)(*statistics)
        for name, values in found.items():
            if not all(bool(part.isfinite().all()) for part in values):
                raise NonFiniteFeaturesError(
                    f"FiLM generated NaN or infinity for the site {name} from the support images; images are finite "
                    "by now, so the model's weights are the cause (perhaps a training that diverged): use another model"
                )
        return found

    @torch.no_grad()
    def adapted(self, modulations: Modulations, known: PlainPass) -> tuple[nn.Module, Tensor]:
        """The network with these values, and the features ``(N, D)`` of support images, from what they are without.

        Raises:
            NonFiniteFeaturesError: a feature is NaN or infinite; says of which images.
        """
        if known.maps is None or self._parts is None:
            return self._unmodified, known.features
        network = self.after_prefix(modulations)
        features = torch.cat([network(maps) for maps in known.maps.split(MAPS_CHUNK)])
        check_finite(features, "image")
        return nn.Sequential(self._parts.prefix, network), features

    def after_prefix(self, modulations: Modulations) -> nn.Module:
        """What makes features of the maps of a :meth:`plain_pass`, with these values folded in.

        Raises:
            ConfigError: FiLM depends on more than the maps at its sites, so that there are no such maps.
        """
        if self._parts is None:
            raise ConfigError("this model's FiLM depends on more than maps at its sites: its network is not cut")
        return _fused(self._parts.rest, modulations, self._parts.pairs)

    def network(self, modulations: Modulations) -> nn.Module:
        """The backbone with these values and every BatchNorm folded into its convolutions."""
        return _fused(self.learner, modulations, self._pairs)

    def quantizer(self, modulations: Modulations) -> Quantizer:
        """What turns the :meth:`network` with these values into one of 8-bit integers.

        Raises:
            QuantizationError: it cannot become one, or is not on the processor.
        """
        if self.device.type != "cpu":
            raise QuantizationError(
                f"precision is int8, which is for the processor, and the device is {self.device.type}; pass "
                "device='cpu', or precision='float32'"
            )
        return Quantizer(cast(Backbone, self.network(modulations)))

    def calibrated(self, modulations: Modulations, images: Tensor, labels: Tensor) -> tuple[nn.Module, Int8Calibration]:
        """The network in 8-bit integers, calibrated on some of these images, evenly over the classes.

        At every fit anew: FiLM gives every task other weights, and without it too, what a classifier says depends on
        its support set and on nothing that it was fitted to before.

        Args:
            modulations: gamma and beta of the sites.
            images: ``(N, C, H, W)``, uint8.
            labels: ``(N,)``.

        Returns:
            The network, and what it was calibrated by, see :meth:`Quantizer.calibrated`.
        """
        chosen = images[_even_choice(labels, MAX_CALIBRATION_IMAGES)]
        batches = [_as_float(chunk, self.device) for chunk in chosen.split(BLOCK)]
        return self.quantizer(modulations).calibrated(batches)

    @torch.no_grad()
    def fit_head(self, features: Tensor, labels: Tensor, weights: Tensor | None = None) -> TaskHead:
        """The learner's head, and distances on the same features: its own, or Mahalanobis in double precision.

        Args:
            features: ``(N, D)``.
            labels: integers, ``(N,)``, on the same device; columns follow their sorted order.
            weights: what each image counts, above 0, ``(N,)``; None: 1 each.
        """
        given = {} if weights is None else {"weights": weights.to(features.device)}
        rows = features.double() if isinstance(self.learner, SimpleCNAPS | RidgeRegression) else features
        head = self.learner.fit_head(rows, labels, **given)
        if isinstance(head, MahalanobisClassifier | RidgeHead):
            return TaskHead(head, head)
        return TaskHead(head, fit_mahalanobis(features.double(), labels, sample_weights=given.get("weights")))

    @torch.no_grad()
    def heads_among(self, features: Tensor) -> tuple[Callable[..., TaskHead], Tensor]:
        """:meth:`fit_head`, for fits to some of these images that are asked about others of them.

        Returns:
            What fits a head, and what it is given of every image: the features ``(N, D)``, or fewer numbers that
            tell a head as much.
        """
        learner = self.learner
        if not isinstance(learner, RidgeRegression):
            return self.fit_head, features

        def fit_head(rows: Tensor, labels: Tensor, weights: Tensor | None = None) -> TaskHead:
            head = learner.fit_transformed(rows, labels, weights)
            return TaskHead(head, head)

        return fit_head, span_coordinates(features.double(), learner.config.power)


def _folded(learner: FilmLearner, modulations: Modulations, *, share_weights: bool = True) -> nn.Module:
    """A learner's backbone with these values folded in; the backbone itself without FiLM."""
    if not learner.has_film:
        return learner.backbone
    device = learner.backbone.normalize.mean.device
    moved = {name: Modulation(*(part.to(device) for part in pair)) for name, pair in modulations.items()}
    return fold_film(learner.filmed, moved, share_weights=share_weights)


def _fused(learner: FilmLearner, modulations: Modulations, pairs: list[tuple[str, str]]) -> nn.Module:
    """The same with every BatchNorm folded in too."""
    plain = _folded(learner, modulations, share_weights=False)
    fused = fuse_conv_norm(plain, pairs, in_place=learner.has_film)  # then it is a copy already
    return fused.requires_grad_(False).eval().to(memory_format=torch.channels_last)


@torch.no_grad()
def features_of(network: nn.Module, images: Tensor, device: torch.device, first: int = 0) -> Tensor:
    """Features ``(N, D)``, float32, of ``(N, C, H, W)`` uint8 images.

    Args:
        network: images to features.
        images: at the network's size.
        device: where the network is.
        first: number of the first image, for an error.

    Raises:
        NonFiniteFeaturesError: a feature is NaN or infinite; says of which images.
    """
    chunks = images.split(BLOCK if isinstance(network, QuantizedNetwork) else _chunk(images, device))
    features = torch.cat([network(_as_float(chunk, device)) for chunk in chunks])
    check_finite(features, "image", first=first)
    return features


def _chunk(images: Tensor, device: torch.device) -> int:
    """How many images ``(N, C, H, W)`` go through a network at once."""
    if device.type != "cpu":
        return CHUNK
    return min(max(torch.get_num_threads() * CHUNK_PIXELS // (images.shape[2] * images.shape[3]), 1), CHUNK)


def _as_float(images: Tensor, device: torch.device) -> Tensor:
    moved = images.to(device).contiguous(memory_format=torch.channels_last)
    return moved.float().div_(255)


def _fusable_pairs(network: nn.Module) -> list[tuple[str, str]]:
    """Convolutions of a backbone and the BatchNorm layers after them, see :func:`_pairs_in`."""
    pairs = _pairs_in(FeatureMaps(cast(Backbone, network)))
    return [(conv.removeprefix("backbone."), norm.removeprefix("backbone.")) for conv, norm in pairs]


def _pairs_in(network: nn.Module) -> list[tuple[str, str]]:
    """Convolutions and the BatchNorm layers after them; none where the data flow cannot be read off."""
    try:
        return find_conv_norm_pairs(network)
    except FoldError:
        return []


def _even_choice(labels: Tensor, most: int, weights: Tensor | None = None) -> Tensor:
    """Positions of at most ``most`` images, evenly over the images in the order of their classes.

    With weights an image is chosen in proportion to its own, and so may be chosen several times.
    """
    if weights is None:
        if len(labels) <= most:
            return torch.arange(len(labels))
        return labels.argsort(stable=True)[torch.arange(most) * len(labels) // most]
    total = float(weights.sum())
    if total <= most and bool((weights == weights.round()).all()):
        return torch.arange(len(labels)).repeat_interleave(weights.long())
    order = labels.argsort(stable=True)
    places = torch.arange(most, dtype=torch.float64) * (total / most)
    return order[torch.searchsorted(weights[order].cumsum(0), places, right=True).clamp_max(len(order) - 1)]
