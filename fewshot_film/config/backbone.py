"""Settings of backbones."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from fewshot_film.config.preprocessing import MAX_SIZE, Preprocessing
from fewshot_film.run.settings import Range, Settings, above, at_least, between

RESNETS = ("cnaps-resnet18", "resnet18", "resnet34", "resnet50")
LITES = ("efficientnet-lite0", "efficientnet-lite1", "efficientnet-lite2")
WHITENED = "whitened-vgg"
STAGED_BACKBONES = (*RESNETS, *LITES, WHITENED)
TORCHVISION, TIMM = "torchvision:", "timm:"
PRETRAINED = "pretrained"


@dataclass(frozen=True)
class BackboneConfig(Settings, group="backbone"):
    """A backbone network without its classifier; the default is the paper's."""

    name: str = "cnaps-resnet18"
    """cnaps-resnet18 is the variant of CNAPS for 84 x 84 images; whitened-vgg learns fastest from small ones; resnet18,
    resnet34 and resnet50 are torchvision's; efficientnet-lite0 comes with weights that need no download, those of
    efficientnet-lite1 and -lite2 are packages of their own; film+ar can use the stages of all of these.
    torchvision:NAME is any other torchvision classifier, timm:NAME any network of timm (extra ``timm``)."""
    width: Annotated[int, at_least(1)] = 64
    """Channels of the first stage, doubled in each further stage; 64 in torchvision's networks. The further stages of
    ``whitened-vgg`` have four times as many."""
    blocks: Annotated[tuple[int, ...], at_least(1)] = (2, 2, 2, 2)
    """Number of blocks per stage of ``cnaps-resnet18``, of convolutions per stage of ``whitened-vgg``."""
    stem_kernel: Annotated[int, at_least(1)] = 5
    """Kernel size of the first convolution (``cnaps-resnet18`` only)."""
    stem_stride: Annotated[int, at_least(1)] = 2
    """Stride of the first convolution (``cnaps-resnet18`` only); 1 suits images below about 40 pixels."""
    image_size: Annotated[int, between(0, MAX_SIZE)] = 0
    """Height and width of input images, in pixels; 0: those that the weights were trained with, 84 for a ResNet named
    without a library, 32 for ``whitened-vgg``."""
    channels: Annotated[int, Range(lambda number: number in (1, 3), "3, or 1 for drawings")] = 3
    """Colour channels of input images: 3, or 1 for drawings."""
    networks: Annotated[int, between(1, 100)] = 1
    """How many networks of this kind stand side by side, each with weights of its own, all their features one after
    another: an ensemble, as ``fewshot-film join`` makes it of trained models."""
    weights: str = ""
    """Initial weights: a file or folder written by ``pretrain``, a file with a state dict, ``pretrained`` for those
    that the network's library or package has, or a torchvision name such as ``IMAGENET1K_V1``; empty: random."""
    preprocessing: Preprocessing | None = None
    """Mean, standard deviation, size, interpolation and crop of input images; null: those that the weights were trained
    with."""
    feature_norms: Annotated[tuple[float, ...], at_least(0)] = (0.0,)
    """Features are the spatial means of the last stages, concatenated; one number per stage, the norm to which its
    means are scaled, or 0 to leave them unscaled. ``(4,)`` suits a backbone trained with a cosine classifier; ``(2, 3,
    4)`` adds earlier stages, which represent colours and simple shapes."""
    tukey_power: Annotated[float, above(0)] = 1.0
    """Exponent applied to each feature's magnitude before scaling; 0.5 removes long tails."""
    flip_tta: bool = False
    """After training, average the features of each image and its mirror image, at twice the cost. Not for letters."""

    def __post_init__(self) -> None:
        super().__post_init__()
        is_known = self.name in STAGED_BACKBONES or self.name.startswith((TORCHVISION, TIMM))
        self._expect("name", is_known, f"{', '.join(STAGED_BACKBONES)}, {TORCHVISION}NAME or {TIMM}NAME")
        stated = self.preprocessing
        if self.image_size == 0:
            size = stated.size if stated else 84 if self.name in RESNETS else 32 if self.name == WHITENED else 0
            object.__setattr__(self, "image_size", size)  # a default that depends on the name
        if stated:
            self._expect("image_size", self.image_size == stated.size, f"{stated.size}, as preprocessing.size says")
            self._expect("channels", self.channels == stated.channels, f"{stated.channels}, as preprocessing.mean says")
