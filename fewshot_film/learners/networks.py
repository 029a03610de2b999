"""Backbones by name, with their weights: the paper's ResNet-18 and torchvision's networks.

``cnaps-resnet18`` is the variant that CNAPS and Simple CNAPS use at 84 x 84: a 5 x 5 stem of stride 2 and no
max-pooling (Requeima et al. 2019, https://arxiv.org/abs/1906.07697). Layers carry torchvision's names, so that
``layer*.*.bn[12]`` names the two normalisations of every block of a ResNet-18 in either.
"""

from __future__ import annotations

from pathlib import Path

import torchvision
from torch import Tensor, nn
from torchvision.models.resnet import BasicBlock

from fewshot_film.config.learners import TORCHVISION, BackboneConfig
from fewshot_film.errors import InvalidValueError, suggestion
from fewshot_film.learners.backbone import Backbone
from fewshot_film.learners.wrapped import WrappedBackbone, without_classifier
from fewshot_film.run.errors import ConfigError, UserError
from fewshot_film.run.saved_model import fetch_state_dict, read_state_dict


class WeightsError(UserError):
    """Backbone weights could not be found, fetched or fitted to the network."""


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
    return config.feature_norms, config.tukey_power, config.flip_tta


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
