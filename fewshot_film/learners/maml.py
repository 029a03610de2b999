"""MAML, ANIL and Meta-SGD: a start from which a few gradient steps on the support set lead to a good classifier.

A method of this family says which part of the network the inner steps change, and how long they are; the steps are
those of learn2learn. Two choices are common to all of them:

- The head starts at zero, so a task may have any number of classes in any order. One learned vector for all classes
  (Ye and Chao, "How to Train Your MAML to Excel in Few-Shot Classification", ICLR 2022,
  https://arxiv.org/abs/2106.16245) comes to the same: it adds one number to all logits, which the softmax takes away
  again. Kao et al. found zero best as well ("MAML is a Noisy Contrastive Learner", ICLR 2022,
  https://arxiv.org/abs/2106.15367). With ``way`` set, each class has a learned start as in the first paper.
- BatchNorm takes the statistics of the support set, for query images too: an image is judged by itself, and the
  statistics fit a network whose weights differ from task to task, which running ones cannot.
"""

from __future__ import annotations

import warnings
from abc import abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fewshot_film.config.learners import ANILConfig, GradientConfig, MAMLConfig, MetaSGDConfig
from fewshot_film.errors import counted
from fewshot_film.extras import learn2learn
from fewshot_film.film import FiLMedNetwork
from fewshot_film.learners.learner import Learner
from fewshot_film.learners.support import SupportError, check_finite

Network = Callable[[Tensor], Tensor]
"""Images ``(B, C, H, W)`` to logits ``(B, way)``."""


class Tensors(nn.Module):
    """A module that holds any tensors as its parameters, those of a graph as well, as learn2learn's copies do."""

    def __init__(self, **tensors: Tensor) -> None:
        super().__init__()
        parameters: dict[str, Any] = self._parameters
        parameters.update(tensors)


class FastHead(Tensors):
    """A linear classifier whose weights the inner steps change."""

    weight: Tensor
    """``(way, D)``."""
    bias: Tensor
    """``(way,)``."""

    def forward(self, features: Tensor) -> Tensor:
        """Logits ``(B, way)`` of features ``(B, D)``."""
        return F.linear(features, self.weight, self.bias)


class GradientLearner(Learner):
    """Base of the methods with an inner loop.

    Unless ``statistics`` is ``running``, the BatchNorm layers of the backbone are changed in place.

    Raises:
        MissingExtraError: learn2learn is not installed.
    """

    config: GradientConfig

    def build(self) -> None:
        """See :meth:`Learner.build`."""
        learn2learn()
        super().build()
        config = self.config
        self.transductive = config.statistics == "transductive"
        self.backbone.requires_grad_(config.train_backbone)
        if config.statistics != "running":
            use_task_norm(self.backbone)
        self.head_start = FastHead() if config.way == 0 else nn.Linear(self.backbone.feature_dim, config.way)
        self.train()

    def train(self, mode: bool = True) -> Self:
        """Set the mode of everything but the backbone, whose running statistics never change."""
        super().train(mode)
        self.backbone.eval()
        return self

    @abstractmethod
    def run_inner_loop(self, images: Tensor, targets: Tensor, head: nn.Module, inner: InnerLoop) -> Network:
        """The network after the inner steps; gradients are enabled.

        Args:
            images: support images, ``(N, C, H, W)``.
            targets: ``(N,)`` in ``[0, way)``.
            head: where the head starts.
            inner: takes the steps.
        """

    def adapt(self, support_images: Tensor, support_labels: Tensor) -> AdaptedNetwork:
        """Take the inner steps; see :meth:`Learner.adapt`. Where gradients are disabled they are enabled for it.

        Raises:
            SupportError: the support set is empty, labels do not fit, or there are not ``way`` classes.
        """
        way, targets = _targets(support_labels)
        self._check_support(support_images, support_labels, way)
        inner = InnerLoop(self._num_steps(), self.config.first_order, meta_training=torch.is_grad_enabled())
        with torch.inference_mode(False) if torch.is_inference_mode_enabled() else torch.enable_grad():
            # no gradient goes through inference tensors
            images, targets = (each.clone() if each.is_inference() else each for each in (support_images, targets))
            network = self.run_inner_loop(images, targets, self.start_of_head(way), inner)
        return AdaptedNetwork(network, None if self.transductive else self.config.chunk)

    def start_of_head(self, way: int) -> nn.Module:
        """The head before the first step."""
        if isinstance(self.head_start, nn.Linear):
            return self.head_start
        like = next(self.backbone.parameters())
        weight = like.new_zeros(way, self.backbone.feature_dim, requires_grad=True)
        return FastHead(weight=weight, bias=like.new_zeros(way, requires_grad=True))

    def task_body(self) -> nn.Module:
        """The backbone, with modules of its own where the statistics of a support set are kept in them."""
        return copy_modules(self.backbone) if self.config.statistics == "support" else self.backbone

    def _num_steps(self) -> int:
        return self.config.inner_steps if self.training else self.config.test_steps or self.config.inner_steps

    def _check_support(self, images: Tensor, labels: Tensor, way: int) -> None:
        if len(images) == 0 or len(images) != len(labels):
            raise SupportError(
                f"{len(images)} support images and {counted(len(labels), 'label')}; expected as many, at least 1"
            )
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
        """The steps, on the cross-entropy of ``inputs``; what learn2learn's ``algorithm`` wraps is changed by them."""
        for _ in range(self.num_steps):
            algorithm.adapt(F.cross_entropy(algorithm(inputs), targets))
        return algorithm.module


