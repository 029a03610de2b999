"""Any network as a backbone."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn

from fewshot_film.config.preprocessing import Preprocessing
from fewshot_film.errors import InvalidValueError
from fewshot_film.film import FiLMedNetwork, Sites, inject_film
from fewshot_film.film.inject import first_part
from fewshot_film.learners.backbone import FEATURE_NORMS, Backbone, plain_preprocessing

PREFIX = "network."


class WrappedBackbone(Backbone):
    """A network of any kind, whose sites keep the names that its layers have in it.

    Its features are what the network returns, averaged over positions if there are any. FiLM can go after its
    normalisation layers, wherever they are; there are no stages, so ``film+ar`` is not for it. A learner that is built
    on it freezes the network, unless told to train it; ``FewShotClassifier`` takes a copy at its first fit.

    Args:
        network: normalised images ``(B, C, H, W)`` to features ``(B, D)`` or ``(B, D, *)``, without a classifier.
        preprocessing: what it was trained to see; default: 84 x 84 pixels, ImageNet's mean and deviation.
        feature_norms: one number, the length that the features are scaled to; 0 leaves them as they are.
        tukey_power: see :class:`Backbone`.
        flip_tta: see :class:`Backbone`.

    Raises:
        ValueError: the network returns something else.

    Example:
        >>> from torch import nn
        >>> network = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU())
        >>> backbone = WrappedBackbone(network)
        >>> backbone.feature_dim, backbone.inject(["1"]).sites
        (8, Sites([network.1: 8]))
    """

    def __init__(
        self,
        network: nn.Module,
        preprocessing: Preprocessing | None = None,
        feature_norms: Sequence[float] = (0.0,),
        tukey_power: float = 1.0,
        flip_tta: bool = False,
    ) -> None:
        preprocessing = preprocessing or plain_preprocessing()
        width = _width(network, preprocessing)
        super().__init__(preprocessing, {}, {"network": network}, [width], feature_norms, tukey_power, flip_tta)

    def inject(self, sites: Iterable[str]) -> FiLMedNetwork:
        """See :meth:`Backbone.inject`; names and patterns are those of the network itself, or ``feature_norms.*``."""
        names = [name if name.startswith(FEATURE_NORMS) else PREFIX + name for name in sites]
        return inject_film(self, after=names, stage_of=lambda name: first_part(name.removeprefix(PREFIX)))

    def segments(self, sites: Sites) -> list[nn.Sequential]:
        """There are none.

        Raises:
            ValueError: always.
        """
        raise InvalidValueError(
            "adaptation film+ar goes stage by stage, and a wrapped network has no stages; use adaptation film"
        )


def without_classifier(network: nn.Module) -> nn.Module:
    """The network with its last linear layer, the classifier, taken out; in place.

    Raises:
        ValueError: it has no linear layer.
    """
    linear = [name for name, module in network.named_modules() if isinstance(module, nn.Linear)]
    if not linear:
        raise InvalidValueError(
            f"a {type(network).__name__} has no linear layer that could be its classifier; take the classifier out "
            "yourself and use WrappedBackbone(network)"
        )
    network.set_submodule(linear[-1], nn.Identity())
    return network


@torch.no_grad()
def _width(network: nn.Module, preprocessing: Preprocessing) -> int:
    """Width of the features, by a pass of one image."""
    modes = [(module, module.training) for module in network.modules()]
    size, device = preprocessing.size, next((one.device for one in network.parameters()), None)
    try:
        features = network.eval()(torch.zeros(1, preprocessing.channels, size, size, device=device))
    except Exception as error:  # whatever networks raise of a size that they are not made for
        raise InvalidValueError(
            f"the network cannot take an image of {preprocessing.channels} x {size} x {size} "
            f"({type(error).__name__}: {error}); state its size and channels (backbone.image_size, or Preprocessing)"
        ) from error
    finally:
        for module, mode in modes:
            module.training = mode
    if not isinstance(features, Tensor) or features.ndim < 2:
        kind = tuple(features.shape) if isinstance(features, Tensor) else type(features).__name__
        raise InvalidValueError(f"the network returned {kind} for one image; expected features (1, D) or (1, D, *)")
    return features.shape[1]
