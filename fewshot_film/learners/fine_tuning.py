"""A linear or cosine classifier trained on the frozen features of the support set: Baseline and Baseline++.

Chen et al., "A Closer Look at Few-shot Classification", ICLR 2019, section 3.2, https://arxiv.org/abs/1904.04232: SGD
with momentum and dampening of 0.9, batches of 4 images, 100 passes. Linear weights start at zero and those of the
cosine classifier at the class means, so that nothing but the order of the images is drawn.
"""

from __future__ import annotations

from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from fewshot_film.config.learners import FineTuningConfig
from fewshot_film.learners.learner import FixedFeatures, Head
from fewshot_film.learners.support import at_least_float32, check_support, class_means, members_in_order


class FineTuning(FixedFeatures):
    """A head trained from scratch on every task; the same for the same support set, every time."""

    config: FineTuningConfig

    def fit_head(self, features: Tensor, labels: Tensor) -> Head:
        """Train the head; see :meth:`FixedFeatures.fit_head`."""
        check_support(features, labels)
        features = at_least_float32(features)
        members, numbers = members_in_order(labels)
        with torch.inference_mode(False), torch.enable_grad():
            weight, bias = self._train_head(features.clone(), members.clone())
        return partial(self.logits, weight=weight[numbers], bias=bias[numbers])

    def logits(self, features: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        """Logits ``(B, way)`` of features ``(B, D)`` by weights ``(way, D)`` and biases ``(way,)``."""
        features = features.to(weight.dtype)
        if self.config.head == "linear":
            return F.linear(features, weight, bias)
        return self.config.scale * F.linear(F.normalize(features, dim=1), F.normalize(weight, dim=1))

    def _train_head(self, features: Tensor, members: Tensor) -> tuple[Tensor, Tensor]:
        means, config = class_means(features, members), self.config
        weight = (torch.zeros_like(means) if config.head == "linear" else means.clone()).requires_grad_()
        bias = torch.zeros_like(means[:, 0]).requires_grad_(config.head == "linear")
        trained = [tensor for tensor in (weight, bias) if tensor.requires_grad]
        optimizer = torch.optim.SGD(
            trained, config.learning_rate, momentum=0.9, dampening=0.9, weight_decay=config.weight_decay
        )
        generator = torch.Generator().manual_seed(config.seed)
        for _ in range(config.epochs):
            order = torch.randperm(len(features), generator=generator).to(features.device)
            for batch in order.split(config.batch_size):
                loss = F.cross_entropy(self.logits(features[batch], weight, bias), members[batch])
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
        return weight.detach(), bias.detach()