@dataclass(frozen=True)
class AdaptedNetwork:
    """A classifier for one task."""

    network: Network
    """The network after the inner steps."""
    chunk: int | None
    """Images that go through it at once where no gradient is needed; None: all, they help each other."""

    def __call__(self, query_images: Tensor) -> Tensor:
        """Logits ``(Q, way)`` of images ``(Q, C, H, W)`` in [0, 1]."""
        if torch.is_grad_enabled() or self.chunk is None:
            logits = self.network(query_images)
        else:
            logits = torch.cat([self.network(chunk) for chunk in query_images.split(self.chunk)])
        if not torch.is_grad_enabled():  # in training the loss shows it
            check_finite(logits, "query image", query_images)
        return logits


class MAML(GradientLearner):
    """All weights, or FiLM with or without the head, adapted by steps of one size.

    Source:
        Finn et al., "Model-Agnostic Meta-Learning", ICML 2017, https://arxiv.org/abs/1703.03400. With ``inner`` set to
        ``film+head`` or ``film`` the steps change gamma and beta and leave the backbone alone, the idea of Zintgraf et
        al., "Fast Context Adaptation via Meta-Learning" (CAVIA), ICML 2019, https://arxiv.org/abs/1810.03642
    """

    config: MAMLConfig

    def build(self) -> None:
        """See :meth:`Learner.build`."""
        super().build()
        self.film_start: Tensor | None
        if self.config.inner == "all":
            self.film_start = None
            return
        self.inject_film(self.config.sites)
        sites = self.filmed.sites
        identity = sites.flatten(sites.identity())
        if self.config.film_start == "learned":
            self.film_start = nn.Parameter(identity)
        else:
            self.register_buffer("film_start", identity, persistent=False)

    def run_inner_loop(self, images: Tensor, targets: Tensor, head: nn.Module, inner: InnerLoop) -> Network:
        """Steps of the chosen part; see :meth:`GradientLearner.run_inner_loop`."""
        body = self.backbone if self.film_start is None else self.task_body()  # learn2learn copies what it changes
        fast: FastNetwork = inner(self.algorithm(self.start(body, head), inner.needs_first_order), images, targets)
        if not self.transductive:
            with freeze_statistics(fast.body), torch.set_grad_enabled(inner.meta_training):
                fast(images)
        return fast

    def start(self, body: nn.Module, head: nn.Module) -> FastNetwork:
        """The network before the first step: its parameters are those that the steps change."""
        if self.film_start is None:
            return FastNetwork(body, head)
        film = self.film_start if self.film_start.requires_grad else self.film_start.clone().requires_grad_()
        return FastFilm(body, head, self.filmed, film, with_head=self.config.inner == "film+head")

    def algorithm(self, start: FastNetwork, first_order: bool) -> Any:
        """What of learn2learn takes the steps, with a copy of ``start`` for them."""
        library = learn2learn()
        copied = library.clone_module(start)
        return library.algorithms.MAML(copied, lr=self.config.inner_lr, first_order=first_order)


class FastNetwork(nn.Module):
    """A body and a head, all of whose weights the inner steps change."""

    def __init__(self, body: nn.Module, head: nn.Module) -> None:
        super().__init__()
        self.body = body
        self.head = head

    def forward(self, images: Tensor) -> Tensor:
        """Logits ``(B, way)`` of images ``(B, C, H, W)``."""
        logits: Tensor = self.head(self.body(images))
        return logits


class FilmValues(Tensors):
    """Gamma and beta of all sites."""

    flat: Tensor
    """``(1, flat_dim)``, in the layout of ``Sites``."""


class FastFilm(FastNetwork):
    """A body, FiLM and a head, of which the inner steps change FiLM, and the head where ``with_head`` is set."""

    def __init__(
        self, body: nn.Module, head: nn.Module, filmed: FiLMedNetwork, film: Tensor, *, with_head: bool
    ) -> None:
        nn.Module.__init__(self)
        self.film = FilmValues(flat=film)
        # what is no module's child is neither copied nor changed by the steps
        self.__dict__["body"] = body
        if with_head:
            self.head = head
        else:
            self.__dict__["head"] = head
        self.__dict__["filmed"] = filmed

    def forward(self, images: Tensor) -> Tensor:
        """Logits ``(B, way)`` of images ``(B, C, H, W)``."""
        filmed: FiLMedNetwork = self.__dict__["filmed"]
        with filmed.modulated(filmed.sites.split(self.film.flat)):
            return super().forward(images)


