"""Learners that adapt by a few gradient steps on the support set; the steps are those of learn2learn.

A method of this family says which part of the network the steps change, and how long they are. Two choices are
common to all of them:

- The head starts at zero, so a task may have any number of classes in any order. One learned vector for all classes
  (Ye and Chao, "How to Train Your MAML to Excel in Few-Shot Classification", ICLR 2022,
  https://arxiv.org/abs/2106.16245) comes to the same: it adds one number to all logits, which the softmax takes away
  again. Kao et al. found zero best as well ("MAML is a Noisy Contrastive Learner", ICLR 2022,
  https://arxiv.org/abs/2106.15367). With ``way`` set, each class has a learned start as in the first paper.
- BatchNorm takes the statistics of the support set, for query pictures too: a picture is judged by itself, and the
  statistics fit a network whose weights differ from task to task, which running ones cannot.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fewshot_film.config.learners import GradientConfig
from fewshot_film.extras import learn2learn
from fewshot_film.learners.backbone import Backbone
from fewshot_film.learners.checks import check_finite
from fewshot_film.learners.errors import SupportError
from fewshot_film.learners.learner import Learner
from fewshot_film.learners.task_norm import use_task_norm

Network = Callable[[Tensor], Tensor]
"""Pictures ``(B, C, H, W)`` to logits ``(B, way)``."""


class Tensors(nn.Module):
    """A module that holds any tensors as its parameters, those of a graph as well, as learn2learn's copies do."""

    def __init__(self, **tensors: Tensor) -> None:
        super().__init__()
        parameters: dict[str, Any] = self._parameters
        parameters.update(tensors)


class LinearHead(Tensors):
    """A linear classifier."""

    weight: Tensor
    """``(way, D)``."""
    bias: Tensor
    """``(way,)``."""

    def forward(self, features: Tensor) -> Tensor:
        """Logits ``(B, way)`` of features ``(B, D)``."""
        return F.linear(features, self.weight, self.bias)


class GradientLearner(Learner):
    """Base of the methods with an inner loop.

    Args:
        config: settings of the method.
        backbone: the network that gives the features; default: built from ``config.backbone``. Unless
            ``statistics`` is ``running``, its BatchNorm layers are changed in place.

    Raises:
        MissingExtraError: learn2learn is not installed.
    """

    config: GradientConfig

    def __init__(self, config: GradientConfig, backbone: Backbone | None = None) -> None:
        learn2learn()
        super().__init__(config, backbone)
        self.transductive = config.statistics == "transductive"
        self.backbone.requires_grad_(config.train_backbone)
        if config.statistics != "running":
            use_task_norm(self.backbone)
        self.head_start = LinearHead() if config.way == 0 else nn.Linear(self.backbone.feature_dim, config.way)
        self.train()

    def train(self, mode: bool = True) -> Self:
        """Set the mode of everything but the backbone, whose running statistics never change."""
        super().train(mode)
        self.backbone.eval()
        return self

    @abstractmethod
    def run_inner_loop(self, images: Tensor, targets: Tensor, head: LinearHead, inner: InnerLoop) -> Network:
        """The network after the inner steps; gradients are enabled.

        Args:
            images: support pictures, ``(N, C, H, W)``.
            targets: ``(N,)`` in ``[0, way)``.
            head: where the head starts.
            inner: takes the steps.
        """

    def adapt(self, support_images: Tensor, support_labels: Tensor) -> AdaptedNetwork:
        """Take the inner steps; see :meth:`Learner.adapt`. Where gradients are disabled they are enabled for it.

        Raises:
            SupportError: the support set is empty, labels do not fit, or there are not ``way`` classes.
        """
        classes, targets = support_labels.unique(return_inverse=True)
        self._check_support(support_images, support_labels, len(classes))
        meta_training = torch.is_grad_enabled()
        with torch.inference_mode(False), torch.enable_grad():
            images = support_images.clone(memory_format=torch.channels_last)
            inner = InnerLoop(self._num_steps(), self.config.first_order, meta_training)
            network = self.run_inner_loop(images, targets.clone(), self.start_of_head(len(classes)), inner)
        return AdaptedNetwork(network, None if self.transductive else self.config.chunk)

    def start_of_head(self, way: int) -> LinearHead:
        """The head before the first step."""
        if isinstance(self.head_start, nn.Linear):
            return LinearHead(weight=self.head_start.weight, bias=self.head_start.bias)
        like = next(self.backbone.parameters())
        weight = like.new_zeros(way, self.backbone.feature_dim, requires_grad=True)
        return LinearHead(weight=weight, bias=like.new_zeros(way, requires_grad=True))

    def _num_steps(self) -> int:
        return self.config.inner_steps if self.training else self.config.test_steps or self.config.inner_steps

    def _check_support(self, images: Tensor, labels: Tensor, way: int) -> None:
        if len(images) == 0 or len(images) != len(labels):
            raise SupportError(f"{len(images)} support pictures and {len(labels)} labels; expected as many, at least 1")
        if not self.training:
            check_finite(images, "support image", images)
        if self.config.way not in (0, way):
            raise SupportError(
                f"the support set has {way} classes; expected {self.config.way}, as many as the head has learned "
                "starts for: train with learner.way 0 for any number"
            )


@dataclass(frozen=True)
class InnerLoop:
    """Takes the inner steps."""

    num_steps: int
    first_order: bool
    meta_training: bool
    """Whether gradients of the result will be asked for."""

    @property
    def needs_first_order(self) -> bool:
        """Whether the steps need no gradients of gradients."""
        return self.first_order or not self.meta_training

    def __call__(self, algorithm: Any, inputs: Tensor, targets: Tensor) -> Any:
        """What learn2learn's ``algorithm`` wraps, after the steps on the cross-entropy of ``inputs``."""
        fast = algorithm.clone()
        for _ in range(self.num_steps):
            fast.adapt(F.cross_entropy(fast(inputs), targets))
        return fast.module


@dataclass(frozen=True)
class AdaptedNetwork:
    """A classifier for one task."""

    network: Network
    """The network after the inner steps."""
    chunk: int | None
    """Pictures that go through it at once where no gradient is needed; None: all, they help each other."""

    def __call__(self, query_images: Tensor) -> Tensor:
        """Logits ``(Q, way)`` of pictures ``(Q, C, H, W)`` in [0, 1]."""
        images = query_images.contiguous(memory_format=torch.channels_last)
        if torch.is_grad_enabled() or self.chunk is None:
            logits = self.network(images)
        else:
            logits = torch.cat([self.network(chunk) for chunk in images.split(self.chunk)])
        if not torch.is_grad_enabled():  # in training the loss tells
            check_finite(logits, "query image", images)
        return logits
