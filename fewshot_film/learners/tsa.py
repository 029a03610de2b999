"""TSA: small adapters inside the network and a linear map behind it, learned on every support set.

Li, Liu and Bilen, "Cross-domain Few-shot Learning with Task-specific Adapters", CVPR 2022,
https://arxiv.org/abs/2107.00358. Beside every 3 x 3 convolution of the residual blocks stands a 1 x 1 convolution
``alpha`` with the same stride (their eq. 3, residual adapters in matrix form),

    h -> conv(h) + alpha h,

and the features go through a map ``A``, D x D (URL's pre-classifier alignment). ``alpha`` starts at 0.0001 times the
identity, ``A`` at the identity. 40 steps of Adadelta, at a rate of 0.5 for ``alpha`` and 1 for ``A`` (as their code has
it for domains that the network was not trained on; a tenth of both for others), lower the cross-entropy of the support
set itself by ``softmax_k(10 cos(A x, c_k))``, c_k the mean of A x over the class's images (their eq. 2).

A 1 x 1 convolution is one whose 3 x 3 kernel is 0 but for its middle, so the adapters are added to the weights, and a
query costs what it cost before. Their network is URL's, distilled from eight domains; here it is any.
"""

from __future__ import annotations

from collections.abc import Mapping
from fnmatch import fnmatch
from functools import partial
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call

from fewshot_film.config.learners import TSAConfig
from fewshot_film.errors import ConfigError
from fewshot_film.learners.learner import FeatureClassifier, FrozenLearner
from fewshot_film.learners.support import at_least_float32, check_support, class_means
from fewshot_film.learners.url import URLHead, scaled_cosines

START = 1e-4
"""Size of an adapter at the start."""


class TSA(FrozenLearner):
    """Residual adapters that are learned for each task, in a frozen backbone."""

    config: TSAConfig

    def build(self) -> None:
        """See :meth:`Learner.build`.

        Raises:
            ConfigError: no convolution of the backbone has such a name.
        """
        super().build()
        self._adapted = {
            name: module
            for name, module in self.backbone.named_modules()
            if isinstance(module, nn.Conv2d) and any(fnmatch(name, pattern) for pattern in self.config.convolutions)
        }
        refused = [name for name, conv in self._adapted.items() if not _takes_an_adapter(conv)]
        if refused or not self._adapted:
            found = f"{', '.join(refused)} among them" if refused else "none of that name"
            raise ConfigError(
                f"learner.convolutions is {', '.join(self.config.convolutions)}; expected names or patterns of "
                f"ungrouped 3 x 3 convolutions with a padding of 1 in {self.config.backbone.name}, but there is {found}"
            )

    def adapt(self, support_images: Tensor, support_labels: Tensor) -> FeatureClassifier:
        """Learn the adapters and the map; see :meth:`Learner.adapt`. Gradients are enabled for it."""
        check_support(self.features(support_images, "support image"), support_labels)
        with torch.inference_mode(False), torch.enable_grad():
            images = support_images.clone().contiguous(memory_format=torch.channels_last)
            adapters, mapping = self._learn(images, support_labels.unique(return_inverse=True)[1].clone())
        network = partial(functional_call, self.backbone, self._weights(adapters))
        means = class_means(self.features(support_images, network=network).to(mapping) @ mapping.T, support_labels)
        features = partial(self.features, kind="query image", network=network)
        return FeatureClassifier(features, URLHead(self.config.scale, mapping, means))

    def _learn(self, images: Tensor, members: Tensor) -> tuple[Mapping[str, Tensor], Tensor]:
        """The adapters ``(C_out, C_in)`` by the names of the convolutions, and the map ``(D, D)``."""
        config = self.config
        adapters = {
            name: (START * torch.eye(conv.out_channels, conv.in_channels)).to(conv.weight).requires_grad_()
            for name, conv in self._adapted.items()
        }
        mapping = torch.eye(self.backbone.feature_dim).to(images).requires_grad_()
        optimizer = torch.optim.Adadelta(
            [
                {"params": list(adapters.values()), "lr": config.adapter_learning_rate},
                {"params": [mapping], "lr": config.learning_rate},
            ]
        )
        for _ in range(config.steps):
            found = cast(Tensor, functional_call(self.backbone, self._weights(adapters), (images,)))
            mapped = at_least_float32(found) @ mapping.T
            loss = F.cross_entropy(scaled_cosines(mapped, class_means(mapped, members), config.scale), members)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        return {name: each.detach() for name, each in adapters.items()}, mapping.detach()

    def _weights(self, adapters: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Weights of the convolutions with their adapters in the middle."""
        return {
            f"{name}.weight": self._adapted[name].weight + F.pad(adapter[:, :, None, None], (1, 1, 1, 1))
            for name, adapter in adapters.items()
        }


def _takes_an_adapter(conv: nn.Conv2d) -> bool:
    return conv.kernel_size == (3, 3) and conv.padding == (1, 1) and conv.groups == 1 and conv.dilation == (1, 1)