class ANIL(GradientLearner):
    """Almost no inner loop: the steps change the head alone, and the backbone is meta-trained through them.

    Source:
        Raghu et al., "Rapid Learning or Feature Reuse?", ICLR 2020, https://arxiv.org/abs/1909.09157
    """

    config: ANILConfig

    def run_inner_loop(self, images: Tensor, targets: Tensor, head: nn.Module, inner: InnerLoop) -> Network:
        """Features once, then steps of the head; see :meth:`GradientLearner.run_inner_loop`."""
        body = self.task_body()
        if self.transductive:
            features = body(images)
        else:
            with freeze_statistics(body):
                features = body(images)
        library = learn2learn()
        copied = library.clone_module(head)
        algorithm = library.algorithms.MAML(copied, lr=self.config.inner_lr, first_order=inner.needs_first_order)
        adapted = inner(algorithm, features, targets)
        return lambda queries: adapted(body(queries))


class MetaSGD(MAML):
    """MAML whose step sizes are learned too, one for every weight.

    They start at ``inner_lr``; a head that starts at zero shares its rates among the classes.

    Source:
        Li et al., "Meta-SGD: Learning to Learn Quickly for Few-Shot Learning", 2017, https://arxiv.org/abs/1707.09835
    """

    config: MetaSGDConfig  # type: ignore[assignment]  # the same settings, under another name

    def build(self) -> None:
        """See :meth:`Learner.build`."""
        super().build()
        changed = self.start(self.backbone, self.start_of_head(self.config.way or 1)).parameters()
        self.rates = nn.ParameterList(torch.full_like(each.detach(), self.config.inner_lr) for each in changed)

    def algorithm(self, start: FastNetwork, first_order: bool) -> Any:
        """See :meth:`MAML.algorithm`."""
        pairs = zip(self.rates, start.parameters(), strict=True)
        rates = [rate if rate.shape == each.shape else rate.expand_as(each) for rate, each in pairs]
        library = learn2learn()
        return library.algorithms.MetaSGD(library.clone_module(start), lrs=rates, first_order=first_order)

    def run_inner_loop(self, images: Tensor, targets: Tensor, head: nn.Module, inner: InnerLoop) -> Network:
        """See :meth:`MAML.run_inner_loop`."""
        with warnings.catch_warnings():
            # learn2learn keeps the inner gradients in .grad of weights that are no leaves
            warnings.filterwarnings("ignore", "The .grad attribute of a Tensor that is not a leaf", UserWarning)
            return super().run_inner_loop(images, targets, head, inner)


class TaskNorm(nn.BatchNorm2d):
    """BatchNorm by the statistics of its batch, in training and in evaluation, which can be frozen in a copy.

    The running statistics of the layer that it was stay in the state dict, unused and unchanged, so that weights
    come and go as with the plain network.

    Source:
        MetaBN of Bronskill et al., "TaskNorm", ICML 2020, section 3.3, https://arxiv.org/abs/2003.03284
    """

    freeze = False
    """Whether the statistics of the next batch become the frozen ones."""
    frozen_stats: tuple[Tensor, Tensor] | None = None
    """Mean and variance, ``(1, C, 1, 1)`` each, that take the place of the batch's."""

    def forward(self, x: Tensor) -> Tensor:
        """Normalise ``(B, C, H, W)``."""
        if self.frozen_stats is not None:
            mean, variance = self.frozen_stats
            scale = (variance + self.eps).rsqrt() * self.weight.view(1, -1, 1, 1)
            return (x * scale + (self.bias.view(1, -1, 1, 1) - mean * scale)).to(x.dtype)
        if self.freeze:
            wide = x.to(self.weight.dtype)
            variance, mean = torch.var_mean(wide, (0, 2, 3), correction=0, keepdim=True)
            self.frozen_stats = mean, variance
        return F.batch_norm(x, None, None, self.weight, self.bias, training=True, eps=self.eps)


def use_task_norm(network: nn.Module) -> None:
    """Make a :class:`TaskNorm` of every ``BatchNorm2d`` with a weight in a network, in place.

    Layers stay the objects that they are, with their weights, names and hooks.
    """
    for module in network.modules():
        if type(module) is nn.BatchNorm2d and module.affine:
            module.__class__ = TaskNorm


def _targets(labels: Tensor) -> tuple[int, Tensor]:
    """The number of classes, and labels counted from 0 in sorted order."""
    classes = sorted(set(labels.tolist()))
    if classes == [*range(len(classes))]:  # as episodes have them: they can be used as they are
        return len(classes), labels.long()
    return len(classes), labels.unique(return_inverse=True)[1]


def copy_modules(network: nn.Module) -> nn.Module:
    """A copy of a network with modules of its own and the same tensors: what is set on its modules stays there."""
    copied = type(network).__new__(type(network))
    copied.__dict__ = dict(network.__dict__)
    copied._modules = {name: child and copy_modules(child) for name, child in network._modules.items()}
    return copied


@contextmanager
def freeze_statistics(network: nn.Module) -> Iterator[None]:
    """The statistics of the batch that goes through the network within the block serve every later one.

    The network must be a copy made for one task: it keeps them for good.
    """
    layers = [module for module in network.modules() if isinstance(module, TaskNorm)]
    for layer in layers:
        layer.freeze = True
    try:
        yield
    finally:
        for layer in layers:
            layer.freeze = False
