"""Residual networks without a classifier: pictures to features, in named stages.

``cnaps-resnet18`` is the variant that CNAPS and Simple CNAPS use at 84 x 84: a 5 x 5 stem of stride 2 and no
max-pooling (Requeima et al. 2019, https://arxiv.org/abs/1906.07697). Layers carry torchvision's names, so that
``layer*.*.bn[12]`` names the two normalisations of every block of a ResNet-18 in either.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import cast

import torch
import torchvision
from torch import Tensor, nn
from torchvision.models.resnet import BasicBlock

from fewshot_film.config.learners import TORCHVISION, BackboneConfig
from fewshot_film.errors import InvalidValueError
from fewshot_film.film import FiLMedNetwork, Sites, inject_film
from fewshot_film.film.inject import first_part
from fewshot_film.images import IMAGENET_MEAN, IMAGENET_STD
from fewshot_film.learners.errors import WeightsError
from fewshot_film.learners.length_norm import LengthNorm
from fewshot_film.run.errors import ConfigError
from fewshot_film.run.help import suggestion
from fewshot_film.run.weights import fetch_state_dict, read_state_dict

FEATURE_NORMS = "feature_norms."


class Normalize(nn.Module):
    """Pictures in [0, 1] to about zero mean and unit spread: ImageNet's constants, or 0.5 and 0.5 for grey ones.

    The constants are not part of the state dict: a backbone's keys stay those of the plain network.

    Args:
        channels: 3, or another number for pictures without colours.
        by_pixel: lay the result out by pixel (channels last), which convolutions are fastest on.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, channels: int, by_pixel: bool = True) -> None:
        super().__init__()
        self.by_pixel = by_pixel  # a memory format itself cannot be saved by torch.save
        mean, std = (IMAGENET_MEAN, IMAGENET_STD) if channels == 3 else ((0.5,) * channels, (0.5,) * channels)
        self.register_buffer("mean", torch.tensor(mean).view(-1, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).view(-1, 1, 1), persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        """Pictures ``(B, C, H, W)`` in [0, 1], normalised per channel."""
        return ((images - self.mean) / self.std).contiguous(
            memory_format=torch.channels_last if self.by_pixel else torch.contiguous_format
        )


class Backbone(nn.Module):
    """Normalisation of the pictures, a stem, stages of blocks, and the mean over positions of the last of them.

    Args:
        channels: colour channels of the pictures.
        stem: modules before the first stage, by name, in order.
        stages: the stages, by name, in order.
        stage_widths: channels of each.
        feature_lengths: one number for each of the last stages that the features are joined from: the length that its
            part is scaled to; 0 leaves it as it is. The sites there are called ``feature_norms.STAGE``.
        feature_power: what the size of every feature is raised to before that.
        mirror: average over a picture and its mirror image, but not while training.

    Raises:
        ConfigError: there are more lengths than stages.
    """

    def __init__(
        self,
        channels: int,
        stem: Mapping[str, nn.Module],
        stages: Mapping[str, nn.Module],
        stage_widths: Sequence[int],
        feature_lengths: Sequence[float] = (0.0,),
        feature_power: float = 1.0,
        mirror: bool = False,
    ) -> None:
        super().__init__()
        if len(feature_lengths) > len(stages):
            raise ConfigError(
                f"backbone.feature_lengths is {list(feature_lengths)}; expected at most {len(stages)}, one for each "
                "stage of this network"
            )
        self.channels = channels
        modules = [module for part in (*stem.values(), *stages.values()) for module in part.modules()]
        self.normalize = Normalize(channels, by_pixel=not any(map(_is_narrow_shortcut, modules)))
        for name, module in [*stem.items(), *stages.items()]:
            self.add_module(name, module)
        self._stem_names = tuple(stem)
        self.stage_names = tuple(stages)
        lengths = dict(zip([*stages][-len(feature_lengths) :], feature_lengths, strict=True))
        widths = {name: width for name, width in zip(stages, stage_widths, strict=True) if name in lengths}
        self.feature_norms = nn.ModuleDict(
            {name: LengthNorm(width, lengths[name], feature_power) for name, width in widths.items()}
        )
        self.mirror = mirror
        self.feature_dim = sum(widths.values())

    @property
    def feature_sites(self) -> tuple[str, ...]:
        """What FiLM on the joined features is called, part by part, in their order."""
        return tuple(FEATURE_NORMS + name for name in self.feature_norms)

    def stem_modules(self) -> list[nn.Module]:
        """What comes before the first stage, in order, normalisation of the pictures first."""
        return [self.normalize, *(self.get_submodule(name) for name in self._stem_names)]

    def set_features(self, power: float | None = None, mirror: bool | None = None) -> None:
        """Change what is made of the maps, which needs no other weights; None leaves it."""
        if power is not None:
            for norm in self.feature_norms.values():
                cast(LengthNorm, norm).power = power
        if mirror is not None:
            self.mirror = mirror

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
        """Channels that enter every stage with sites: found by a pass of one small picture."""
        self.eval()
        widths, maps = [], torch.zeros(1, self.channels, 64, 64)
        for segment in self.segments(sites)[:-1]:
            maps = segment(maps)
            widths.append(maps.shape[1])
        return widths

    def forward(self, x: Tensor) -> Tensor:
        """Features ``(B, feature_dim)`` of pictures ``(B, C, H, W)`` in [0, 1]: maps of the last stages, averaged."""
        averages = self._averages(x)
        if self.mirror and not self.training:
            averages = [(one + other) / 2 for one, other in zip(averages, self._averages(x.flip(-1)), strict=True)]
        features = [norm(average) for norm, average in zip(self.feature_norms.values(), averages, strict=True)]
        return torch.cat(features, 1) if len(features) > 1 else features[0]

    def _averages(self, x: Tensor) -> list[Tensor]:
        """Maps of the stages that make the features, each averaged over its positions."""
        for module in self.stem_modules():
            x = module(x)
        averages = []
        for name in self.stage_names:
            x = self.get_submodule(name)(x)
            if name in self.feature_norms:
                averages.append(x.flatten(2).mean(2) if x.ndim > 2 else x)
        return averages


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


def build_backbone(config: BackboneConfig) -> Backbone:
    """The backbone of ``config``, with its weights.

    Raises:
        WeightsError: the weights cannot be found, fetched or fitted.
        ValueError: a setting that this backbone does not have.
    """
    backbone = _cnaps_resnet(config) if config.name == "cnaps-resnet18" else _torchvision_network(config)
    if config.weights:
        backbone.load_state_dict(_read_weights(config, backbone))
    return backbone


def _cnaps_resnet(config: BackboneConfig) -> Backbone:
    stem = {
        "conv1": nn.Conv2d(
            config.channels, config.width, config.stem_kernel, config.stem_stride, padding=1, bias=False
        ),
        "bn1": nn.BatchNorm2d(config.width),
        "relu": nn.ReLU(inplace=True),
    }
    widths = [config.width * 2**index for index in range(len(config.blocks))]
    stages, channels = {}, config.width
    for index, (num_blocks, out) in enumerate(zip(config.blocks, widths, strict=True)):
        stages[f"layer{index + 1}"] = _stage(channels, out, num_blocks, stride=1 if index == 0 else 2)
        channels = out
    backbone = Backbone(config.channels, stem, stages, widths, *_features(config))
    for module in backbone.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
    return backbone


def _stage(channels: int, out: int, num_blocks: int, stride: int) -> nn.Sequential:
    shortcut = None
    if stride != 1 or channels != out:
        shortcut = nn.Sequential(nn.Conv2d(channels, out, 1, stride, bias=False), nn.BatchNorm2d(out))
    first = BasicBlock(channels, out, stride, shortcut)
    return nn.Sequential(first, *(BasicBlock(out, out) for _ in range(num_blocks - 1)))


def _torchvision_network(config: BackboneConfig) -> Backbone:
    from fewshot_film.learners.wrapped import WrappedBackbone, without_classifier

    if (config.width, config.channels) != (64, 3):
        raise InvalidValueError(
            f"{config.name} has width 64 and 3 channels, not width {config.width} and {config.channels} channels; "
            "use cnaps-resnet18 for other sizes"
        )
    name = config.name.removeprefix(TORCHVISION)
    try:
        plain = torchvision.models.get_model(name, weights=None)
    except ValueError:
        raise ConfigError(
            f"torchvision has no model {name!r}{suggestion(name, torchvision.models.list_models())}"
        ) from None
    if name != config.name:
        return WrappedBackbone(without_classifier(plain), 3, config.image_size, *_features(config))
    children = {name: child for name, child in plain.named_children() if name not in ("avgpool", "fc")}
    stages = {name: child for name, child in children.items() if name.startswith("layer")}
    stem = {name: child for name, child in children.items() if name not in stages}
    widths = [plain.fc.in_features // 2**before_last for before_last in reversed(range(len(stages)))]
    return Backbone(config.channels, stem, stages, widths, *_features(config))


def _features(config: BackboneConfig) -> tuple[tuple[float, ...], float, bool]:
    """What is made of the stages' maps: the last arguments of every backbone."""
    return config.feature_lengths, config.feature_power, config.mirror


def _read_weights(config: BackboneConfig, backbone: Backbone) -> dict[str, Tensor]:
    """Weights from a file, a folder or torchvision, checked against the network's keys and shapes."""
    path = Path(config.weights)
    path = path / "model.safetensors" if path.is_dir() else path
    found = read_state_dict(path, WeightsError) if path.is_file() else _fetch(config)
    found = {key.removeprefix("backbone."): value for key, value in found.items()}
    expected = backbone.state_dict()
    if config.name.startswith(TORCHVISION):
        found = {f"network.{key.removeprefix('network.')}": value for key, value in found.items()}
    missing = [key for key in expected if key not in found]
    other = [key for key in expected if key in found and expected[key].shape != found[key].shape]
    if missing or other:
        raise WeightsError(
            f"the weights in {config.weights} are not of this backbone ({config.name}, width {config.width}): "
            f"{len(missing)} keys are missing (such as {missing[:2]}) and {len(other)} have another shape "
            f"(such as {other[:2]}); use the settings that the weights were trained with"
        )
    return {key: found[key] for key in expected}


def _fetch(config: BackboneConfig) -> dict[str, Tensor]:
    """Torchvision's weights by name; torchvision keeps them in its cache after the first time."""
    if config.name == "cnaps-resnet18":
        raise WeightsError(
            f"no weights at {config.weights!r}: there is no such file or folder, and torchvision has none for "
            "cnaps-resnet18; train them with `fewshot-film pretrain`"
        )
    enum = torchvision.models.get_model_weights(config.name.removeprefix(TORCHVISION))
    names = [entry.name for entry in enum]
    if config.weights not in names:
        raise WeightsError(
            f"no weights at {config.weights!r}: there is no such file or folder, and torchvision's weights for "
            f"{config.name} are {', '.join(names)}"
        )
    return fetch_state_dict(enum[config.weights], config.name, "`weights`", WeightsError)
