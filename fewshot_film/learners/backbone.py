"""A backbone: images to features, in named stages after whose normalisation layers FiLM can go."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fewshot_film.config.preprocessing import Preprocessing
from fewshot_film.errors import ConfigError, InvalidValueError
from fewshot_film.film import FiLMedNetwork, Sites, inject_film
from fewshot_film.film.inject import first_part
from fewshot_film.images import IMAGENET_MEAN, IMAGENET_STD

FEATURE_NORMS = "feature_norms."
_SMALL = 1e-6


def plain_preprocessing(size: int = 84, channels: int = 3) -> Preprocessing:
    """What networks that are trained here read: images stretched to a square, and ImageNet's mean and deviation.

    Args:
        size: of the square, pixels.
        channels: 3, or 1 for grey images, whose mean and deviation are 0.5.
    """
    mean, std = (IMAGENET_MEAN, IMAGENET_STD) if channels == 3 else ((0.5,) * channels, (0.5,) * channels)
    return Preprocessing(size, mean, std)


class Normalize(nn.Module):
    """Images in [0, 1] to about zero mean and unit spread, by the constants of a network's preprocessing.

    The constants are not part of the state dict: a backbone's keys stay those of the plain network.

    Args:
        preprocessing: of the network.
        by_pixel: lay the result out by pixel (channels last), which convolutions are fastest on.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, preprocessing: Preprocessing, by_pixel: bool = True) -> None:
        super().__init__()
        self.preprocessing = preprocessing
        self.by_pixel = by_pixel  # a memory format itself cannot be saved by torch.save
        self.register_buffer("mean", torch.tensor(preprocessing.mean).view(-1, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(preprocessing.std).view(-1, 1, 1), persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        """Images ``(B, C, H, W)`` in [0, 1], normalised per channel."""
        return ((images - self.mean) / self.std).contiguous(
            memory_format=torch.channels_last if self.by_pixel else torch.contiguous_format
        )

    def extra_repr(self) -> str:
        """The preprocessing, as ``print(network)`` shows it."""
        return repr(self.preprocessing)


class L2Norm(nn.LayerNorm):
    """Vectors scaled to one length: a normalisation layer that FiLM can follow, as it can any other.

    What FiLM does there is a metric of the task: gamma says how much each feature counts. A power below 1 comes before
    it: averages of a ReLU's maps have long tails, and classes of few images are nearer to normal without (Tukey's
    ladder of powers; Yang et al., ICLR 2021, https://arxiv.org/abs/2101.06395, eq. 3).

    Args:
        width: of the vectors.
        length: what each is scaled to; 0 leaves them as they are.
        power: what the size of every element is raised to first; its sign stays.

    Example:
        >>> L2Norm(2, 10.0)(torch.tensor([[3.0, 4.0]]))
        tensor([[6., 8.]])
    """

    ends_in_affine = True

    def __init__(self, width: int, length: float, power: float = 1.0) -> None:
        super().__init__(width, elementwise_affine=False)
        self.length = length
        self.power = power

    def forward(self, x: Tensor) -> Tensor:
        """Vectors ``(*, width)`` of that length; where an affine part was folded in, changed by it."""
        if self.power != 1:  # with a bound, or the gradient at 0 were infinite
            x = x.sign() * x.abs().clamp_min(_SMALL).pow(self.power)
        x = self.length * F.normalize(x, dim=-1) if self.length else x
        x = x if self.weight is None else x * self.weight
        return x if self.bias is None else x + self.bias

    def extra_repr(self) -> str:
        """Width, length and power, as ``print(network)`` shows them."""
        return f"{self.normalized_shape[0]}, length={self.length:g}, power={self.power:g}"


class Backbone(nn.Module):
    """Normalisation of the images, a stem, stages of blocks, and the mean over positions of the last of them.

    Args:
        preprocessing: what the network reads.
        stem: modules before the first stage, by name, in order.
        stages: the stages, by name, in order.
        stage_widths: channels of each.
        feature_norms: one number for each of the last stages that the features are joined from: the length that its
            part is scaled to; 0 leaves it as it is. The sites there are called ``feature_norms.STAGE``.
        tukey_power: what the size of every feature is raised to before that.
        flip_tta: average over an image and its mirror image, but not while training.

    Raises:
        ConfigError: there are more lengths than stages.
    """

    is_sequence = True
    """Whether every stage reads what the one before it returns."""

    def __init__(
        self,
        preprocessing: Preprocessing,
        stem: Mapping[str, nn.Module],
        stages: Mapping[str, nn.Module],
        stage_widths: Sequence[int],
        feature_norms: Sequence[float] = (0.0,),
        tukey_power: float = 1.0,
        flip_tta: bool = False,
    ) -> None:
        super().__init__()
        if len(feature_norms) > len(stages):
            raise ConfigError(
                f"backbone.feature_norms is {list(feature_norms)}; expected at most {len(stages)}, one for each "
                "stage of this network"
            )
        modules = [module for part in (*stem.values(), *stages.values()) for module in part.modules()]
        self.normalize = Normalize(preprocessing, by_pixel=not any(map(_is_narrow_shortcut, modules)))
        for name, module in [*stem.items(), *stages.items()]:
            self.add_module(name, module)
        self.stem_names = tuple(stem)
        self.stage_names = tuple(stages)
        lengths = dict(zip([*stages][-len(feature_norms) :], feature_norms, strict=True))
        widths = {name: width for name, width in zip(stages, stage_widths, strict=True) if name in lengths}
        self.feature_norms = nn.ModuleDict(
            {name: L2Norm(width, lengths[name], tukey_power) for name, width in widths.items()}
        )
        self.flip_tta = flip_tta
        self.feature_dim = sum(widths.values())

    @property
    def preprocessing(self) -> Preprocessing:
        """What the network reads: how an image becomes its input."""
        return self.normalize.preprocessing

    @property
    def feature_sites(self) -> tuple[str, ...]:
        """What FiLM on the joined features is called, part by part, in their order."""
        return tuple(FEATURE_NORMS + name for name in self.feature_norms)

    @property
    def norms(self) -> list[L2Norm]:
        """The norms of the parts that the features are joined from, in their order."""
        return [cast(L2Norm, norm) for norm in self.feature_norms.values()]

    def stem_modules(self) -> list[nn.Module]:
        """What comes before the first stage, in order, normalisation of the images first."""
        return [self.normalize, *(self.get_submodule(name) for name in self.stem_names)]

    def set_features(self, power: float | None = None, flip_tta: bool | None = None) -> None:
        """Change what is made of the maps, which needs no other weights; None leaves it."""
        if power is not None:
            for norm in self.norms:
                norm.power = power
        if flip_tta is not None:
            self.flip_tta = flip_tta

    def inject(self, sites: Iterable[str]) -> FiLMedNetwork:
        """This network with FiLM after the normalisation layers that names or patterns name.

        Raises:
            SiteError: nothing has such a name, or carries FiLM already.
        """
        return inject_film(self, after=sites, stage_of=lambda name: first_part(name.removeprefix(FEATURE_NORMS)))

    def segments(self, sites: Sites) -> list[nn.Sequential]:
        """What comes before the first stage with sites, then every such stage with what follows it.

        Raises:
            ValueError: a site is in no stage.
        """
        with_sites = list(sites.by_stage())
        unknown = [name for name in with_sites if name not in self.stage_names]
        if unknown:
            raise InvalidValueError(
                f"adaptation film+ar goes stage by stage and has no place for sites in {', '.join(unknown)}; "
                f"use sites in {', '.join(self.stage_names)}, or adaptation film"
            )
        segments = [[*self.stem_modules()]]
        for name in self.stage_names:
            if name in with_sites:
                segments.append([])
            segments[-1].append(self.get_submodule(name))
        return [nn.Sequential(*modules) for modules in segments]

    @torch.no_grad()
    def entering_widths(self, sites: Sites) -> list[int]:
        """Channels that enter every stage with sites: found by a pass of one small image."""
        self.eval()
        widths, maps = [], self.normalize.mean.new_zeros(1, self.preprocessing.channels, 64, 64)
        for segment in self.segments(sites)[:-1]:
            maps = segment(maps)
            widths.append(maps.shape[1])
        return widths

    def forward(self, x: Tensor) -> Tensor:
        """Features ``(B, feature_dim)`` of images ``(B, C, H, W)`` in [0, 1]: maps of the last stages, averaged."""
        return joined_features(self.maps, self.feature_norms, x, self.flip_tta and not self.training)

    def maps(self, x: Tensor) -> list[Tensor]:
        """What the stages that make the features return for images ``(B, C, H, W)`` in [0, 1]."""
        for module in self.stem_modules():
            x = module(x)
        maps = []
        for name in self.stage_names:
            x = self.get_submodule(name)(x)
            if name in self.feature_norms:
                maps.append(x)
        return maps


class FeatureMaps(nn.Module):
    """A backbone up to its maps: the part whose data flow can be read off.

    Args:
        backbone: a copy of one, too, with FiLM or BatchNorm folded in.
    """

    def __init__(self, backbone: Backbone) -> None:
        super().__init__()
        self.backbone = backbone

    def forward(self, images: Tensor) -> list[Tensor]:
        """See :meth:`Backbone.maps`."""
        return self.backbone.maps(images)


def joined_features(
    maps: Callable[[Tensor], Sequence[Tensor]], norms: nn.ModuleDict, images: Tensor, flip_tta: bool
) -> Tensor:
    """Features ``(B, D)`` of images ``(B, C, H, W)``: maps averaged over their positions, each part with its norm.

    Args:
        maps: images to maps ``(B, C, *)``.
        norms: one for each of the maps, in their order.
        images: what ``maps`` takes.
        flip_tta: average over an image and its mirror image.
    """

    def averages(images: Tensor) -> list[Tensor]:
        return [found.flatten(2).mean(2) if found.ndim > 2 else found for found in maps(images)]

    parts = averages(images)
    if flip_tta:
        parts = [(one + other) / 2 for one, other in zip(parts, averages(images.flip(-1)), strict=True)]
    features = [norm(part) for norm, part in zip(norms.values(), parts, strict=True)]
    return torch.cat(features, 1) if len(features) > 1 else features[0]


def _is_narrow_shortcut(module: nn.Module) -> bool:
    """Whether oneDNN's gradient of this layer, laid out by pixel, writes past its workspace.

    https://github.com/uxlfoundation/oneDNN/issues/6035: a 1 x 1 convolution with stride and fewer input channels than
    a block has, 8 or 16 by the processor.
    """
    return (
        isinstance(module, nn.Conv2d)
        and module.kernel_size == (1, 1)
        and module.stride != (1, 1)
        and module.in_channels < 16
    )
