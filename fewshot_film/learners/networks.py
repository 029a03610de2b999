"""Backbones by name, with their weights: the paper's ResNet-18, a VGG, EfficientNet-Lite, torchvision's and timm's.

``cnaps-resnet18`` is the variant that CNAPS and Simple CNAPS use at 84 x 84: a 5 x 5 stem of stride 2 and no
max-pooling (Requeima et al. 2019, https://arxiv.org/abs/1906.07697). Layers carry torchvision's names, so that
``layer*.*.bn[12]`` names the two normalisations of every block of a ResNet-18 in either.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from torch import Tensor, nn
from torchvision.models.resnet import BasicBlock

from fewshot_film import efficientnet_lite
from fewshot_film.config.backbone import LITES, PRETRAINED, RESNETS, TIMM, TORCHVISION, WHITENED, BackboneConfig
from fewshot_film.config.preprocessing import Preprocessing
from fewshot_film.errors import InvalidValueError, UserError
from fewshot_film.learners import libraries, whitened_vgg
from fewshot_film.learners.backbone import Backbone, plain_preprocessing
from fewshot_film.learners.joined import JoinedBackbone, network_names
from fewshot_film.learners.wrapped import WrappedBackbone, without_classifier
from fewshot_film.run.model_folder import read_state_dict

CNAPS = "cnaps-resnet18"
OF_ANY_SIZE = (CNAPS, WHITENED)
"""What has the width and the channels that the settings name, and no weights of its own."""


class WeightsError(UserError):
    """Backbone weights could not be found, fetched or fitted to the network."""


def build_backbone(config: BackboneConfig) -> Backbone:
    """The backbone of ``config``, with its weights.

    Raises:
        WeightsError: the weights cannot be found, fetched or fitted.
        ConfigError: the library has no such network.
        MissingExtraError: the network is timm's, and the extra ``timm`` is not installed.
        ValueError: a setting that this backbone does not have.
    """
    if config.name not in OF_ANY_SIZE and (config.width, config.channels) != (64, 3):
        raise InvalidValueError(
            f"{config.name} has width 64 and 3 channels, not width {config.width} and {config.channels} channels; "
            f"use {' or '.join(OF_ANY_SIZE)} for other sizes"
        )
    if config.networks > 1:
        one = replace(config, networks=1, weights="")
        backbone: Backbone = JoinedBackbone({name: build_backbone(one) for name in network_names(config.networks)})
    else:
        backbone = _family(config).build(config, preprocessing_of(config))
    if config.weights:
        backbone.load_state_dict(_read_weights(config, backbone))
    return backbone


def preprocessing_of(config: BackboneConfig) -> Preprocessing:
    """What a backbone reads: as its settings state it, or as its weights were trained.

    Raises:
        ConfigError: the library has no such network.
        MissingExtraError: the network is timm's, and the extra ``timm`` is not installed.
    """
    if config.preprocessing is not None:
        return config.preprocessing
    in_stages = config.name in RESNETS
    if config.name in OF_ANY_SIZE or (in_stages and (not config.weights or Path(config.weights).exists())):
        return plain_preprocessing(config.image_size, config.channels)
    own = library_preprocessing(config)
    return replace(own, size=config.image_size or own.size)


def library_preprocessing(config: BackboneConfig) -> Preprocessing:
    """What the library or package of a network says that its weights were trained to see.

    Raises:
        ConfigError: the library has no such network.
        MissingExtraError: the network is timm's, and the extra ``timm`` is not installed.
    """
    return _family(config).preprocessing(config)


def _cnaps_resnet(config: BackboneConfig, preprocessing: Preprocessing) -> Backbone:
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
    return _with_random_weights(Backbone(preprocessing, stem, stages, widths, *_features(config)))


def _whitened_vgg(config: BackboneConfig, preprocessing: Preprocessing) -> Backbone:
    return _with_random_weights(Backbone(preprocessing, *whitened_vgg.parts(config), *_features(config)))


def _with_random_weights(backbone: Backbone) -> Backbone:
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


def _torchvision_resnet(config: BackboneConfig, preprocessing: Preprocessing) -> Backbone:
    """A ResNet of torchvision in named stages."""
    plain = libraries.torchvision_network(config.name)
    children = {name: child for name, child in plain.named_children() if name not in ("avgpool", "fc")}
    stages = {name: child for name, child in children.items() if name.startswith("layer")}
    stem = {name: child for name, child in children.items() if name not in stages}
    last: int = plain.get_submodule("fc").in_features  # type: ignore[assignment]
    widths = [last // 2**before_last for before_last in reversed(range(len(stages)))]
    return Backbone(preprocessing, stem, stages, widths, *_features(config))


def _features(config: BackboneConfig) -> tuple[tuple[float, ...], float, bool]:
    """What is made of the stages' maps: the last arguments of every backbone."""
    return config.feature_norms, config.tukey_power, config.flip_tta


