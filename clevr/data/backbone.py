"""Fixed features of images: one layer of a network that was trained on ImageNet, torchvision's or EfficientNet-Lite."""

from __future__ import annotations

import hashlib
import re
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import cast

import numpy as np
import torch
import torchvision
from torch import Tensor, nn
from torchvision.models.feature_extraction import create_feature_extractor, get_graph_node_names

from clevr.config.features import IMAGENET, RANDOM, ExtractorConfig
from clevr.data.images import to_pixels
from clevr.data.reader import ClevrSplit
from fewshot_film import efficientnet_lite
from fewshot_film.errors import UserError, suggestion
from fewshot_film.images import IMAGENET_MEAN, IMAGENET_STD
from fewshot_film.run.model_folder import fetch_state_dict, read_state_dict
from fewshot_film.run.seeding import derived_seed

FILM_STD = (0.229, 0.224, 0.224)
"""With which the feature files published with clevr-iep and FiLM were made."""


class BackboneError(UserError):
    """A network, a layer or weights that do not exist, cannot be fetched, or do not fit each other."""


class Extractor(nn.Module):
    """Images to the features of one layer, without gradients and always in evaluation mode.

    Args:
        config: network, layer, weights and normalisation.
    Raises:
        BackboneError: there is no such network, it has no such layer, or the weights cannot be had.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, config: ExtractorConfig) -> None:
        super().__init__()
        self.config = config
        is_lite = config.backbone in efficientnet_lite.VARIANTS
        mean, std = _lite_normalisation(config) if is_lite else _normalisation(config)
        self.network = _lite(config) if is_lite else _torchvision(config)
        self.register_buffer("mean", torch.tensor(mean).view(-1, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).view(-1, 1, 1), persistent=False)
        super().train(False)

    def train(self, mode: bool = True) -> Extractor:
        """Stay in evaluation mode: the features are fixed."""
        return self

    @torch.no_grad()
    def forward(self, images: Tensor) -> Tensor:
        """Features ``(B, C, H, W)`` of images ``(B, 3, size, size)``, uint8."""
        features: Tensor = self.network((images.float() / 255 - self.mean) / self.std)["features"]
        return features

    @property
    def shape(self) -> tuple[int, int, int]:
        """Channels, height and width of the features of one image.

        Raises:
            BackboneError: the layer gives no feature maps.
        """
        size = self.config.size
        shape = tuple(self(torch.zeros(1, 3, size, size, dtype=torch.uint8, device=self.mean.device)).shape[1:])
        if len(shape) != 3:
            raise BackboneError(
                f"the layer {self.config.layer!r} of {self.config.backbone} gives shape {shape}, expected feature "
                "maps (C, H, W); choose an earlier layer"
            )
        return cast(tuple[int, int, int], shape)

    def digest(self) -> str:
        """A SHA-256 over the weights that the features depend on."""
        digest = hashlib.sha256()
        for name, value in self.network.state_dict().items():
            digest.update(name.encode())
            digest.update(value.cpu().contiguous().numpy().tobytes())
        return digest.hexdigest()


class ImageBatches:
    """Images of a split by number, decoded and stretched; batch ``i`` is a function of ``i``.

    Args:
        split: where the images are.
        names: their file names, in order.
        batch_size: images in a batch; the last one may be shorter.
        size: see :func:`to_pixels`.
    """

    def __init__(self, split: ClevrSplit, names: list[str], batch_size: int, size: int) -> None:
        self.split, self.names, self.batch_size, self.size = split, names, batch_size, size

    def __len__(self) -> int:
        return -(-len(self.names) // self.batch_size)

    def __getitem__(self, index: int) -> Tensor:
        """Images ``(B, 3, size, size)``, uint8; raises :class:`DataError` for what is no image."""
        names = self.names[index * self.batch_size : (index + 1) * self.batch_size]
        return torch.from_numpy(np.stack([to_pixels(self.split.load_image(name), self.size) for name in names]))


Normalisation = tuple[tuple[float, ...], tuple[float, ...]]


def _torchvision(config: ExtractorConfig) -> nn.Module:
    """A torchvision network up to the layer, which it gives by the name ``features``."""
    network = _build(config)
    nodes = get_graph_node_names(network)[1]
    if not any(node == config.layer or node.startswith(f"{config.layer}.") for node in nodes):
        near = suggestion(config.layer, nodes)
        raise BackboneError(f"{config.backbone} has no layer {config.layer!r}{near}; {_listed(nodes)}")
    found: nn.Module = create_feature_extractor(network, {config.layer: "features"})
    return found


def _normalisation(config: ExtractorConfig) -> Normalisation:
    return IMAGENET_MEAN, FILM_STD if config.normalisation == "film" else IMAGENET_STD


class _Layers(nn.Sequential):
    """Layers, the last of which is given as torchvision's extractors do."""

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        for layer in self:
            x = layer(x)
        return {"features": x}


