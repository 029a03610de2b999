"""CNAPS: FiLM-adapted features and a linear classifier whose weights are generated, class by class.

Requeima et al., "Fast and Flexible Multi-Task Classification Using Conditional Neural Adaptive Processes", NeurIPS
2019, section 2.2 and appendix, https://arxiv.org/abs/1906.07697
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from fewshot_film.config.learners import CNAPSConfig
from fewshot_film.learners.film_learner import FilmLearner
from fewshot_film.learners.support import at_least_float32, check_support, class_means


class CNAPS(FilmLearner):
    """The whole model; the default configuration is the published architecture (20,559,493 parameters)."""

    config: CNAPSConfig

    def build(self) -> None:
        """See :meth:`Learner.build`."""
        super().build()
        self.classifier_generator = ClassifierGenerator(self.backbone.feature_dim)

    def fit_head(self, features: Tensor, labels: Tensor, weights: Tensor | None = None) -> GeneratedHead:
        """Generate the classifier from the class means; see :meth:`FilmLearner.fit_head`."""
        check_support(features, labels)
        weight, bias = self.classifier_generator(class_means(at_least_float32(features), labels, weights))
        return GeneratedHead(weight, bias)


class ClassifierGenerator(nn.Module):
    """A class's mean features to its weights and its bias, by one network each; 788,485 parameters at D = 512.

    Args:
        feature_dim: width ``D`` of the features.
    """

    def __init__(self, feature_dim: int) -> None:
        super().__init__()
        self.weight = _three_layers(feature_dim, feature_dim)
        self.bias = _three_layers(feature_dim, 1)

    def forward(self, means: Tensor) -> tuple[Tensor, Tensor]:
        """Weights ``(way, D)`` and biases ``(way,)`` of classes with means ``(way, D)``.

        The network of the weights has a skip connection: it starts from the prototypes themselves.
        """
        return means + self.weight(means), self.bias(means)[:, 0]


@dataclass(frozen=True)
class GeneratedHead:
    """A linear classifier with generated weights."""

    weight: Tensor
    """``(way, D)``."""
    bias: Tensor
    """``(way,)``."""

    def __call__(self, features: Tensor) -> Tensor:
        """Logits ``(Q, way)`` of features ``(Q, D)``."""
        return features.to(self.weight.dtype) @ self.weight.T + self.bias


def _three_layers(width: int, out: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(width, out), nn.ELU(), nn.Linear(out, out), nn.ELU(), nn.Linear(out, out))
