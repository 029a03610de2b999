"""Several networks side by side as one backbone, trained on other images each, or on the same: an ensemble."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

from torch import Tensor, nn

from fewshot_film.errors import ConfigError, InvalidValueError
from fewshot_film.film import Sites
from fewshot_film.learners.backbone import Backbone, L2Norm


class JoinedBackbone(Backbone):
    """Several networks that see the same images side by side, as one: its features are those of all, one after another.

    Each keeps its own mean and deviation of the images. Networks of one kind, by the names of :func:`network_names`,
    are what a configuration with ``backbone.networks`` describes; a learner on others cannot be saved as a folder.

    Args:
        backbones: by name, in the order of their features.

    Raises:
        ConfigError: there is none, or they read images of different sizes or channels.
    """

    is_sequence = False

    def __init__(self, backbones: Mapping[str, Backbone]) -> None:
        reads = {name: backbone.preprocessing for name, backbone in backbones.items()}
        if len({(one.size, one.channels) for one in reads.values()}) != 1:
            found = ", ".join(f"{name} {one.channels} x {one.size} x {one.size}" for name, one in reads.items())
            raise ConfigError(f"joined networks read {found or 'nothing'}; expected images of one size and channels")
        widths = [backbone.feature_dim for backbone in backbones.values()]
        super().__init__(next(iter(reads.values())), {}, backbones, widths, (0.0,) * len(widths))

    @property
    def backbones(self) -> list[Backbone]:
        """The networks, in the order of their features."""
        return [cast(Backbone, self.get_submodule(name)) for name in self.stage_names]

    @property
    def norms(self) -> list[L2Norm]:
        """Those of all networks; see :attr:`Backbone.norms`."""
        return [norm for backbone in self.backbones for norm in backbone.norms]

    def maps(self, x: Tensor) -> list[Tensor]:
        """The features ``(B, D_k)`` of every network for images ``(B, C, H, W)`` in [0, 1]."""
        return [backbone(x) for backbone in self.backbones]

    def segments(self, sites: Sites) -> list[nn.Sequential]:
        """There are none.

        Raises:
            ValueError: always.
        """
        raise InvalidValueError(
            "adaptation film+ar goes stage by stage, and networks side by side have no common stages; use adaptation "
            "film"
        )

    def set_features(self, power: float | None = None, flip_tta: bool | None = None) -> None:
        """Change what every network makes of its maps; see :meth:`Backbone.set_features`."""
        for backbone in self.backbones:
            backbone.set_features(power, flip_tta)


def network_names(count: int) -> list[str]:
    """Names of so many networks of one kind side by side."""
    return [f"network{number}" for number in range(1, count + 1)]
