"""Heads on frozen features: the project's own, by the names of their methods, and what people would use otherwise."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import torch
import torch.nn.functional as F
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.svm import LinearSVC
from torch import Tensor

from benchmarks.photos.features import FrozenBackbone
from benchmarks.photos.settings import HEADS
from fewshot_film.classifier.adapting import Adapter
from fewshot_film.classifier.calibration import (
    Measured,
    expected_distances,
    held_out,
    largest_member_distance,
    task_temperature,
)
from fewshot_film.commands.baselines import without_training
from fewshot_film.config.learners import PrototypesConfig
from fewshot_film.errors import InvalidValueError
from fewshot_film.learners import PrototypicalNetworks

MEAN, COSINE, LOGISTIC, SVM, MAHALANOBIS = HEADS
_METHODS = {COSINE: "prototypes", MAHALANOBIS: "simple-cnaps"}
REJECT = 0.05
"""Share of members that may be turned away as strangers."""


@dataclass(frozen=True)
class Answers:
    """What a fitted head says of queries."""

    labels: Tensor
    """``(Q,)``: the likeliest class."""
    probabilities: Tensor | None
    """``(Q, way)``; None for a head that has none."""
    turned_away: Tensor | None
    """``(Q,)`` bool: "none of these"; None where the head cannot tell."""


Answer = Callable[[Tensor], Answers]
"""Features of queries ``(Q, D)`` to answers."""


class Head(Protocol):
    """Features ``(N, D)`` and labels ``(N,)`` in ``[0, way)`` of a support set to what answers."""

    def __call__(self, features: Tensor, labels: Tensor, *, judge: bool = True) -> Answer:
        """Fit; without ``judge`` neither probabilities nor "none of these" are prepared."""
        ...


@dataclass(frozen=True)
class LearnerHead:
    """The head of a learner, with the temperature and the limit of distances that `FewShotClassifier` gives it."""

    adapter: Adapter
    measured: Measured | None
    """What is known of this head from other images; None: it gives no probabilities."""

    def __call__(self, features: Tensor, labels: Tensor, *, judge: bool = True) -> Answer:
        """See `Head`."""
        head = self.adapter.fit_head(features, labels)
        if not judge or self.measured is None:
            return lambda queries: Answers(head.logits(queries).argmax(1), None, None)
        held = held_out(self.adapter.fit_head, features, labels)
        shot = len(labels) / len(labels.unique())
        temperature = task_temperature(held, self.measured.temperatures, shot, self.measured.doubt)
        limit = _limit(held.nearest, expected_distances(self.measured.member_distances, shot))

        def answer(queries: Tensor) -> Answers:
            logits = head.logits(queries)
            away = None if limit is None else head.nearest(queries) > limit
            return Answers(logits.argmax(1), (logits / temperature).softmax(1), away)

        return answer


def _limit(nearest: Tensor, expected: Tensor | None) -> float | None:
    try:
        return largest_member_distance(nearest.double(), REJECT, expected)
    except InvalidValueError:  # one image per class, and nothing is known of other kinds
        return None


@dataclass(frozen=True)
class SklearnHead:
    """A linear classifier of scikit-learn.

    Its solution lies in the span of the support features and does not depend on how the space is turned, so it is
    fitted to coordinates in that span: as many as images, not as features.
    """

    make: Callable[[], Any]
    length: float
    """What features are scaled to first: both classifiers gain by it with one image per class, and lose nothing."""

    def __call__(self, features: Tensor, labels: Tensor, *, judge: bool = True) -> Answer:
        """See `Head`."""
        scaled = self.length * F.normalize(features.double(), dim=1)
        basis = torch.linalg.qr(scaled.T).Q
        fitted = self.make()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            fitted.fit((scaled @ basis).numpy(), labels.numpy())
        gives_probabilities = judge and hasattr(fitted, "predict_proba")

        def answer(queries: Tensor) -> Answers:
            rows = (self.length * F.normalize(queries.double(), dim=1) @ basis).numpy()
            found = torch.from_numpy(fitted.predict_proba(rows)) if gives_probabilities else None
            return Answers(torch.from_numpy(fitted.predict(rows)), found, None)

        return answer


def build_head(name: str, backbone: FrozenBackbone) -> Head:
    """A head by its name: one of `HEADS`, or a method of the project that needs no training.

    Raises:
        ConfigError: there is no such method, or it has parts that must be trained.
    """
    if name == LOGISTIC:
        return SklearnHead(lambda: LogisticRegression(max_iter=1000), 10.0)
    if name == SVM:
        return SklearnHead(LinearSVC, 1.0)
    if name == MEAN:
        config = PrototypesConfig(backbone=backbone.template.backbone, distance="euclidean")
        return LearnerHead(Adapter(PrototypicalNetworks(config, backbone.network)), None)
    method = _METHODS.get(name, name)
    learner = without_training((method,), backbone.network, backbone.template)[method]
    # what is known belongs to the head that it was measured with
    own = backbone.measured if method == backbone.template.method else Measured()
    return LearnerHead(Adapter(learner), own)  # type: ignore[arg-type]  # a method that is not `pixels` is a learner
