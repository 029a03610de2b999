"""Published numbers that stand beside ours, with their sources."""

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
        Published("MetaOptNet-RR, ResNet-12", _META_OPT_NET, _one_and_five(72.6, 84.3)),
    ),
    "fc100": (
        Published("prototypical networks, ResNet-12", _META_OPT_NET, _one_and_five(37.5, 52.5)),
        Published("MetaOptNet-RR, ResNet-12", _META_OPT_NET, _one_and_five(40.5, 55.3)),
    ),
    "mini_imagenet": (
        Published("Transductive CNAPS, ResNet-18", _CNAPS, _one_and_five(55.6, 73.1)),
        Published("Simple CNAPS, ResNet-18", _CNAPS, _one_and_five(53.2, 70.8)),
    ),
}
"""By result file; the last method of a row is the one that the gap is stated to."""
PUBLISHED |= {f"{name}_record": PUBLISHED[name] for name in ("cifar_fs", "fc100")}
PUBLISHED["cifar_fs_record_long"] = PUBLISHED["cifar_fs"]


_HU = "Hu et al., Leveraging the Feature Distribution in Transfer-based Few-Shot Learning, ICANN 2021, a wide ResNet"
_SHALAM = "Shalam and Korman, The Balanced-Pairwise-Affinities Feature Transform, ICML 2024, their best"
_LAZAROU = "Lazarou et al., Iterative Label Cleaning, ICCV 2021, a wide ResNet"
_TIAN = "Tian et al., Rethinking Few-Shot Image Classification, ECCV 2020, 4 layers and ResNet-12"
_BERTINETTO = (
    "Bertinetto et al., Meta-learning with Differentiable Closed-form Solvers, ICLR 2019, 4 layers of 64, meta-trained"
)
_LEE = f"{_META_OPT_NET}, 4 layers and ResNet-12, meta-trained"


def _beside(source: str, one_shot: float, five_shot: float, method: str = "") -> Published:
    return Published(method, source, _one_and_five(one_shot, five_shot))


HEADS_PUBLISHED: dict[str, dict[str, tuple[Published | None, Published | None]]] = {
    "heads_cifar_fs": {
        "prototypes": (_beside(_LEE, 55.5, 72.0), _beside(_LEE, 72.2, 83.5)),
        "relation": (_beside(_BERTINETTO, 55.0, 69.3), None),
        "ridge": (_beside(_BERTINETTO, 60.0, 76.1, "R2D2"), _beside(_LEE, 72.6, 84.3, "MetaOptNet-RR")),
        "svm": (None, _beside(_LEE, 72.0, 84.2)),
        "logistic-regression": (_beside(_TIAN, 62.7, 78.7), _beside(_TIAN, 71.5, 86.0)),
        "pt-map": (None, _beside(_HU, 87.7, 90.7)),
        "pt-map+sot": (None, _beside(_SHALAM, 89.9, 92.8)),
        "ilpc": (None, _beside(_LAZAROU, 86.5, 90.6)),
    },
    "heads_fc100": {
        "prototypes": (_beside(_LEE, 35.3, 48.6), _beside(_LEE, 37.5, 52.5)),
        "ridge": (None, _beside(_LEE, 40.5, 55.3, "MetaOptNet-RR")),
        "logistic-regression": (_beside(_TIAN, 39.6, 53.5), _beside(_TIAN, 42.6, 59.1)),
    },
}
"""By result file and head: with a network of four layers, whose cost is nearest to that of ours, and with a larger."""
HEADS_PUBLISHED["heads_cifar_fs_record_long"] = HEADS_PUBLISHED["heads_cifar_fs"]
IMBALANCE_PUBLISHED = {
    "pt-map": (-16.8, -18.2),
    "laplacian-shot": (-4.7, -0.5),
    "bd-cspn": (-2.4, -1.8),
    "tim": (-4.5, -4.1),
}
"""What unbalanced queries cost on mini-ImageNet with a ResNet-18, 1- and 5-shot: Veilleux et al., table 1."""
VEILLEUX = (
    "Veilleux et al., Realistic Evaluation of Transductive Few-Shot Learning, NeurIPS 2021: 1- / 5-shot on "
    "mini-ImageNet, ResNet-18"
)