def _lite(config: ExtractorConfig) -> nn.Module:
    """An EfficientNet-Lite up to the stage."""
    with torch.random.fork_rng([]):
        torch.manual_seed(derived_seed(0, "random backbone"))
        stem, stages = efficientnet_lite.parts(config.backbone)
    names = list(stages)
    if config.layer not in names:
        near = suggestion(config.layer, names)
        raise BackboneError(f"{config.backbone} has no layer {config.layer!r}{near}; its layers are {', '.join(names)}")
    network = _Layers(OrderedDict({**stem, **stages}))
    if config.weights != RANDOM:
        _fit(network, _lite_weights(config), config)
    return _Layers(OrderedDict(list(network.named_children())[: len(stem) + names.index(config.layer) + 1]))


def _lite_weights(config: ExtractorConfig) -> Mapping[str, Tensor]:
    path = Path(config.weights)
    if path.is_file():
        return read_state_dict(path, BackboneError)
    if config.weights != IMAGENET:
        raise BackboneError(
            f"no weights {config.weights!r}: there is no such file, and those of {config.backbone}'s package go by "
            f"{IMAGENET}"
        )
    return efficientnet_lite.read_packaged_weights(BackboneError, config.backbone)


def _lite_normalisation(config: ExtractorConfig) -> Normalisation:
    if config.normalisation == "film":
        raise BackboneError(
            f"normalisation is 'film', which is of the ResNet-101 that FiLM was published with; {config.backbone} "
            "takes 'imagenet', its own"
        )
    return efficientnet_lite.MEAN, efficientnet_lite.STD


def _build(config: ExtractorConfig) -> nn.Module:
    try:
        enum = torchvision.models.get_model_weights(config.backbone)
    except ValueError:
        others = list(efficientnet_lite.VARIANTS)
        near = suggestion(config.backbone, [*torchvision.models.list_models(module=torchvision.models), *others])
        raise BackboneError(
            f"there is no network {config.backbone!r}{near}; expected a name of torchvision's, or {', '.join(others)}"
        ) from None
    with torch.random.fork_rng([]):
        torch.manual_seed(derived_seed(0, "random backbone"))
        network: nn.Module = torchvision.models.get_model(config.backbone)
    if config.weights == RANDOM:
        return network
    path = Path(config.weights)
    found = read_state_dict(path, BackboneError) if path.is_file() else _fetch(config, enum)
    _fit(network, found, config)
    return network


def _fetch(config: ExtractorConfig, enum: type[torchvision.models.WeightsEnum]) -> Mapping[str, Tensor]:
    """Torchvision's weights by name; it keeps them in its cache after the first time."""
    names = [entry.name for entry in enum]
    if config.weights not in names:
        raise BackboneError(
            f"no weights {config.weights!r}: there is no such file, and torchvision's weights for {config.backbone} "
            f"are {', '.join(names) or 'none'}"
        )
    return fetch_state_dict(enum[config.weights], config.backbone, "--extractor.weights", BackboneError)


def _fit(network: nn.Module, found: Mapping[str, Tensor], config: ExtractorConfig) -> None:
    """Load weights by their own names; BatchNorm's counters, which old files lack, are not looked at."""
    expected = network.state_dict()
    wanted = {key for key in expected if not key.endswith("num_batches_tracked")}
    wrong = sorted(key for key in wanted if key not in found or found[key].shape != expected[key].shape)
    if wrong:
        raise BackboneError(
            f"the weights {config.weights} are not of {config.backbone}: {len(wrong)} of {len(wanted)} keys are "
            f"missing or have another shape, such as {wrong[0]!r}; give the network that they belong to"
        )
    network.load_state_dict({key: found.get(key, value) for key, value in expected.items()})


def _listed(nodes: list[str]) -> str:
    """The coarse layers of a network: where a name has a number, with no part after it."""
    coarse = dict.fromkeys(re.split(r"\.", node)[0] for node in nodes)
    return f"its layers begin with {', '.join(list(coarse)[:20])}"
