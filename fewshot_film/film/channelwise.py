"""A generator that looks at every channel by itself: one small network for all channels of all sites.

It reads what a channel does on the support set in units of what it does on the data that the network was trained on,
and says how to scale and shift it. It has a few thousand parameters whatever the size of the network, and none of its
own for any channel, so that what it learns on some kinds of images can hold for others.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fewshot_film.film.errors import ShapeError
from fewshot_film.film.generators import Generator
from fewshot_film.film.inject import FiLMedNetwork, noting
from fewshot_film.film.norms import is_norm
from fewshot_film.film.sites import Modulations, Site, Sites

NUM_STATISTICS = 5
"""Numbers that describe a channel; see :func:`channel_statistics`."""
_BOUND = 10.0
"""Largest size of a statistic: further out a network trained on a few kinds of images knows nothing."""
_LEAST_UNIT = 1e-3


class ChannelStatistics(NamedTuple):
    """All channels of all sites, site after site."""

    values: Tensor
    """``(num_channels, NUM_STATISTICS)``."""
    units: Tensor
    """``(num_channels,)``: spread of each channel on the data that the network was trained on."""


class ChannelGenerator(Generator):
    """``gamma = 1 + a``, ``beta = b * unit``, with ``(a, b)`` of each channel by one network of its statistics.

    The network sees a channel's statistics, its site, and a summary of all channels (the mean over their hidden
    layers, as in Zaheer et al., "Deep Sets", NeurIPS 2017, https://arxiv.org/abs/1703.06114): the order of a site's
    channels has no meaning to it. A fresh one is at the identity.

    Args:
        sites: the sites to generate for.
        width: of the hidden layers.
        penalty_weight: of the squared weights of the last layer, in :meth:`penalty`.

    Raises:
        ShapeError: there are no sites, or ``width`` is below 1.
    """

    site: Tensor

    def __init__(self, sites: Sites, width: int = 64, penalty_weight: float = 0.001) -> None:
        super().__init__(NUM_STATISTICS, sites)
        if width < 1:
            raise ShapeError(f"width is {width}, expected at least 1")
        self.penalty_weight = penalty_weight
        counts = [site.num_channels for site in sites]
        numbers = torch.arange(len(sites)).repeat_interleave(torch.tensor(counts), output_size=sum(counts))
        self.register_buffer("site", numbers, persistent=False)
        self.channel = _two_layers(NUM_STATISTICS + len(sites), width)
        self.summary = nn.Sequential(nn.Linear(width, width), nn.ReLU())
        self.change = nn.Sequential(nn.Linear(2 * width, width), nn.ReLU(), nn.Linear(width, 2))
        last = self._last_layer()
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)

    def forward(self, code: Tensor, *args: Any) -> Modulations:
        """Generate values for every site, of one row each.

        Args:
            code: ``values`` of :class:`ChannelStatistics`.
            *args: its ``units``.

        Raises:
            ShapeError: they are of other sites.
        """
        (units,) = args
        expected = (self.sites.num_channels, NUM_STATISTICS)
        if code.shape != expected or units.shape != expected[:1]:
            raise ShapeError(
                f"ChannelGenerator: statistics have shapes {tuple(code.shape)} and {tuple(units.shape)}, expected "
                f"{expected} and {expected[:1]}: a row for each channel of its {len(self.sites)} sites"
            )
        site = F.one_hot(self.site, len(self.sites)).to(code)
        hidden = self.channel(torch.cat([code, site], 1))
        summary = self.summary(hidden.mean(0)).expand_as(hidden)
        scale, shift = self.change(torch.cat([hidden, summary], 1)).unbind(1)
        widths = [site.num_channels for site in self.sites]
        parts = zip(scale.split(widths), (shift * units).split(widths), strict=True)
        return self.sites.from_residuals(torch.cat([part for pair in parts for part in pair])[None])

    def penalty(self) -> Tensor:
        """``penalty_weight`` times the sum of the last layer's squared weights: without them it is the identity."""
        return self.penalty_weight * self._last_layer().weight.square().sum()

    def _last_layer(self) -> nn.Linear:
        last = self.change[-1]
        assert isinstance(last, nn.Linear)
        return last


def _two_layers(inputs: int, width: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(inputs, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU())


class SiteMoments(NamedTuple):
    """What each image's positions hold at one site, before FiLM."""

    mean: Tensor
    """``(N, C)``."""
    std: Tensor
    """``(N, C)``: over the positions; 0 where there is one."""


@torch.no_grad()
def site_moments(filmed: FiLMedNetwork, run: Callable[[], object]) -> dict[str, SiteMoments]:
    """Moments of the images that pass every site, without FiLM.

    Args:
        filmed: a network with FiLM.
        run: passes images through ``filmed.network`` or the part of it with the sites, in one or several calls.
    """
    found: dict[str, list[SiteMoments]] = {name: [] for name in filmed.sites.names}
    with filmed.modulated({}), noting(filmed, partial(_note, found)):
        run()
    return {name: SiteMoments(*map(torch.cat, zip(*parts, strict=True))) for name, parts in found.items()}


def _note(found: dict[str, list[SiteMoments]], site: str, axis: int, features: Tensor) -> None:
    rows = features.movedim(axis, 1).flatten(2).float() if features.ndim > 2 else features[..., None].float()
    std, mean = torch.std_mean(rows, 2, correction=0)
    found[site].append(SiteMoments(mean, std))


@torch.no_grad()
def channel_statistics(
    filmed: FiLMedNetwork, moments: dict[str, SiteMoments], count: float | None = None
) -> ChannelStatistics:
    """What a set of images does to every channel, in units of the network's training data.

    Of normalisation layers that end in ``weight * normalised + bias``, the training data's mean is ``bias`` and their
    spread ``|weight|``. The statistics are mean over the images of the channel's mean, its spread over the images,
    mean of its spread over the positions, spread of that over the images, and ``1 / sqrt(N)``.

    Args:
        filmed: the network with FiLM.
        moments: of N images, see :func:`site_moments`.
        count: what is taken for N; None: how many moments there are. It differs where images stand for others, as
            those do that were drawn by weight.
    """
    parts, units = [], []
    for site in filmed.sites:
        centre, unit = _home(filmed.network.get_submodule(site.name), site, moments[site.name].mean)
        mean, std = (moments[site.name].mean - centre) / unit, moments[site.name].std / unit
        over_images = [mean.mean(0), mean.std(0, correction=0), std.mean(0), std.std(0, correction=0)]
        doubt = torch.full_like(unit, (len(mean) if count is None else count) ** -0.5)
        parts.append(torch.stack([*over_images, doubt], 1).clamp(-_BOUND, _BOUND))
        units.append(unit)
    return ChannelStatistics(torch.cat(parts), torch.cat(units))


def _home(layer: nn.Module, site: Site, like: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and spread of a layer's channels on the data that it was trained on; 0 and 1 where it does not say."""
    weight, bias = (getattr(layer, name, None) if is_norm(layer) else None for name in ("weight", "bias"))
    ones = like.new_ones(site.num_channels)
    unit = ones if weight is None else weight.detach().abs().clamp_min(_LEAST_UNIT).to(like)
    return 0 * ones if bias is None else bias.detach().to(like), unit
