"""FiT: FiLM parameters and the few weights of a naive Bayes head, fine-tuned on the support set.

Shysheya et al., "FiT: Parameter Efficient Few-shot Transfer Learning for Personalized and Federated Image
Classification", ICLR 2023, section 3, https://arxiv.org/abs/2206.08671. The backbone stays as it is. In every step a
small task is drawn from one half of the support set, and the loss is that of its queries from the other half.

The covariance of class ``k`` is ``w_c S_k + w_t S + w_r I`` (QDA) or ``w_t S + w_r I`` (LDA), with learned weights that
are not negative; ``prototypes`` has squared distances.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from fewshot_film.config.learners import FiTConfig
from fewshot_film.film import Modulation, Modulations
from fewshot_film.learners.discriminants import GaussianHead, SharedCovarianceHead
from fewshot_film.learners.learner import FeatureClassifier, FrozenLearner, Head
from fewshot_film.learners.prototypes import PrototypeHead
from fewshot_film.learners.scatter import Scatter, needs_double
from fewshot_film.learners.simple_cnaps import CovarianceWeights, fit_mahalanobis
from fewshot_film.learners.support import at_least_float32, check_finite, check_support, class_means, members_in_order

START = {"qda": (0.5, 0.5, 1.0), "lda": (1.0, 1.0), "prototypes": ()}
"""The weights of the covariances before the first step: of class, task and identity."""
SMALLEST = 1e-6
"""What a weight counts for at least, so that a covariance can be inverted."""
TASK_SIZE = 100
"""Images to learn from in the small task of a step, about."""
MIN_WAY, MAX_QUERIES = 5, 2000
"""Fewest classes of a small task, where there are as many, and most queries."""


class FiT(FrozenLearner):
    """Fine-tuned on every task; the same for the same support set, every time."""

    config: FiTConfig

    def build(self) -> None:
        """See :meth:`Learner.build`."""
        super().build()
        self.inject_film(self.config.sites)

    def adapt(self, support_images: Tensor, support_labels: Tensor) -> AdaptedFiT:
        """Fine-tune FiLM and head, then fit the head to the whole support set; see :meth:`Learner.adapt`."""
        check_finite(support_images, "support image", support_images)
        check_support(support_images.flatten(1), support_labels)
        members, _ = members_in_order(support_labels)
        with torch.inference_mode(False), torch.enable_grad():
            modulations, weights = self._fine_tune(support_images.clone(), members.clone())
        with torch.no_grad():
            network = partial(self.filmed, modulations=modulations)
            features = self.features(support_images, "support image", network)
            head = naive_bayes_head(features, support_labels, self.config.head, weights)
        return AdaptedFiT(partial(self.features, kind="query image", network=network), head, modulations, weights)

    def _fine_tune(self, images: Tensor, members: Tensor) -> tuple[Modulations, tuple[Tensor, ...]]:
        config = self.config
        images = images.contiguous(memory_format=torch.channels_last)
        start = self.filmed.sites.identity(device=images.device, dtype=images.dtype)
        modulations = {
            name: Modulation(gamma.requires_grad_(), beta.requires_grad_()) for name, (gamma, beta) in start.items()
        }
        weights = tuple(images.new_tensor(value).requires_grad_() for value in START[config.head])
        learned = [*weights, *(values for modulation in modulations.values() for values in modulation)]
        optimizer = torch.optim.Adam(learned, config.learning_rate)
        tasks = SmallTasks(members.cpu(), TASK_SIZE, torch.Generator().manual_seed(config.seed))
        for _ in range(config.steps):
            task = tasks.draw()
            features = self.filmed(images[torch.cat([task.support, task.query])], modulations)
            support, query = features.split([len(task.support), len(task.query)])
            head = naive_bayes_head(support, task.support_labels.to(images.device), config.head, weights)
            loss = F.cross_entropy(head(query), task.query_labels.to(images.device))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        detached = {name: Modulation(gamma.detach(), beta.detach()) for name, (gamma, beta) in modulations.items()}
        return detached, tuple(weight.detach() for weight in weights)


@dataclass(frozen=True)
class AdaptedFiT(FeatureClassifier):
    """A classifier for one task."""

    weights: tuple[Tensor, ...] = ()
    """The fine-tuned weights of the covariances, before the negative ones count as zero."""


def naive_bayes_head(features: Tensor, labels: Tensor, kind: str, weights: Sequence[Tensor]) -> Head:
    """FiT's head; differentiable in the features and in the weights.

    Args:
        features: of the support set, ``(N, D)``.
        labels: any integers, ``(N,)``; the logits' columns follow their sorted order.
        kind: ``qda``, ``lda`` or ``prototypes``.
        weights: of the covariances, scalars, as in :data:`START`; negative ones count as zero.

    Raises:
        SupportError: empty support, shapes that do not fit, or features that are not finite.
    """
    check_support(features, labels)
    features = at_least_float32(features)
    if kind == "prototypes":
        return PrototypeHead(class_means(features, labels), None)
    *parts, identity = (torch.relu(weight).clamp_min(SMALLEST) for weight in weights)
    freedom = max(len(features) - 1, 1)
    shared = parts[-1] / identity / freedom
    if kind == "lda":
        deviations = features - features.mean(0)
        if needs_double(deviations, shared):
            return naive_bayes_head(features.double(), labels, kind, weights)
        with torch.autocast(features.device.type, enabled=False):
            metric = Scatter(deviations).metric(shared)
        return SharedCovarianceHead(metric, class_means(features, labels), identity)
    own = parts[0] / identity
    covariances = CovarianceWeights(own=lambda shot: own / (shot - 1), shared=lambda shot: shared)
    return GaussianHead(fit_mahalanobis(features, labels, weights=covariances), identity)


@dataclass(frozen=True)
class SmallTask:
    """Which images of a support set make a task."""

    support: Tensor
    """Indices, ``(N,)``."""
    support_labels: Tensor
    """``(N,)`` in ``[0, way)``."""
    query: Tensor
    """Indices, ``(M,)``."""
    query_labels: Tensor
    """``(M,)``."""


class SmallTasks:
    """Tasks with a random number of the classes, and of each some images to learn from and some to be judged by.

    Every class's images are dealt once: half of them, rounded up, to learn from, the rest to be judged by. A class
    with one image has none to be judged by; where all classes have one, it serves for both.

    Args:
        members: class of every image, ``(N,)`` in ``[0, way)``, none left out.
        size: images to learn from in a task, about.
        generator: where the draws come from.

    Source:
        Shysheya et al., "FiT", ICLR 2023, appendix A, https://arxiv.org/abs/2206.08671
    """

    def __init__(self, members: Tensor, size: int, generator: torch.Generator) -> None:
        self.size, self.generator = size, generator
        self._support: list[Tensor] = []
        self._query: list[Tensor] = []
        for index in range(int(members.max()) + 1):
            images = self._shuffled((members == index).nonzero()[:, 0])
            half = (len(images) + 1) // 2
            self._support.append(images[:half])
            self._query.append(images[half:])
        if not any(len(images) for images in self._query):
            self._query = self._support

    def draw(self) -> SmallTask:
        """The next task; it has at least one query."""
        num_classes = len(self._support)
        low, high = min(num_classes, MIN_WAY), min(num_classes, max(self.size, MIN_WAY))
        way = int(torch.randint(low, high + 1, (), generator=self.generator))
        classes = self._shuffled(torch.arange(num_classes))[:way].tolist()
        with_queries = [index for index in range(num_classes) if len(self._query[index])]
        if not any(len(self._query[index]) for index in classes):
            chosen = int(torch.randint(len(with_queries), (), generator=self.generator))
            classes[0] = with_queries[chosen]
        shot, queries = max(round(self.size / way), 1), max(MAX_QUERIES // way, 1)
        support = [self._shuffled(self._support[index])[:shot] for index in classes]
        query = [self._shuffled(self._query[index])[:queries] for index in classes]
        return SmallTask(torch.cat(support), _labels(support), torch.cat(query), _labels(query))

    def _shuffled(self, images: Tensor) -> Tensor:
        return images[torch.randperm(len(images), generator=self.generator)]


def _labels(images: list[Tensor]) -> Tensor:
    return torch.arange(len(images)).repeat_interleave(torch.tensor([len(part) for part in images]))
