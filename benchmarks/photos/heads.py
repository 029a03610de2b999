"""Heads on frozen features by name: the project's own, and what people would use otherwise."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

from torch import Tensor

from benchmarks.photos.features import FrozenBackbone
from benchmarks.photos.head import Answer, Answers, Head
from benchmarks.photos.linear import linear_svm, logistic_regression
from benchmarks.photos.settings import HEADS
from fewshot_film.classifier.adapting import Adapter, TaskHead
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
from fewshot_film.learners.film_learner import FilmLearner

MEAN, COSINE, LOGISTIC, SVM, MAHALANOBIS, RIDGE = HEADS
_METHODS = {COSINE: "prototypes", MAHALANOBIS: "simple-cnaps"}
REJECT = 0.05
"""Share of members that may be turned away as strangers."""


@dataclass(frozen=True)
class LearnerHead:
    """The head of a learner, with the temperature and the limit of distances that `FewShotClassifier` gives it."""

    adapter: Adapter
    measured: Measured
    """What is known of the head from other images."""

    def __call__(self, features: Tensor, labels: Tensor, *, judge: bool = True) -> Answer:
        """See `Head`."""
        if not judge:
            bare = self.adapter.learner.fit_head(features.double(), labels)
            return lambda queries: Answers(bare(queries.double()).argmax(1), None, None)
        head, temperature, limit = self.fit(features, labels)

        def answer(queries: Tensor) -> Answers:
            logits = head.logits(queries)
            away = None if limit is None else head.nearest(queries) > limit
            return Answers(logits.argmax(1), (logits / temperature).softmax(1), away)

        return answer

    def fit(self, features: Tensor, labels: Tensor) -> tuple[TaskHead, float, float | None]:
        """The head of a task, its temperature, and its limit of distances, None where nothing tells it."""
        known, shot = self.measured, len(labels) / len(labels.unique())
        held = held_out(*self.adapter.heads_among(features), labels)
        temperature = task_temperature(held, known.temperatures, shot, known.doubt)
        limit = _limit(held.nearest, expected_distances(known.member_distances, shot))
        return self.adapter.fit_head(features, labels), temperature, limit


def _limit(nearest: Tensor, expected: Tensor | None) -> float | None:
    try:
        return largest_member_distance(nearest.double(), REJECT, expected)
    except InvalidValueError:  # one image per class, and nothing is known of others
        return None


def build_head(name: str, backbone: FrozenBackbone) -> Head:
    """A head by its name: one of `HEADS`, or a method of the project that needs no training.

    Raises:
        ConfigError: there is no such method, or it has parts that must be trained.
    """
    if name == LOGISTIC:
        return logistic_regression()
    if name == SVM:
        return linear_svm()
    if name == MEAN:
        config = PrototypesConfig(backbone=backbone.template.backbone, distance="euclidean")
        return LearnerHead(Adapter(PrototypicalNetworks(config, backbone.network)), Measured())
    method = _METHODS.get(name, name)
    learner = without_training((method,), backbone.network, backbone.template)[method]
    # what is known of a model is known of its own head
    own = backbone.measured if method == backbone.template.method else Measured()
    return LearnerHead(Adapter(cast(FilmLearner, learner)), own)