def _read_weights(config: BackboneConfig, backbone: Backbone) -> dict[str, Tensor]:
    """Weights from a file, a folder or the network's library, checked against the network's keys and shapes."""
    path = Path(config.weights)
    path = path / "model.safetensors" if path.is_dir() else path
    found = (
        _bare(read_state_dict(path, WeightsError))
        if path.is_file()
        else _family(config).weights(config, backbone.preprocessing)
    )
    found = {key.removeprefix("backbone."): value for key, value in found.items()}
    expected = backbone.state_dict()
    if config.networks == 1 and config.name.startswith((TORCHVISION, TIMM)):
        found = {f"network.{key.removeprefix('network.')}": value for key, value in found.items()}
    found = {**{key: value for key, value in expected.items() if key.endswith(".num_batches_tracked")}, **found}
    missing = [key for key in expected if key not in found]
    other = [key for key in expected if key in found and expected[key].shape != found[key].shape]
    if missing or other:
        raise WeightsError(
            f"the weights in {config.weights} are not of this backbone ({config.name}, width {config.width}): "
            f"{len(missing)} keys are missing (such as {missing[:2]}) and {len(other)} have another shape "
            f"(such as {other[:2]}); use the settings that the weights were trained with"
        )
    return {key: found[key] for key in expected}


def _bare(found: dict[str, Any]) -> dict[str, Tensor]:
    """A state dict out of what training programs save around it: under a name, and behind ``module.``."""
    for name in ("state_dict_ema", "model_ema", "state_dict", "model"):
        inside = found.get(name)
        if isinstance(inside, dict):
            found = inside
            break
    return {key.removeprefix("module."): value for key, value in found.items()}


@dataclass(frozen=True)
class _Family:
    """What the networks of one library or package read, how they are built, and where their weights come from."""

    preprocessing: Callable[[BackboneConfig], Preprocessing]
    """What the weights were trained to see."""
    build: Callable[[BackboneConfig, Preprocessing], Backbone]
    """A backbone with random weights."""
    weights: Callable[[BackboneConfig, Preprocessing], dict[str, Tensor]]
    """Weights by name; the libraries keep theirs in a cache after the first time."""


def _family(config: BackboneConfig) -> _Family:
    library = next((prefix for prefix in (TORCHVISION, TIMM) if config.name.startswith(prefix)), config.name)
    return _FAMILIES[library]


def _name(config: BackboneConfig) -> str:
    """What the library calls the network."""
    return config.name.removeprefix(TORCHVISION).removeprefix(TIMM)


def _torchvision_preprocessing(config: BackboneConfig) -> Preprocessing:
    return libraries.torchvision_preprocessing(_name(config), config.weights)


def _torchvision_network(config: BackboneConfig, preprocessing: Preprocessing) -> Backbone:
    network = without_classifier(libraries.torchvision_network(_name(config)))
    return WrappedBackbone(network, preprocessing, *_features(config))


def _torchvision_weights(config: BackboneConfig, _: Preprocessing) -> dict[str, Tensor]:
    return libraries.torchvision_weights(_name(config), config.weights, WeightsError)


def _timm_network(config: BackboneConfig, preprocessing: Preprocessing) -> Backbone:
    return WrappedBackbone(libraries.timm_network(_name(config), preprocessing.size), preprocessing, *_features(config))


def _timm_weights(config: BackboneConfig, preprocessing: Preprocessing) -> dict[str, Tensor]:
    return libraries.timm_weights(_name(config), config.weights, preprocessing.size, WeightsError)


def _lite_preprocessing(config: BackboneConfig) -> Preprocessing:
    variant = efficientnet_lite.VARIANTS[config.name]
    return Preprocessing(
        size=variant.size,
        mean=efficientnet_lite.MEAN,
        std=efficientnet_lite.STD,
        interpolation="bicubic",
        resize="crop",
        crop=variant.crop,
    )


def _lite(config: BackboneConfig, preprocessing: Preprocessing) -> Backbone:
    stem, stages = efficientnet_lite.parts(config.name)
    return Backbone(preprocessing, stem, stages, efficientnet_lite.widths(config.name), *_features(config))


def _lite_weights(config: BackboneConfig, _: Preprocessing) -> dict[str, Tensor]:
    if config.weights != PRETRAINED:
        raise WeightsError(
            f"no weights at {config.weights!r}: there is no such file or folder; those of the package are called "
            f"`{PRETRAINED}`"
        )
    return efficientnet_lite.read_packaged_weights(WeightsError, config.name)


def _no_weights(config: BackboneConfig, _: Preprocessing) -> dict[str, Tensor]:
    raise WeightsError(
        f"no weights at {config.weights!r}: there is no such file or folder, and no library has any for "
        f"{config.name}; train them with `fewshot-film pretrain`"
    )


_FAMILIES = {
    TORCHVISION: _Family(_torchvision_preprocessing, _torchvision_network, _torchvision_weights),
    TIMM: _Family(lambda config: libraries.timm_preprocessing(_name(config)), _timm_network, _timm_weights),
    **dict.fromkeys(RESNETS, _Family(_torchvision_preprocessing, _torchvision_resnet, _torchvision_weights)),
    **dict.fromkeys(LITES, _Family(_lite_preprocessing, _lite, _lite_weights)),
    CNAPS: _Family(_torchvision_preprocessing, _cnaps_resnet, _no_weights),
    WHITENED: _Family(_torchvision_preprocessing, _whitened_vgg, _no_weights),
}
"""By the prefix or the name of a network."""
