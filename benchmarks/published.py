"""Numbers that others published, in per cent, with where they stand: columns of the tables."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Published:
    """One method's numbers."""

    method: str
    """Name, with its network where that matters."""
    source: str
    """Paper and table."""
    percent: Mapping[str, float]
    """Accuracy by task."""


_META_OPT_NET = "Lee et al., Meta-Learning with Differentiable Convex Optimization, CVPR 2019, table 2"
_CNAPS = "Bateni et al., Enhancing Few-Shot Image Classification with Unlabelled Examples, WACV 2022"


def _one_and_five(one_shot: float, five_shot: float) -> dict[str, float]:
    return {"5-way 1-shot": one_shot, "5-way 5-shot": five_shot}


PUBLISHED: dict[str, tuple[Published, ...]] = {
    "omniglot": (
        Published(
            "prototypical networks",
            "Snell et al., Prototypical Networks, NeurIPS 2017, table 1",
            {**_one_and_five(98.8, 99.7), "20-way 1-shot": 96.0, "20-way 5-shot": 98.9},
        ),
    ),
    "cifar_fs": (
        Published("prototypical networks, 4 layers", _META_OPT_NET, _one_and_five(55.5, 72.0)),
        Published("prototypical networks, ResNet-12", _META_OPT_NET, _one_and_five(72.2, 83.5)),
        Published("MetaOptNet, ResNet-12", _META_OPT_NET, _one_and_five(72.6, 84.3)),
    ),
    "fc100": (
        Published("prototypical networks, ResNet-12", _META_OPT_NET, _one_and_five(37.5, 52.5)),
        Published("MetaOptNet, ResNet-12", _META_OPT_NET, _one_and_five(40.5, 55.3)),
    ),
    "mini_imagenet": (
        Published("Transductive CNAPS, ResNet-18", _CNAPS, _one_and_five(55.6, 73.1)),
        Published("Simple CNAPS, ResNet-18", _CNAPS, _one_and_five(53.2, 70.8)),
    ),
}
"""By result file; the last method of a row is the one that the gap is stated to."""
