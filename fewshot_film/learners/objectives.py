"""The objectives that the training loop minimises: a backbone classifies, a learner is tried on episodes."""

from __future__ import annotations

from typing import Literal, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fewshot_film.config.memory import MemoryConfig
from fewshot_film.data.batches import LabelledBatch
from fewshot_film.episodes import Episode
from fewshot_film.errors import ConfigError
from fewshot_film.learners.backbone import Backbone
from fewshot_film.learners.film_learner import FilmFeatures
from fewshot_film.learners.learner import Learner

Classifier = Literal["cosine", "linear"]


class CosineClassifier(nn.Linear):
    """Cosine of the angle between features and one direction per class, times a fixed scale.

    Source:
        Gidaris and Komodakis, "Dynamic Few-Shot Visual Learning without Forgetting", CVPR 2018, eq. 3.
    """

    def __init__(self, feature_dim: int, num_classes: int, scale: float = 20.0) -> None:
        super().__init__(feature_dim, num_classes, bias=False)
        self.scale = scale

    def forward(self, features: Tensor) -> Tensor:
        """Logits ``(B, num_classes)`` of features ``(B, feature_dim)``."""
        return self.scale * F.linear(F.normalize(features, dim=1), F.normalize(self.weight, dim=1))


class Pretraining(nn.Module):
    """A backbone and a classifier over all training classes.

    Args:
        backbone: the network to train.
        num_classes: training classes.
        classifier: ``cosine`` gives features that compare by angle as well; ``linear`` is the paper's.
        label_smoothing: share of the target that is spread over all classes.
        rotation_ssl: turn a quarter of each batch by 90, 180 and 270 degrees each, and tell the turns apart too.

    Source:
        Lee et al., "Self-supervised Label Augmentation via Input Transformations", ICML 2020, section 2.2,
        https://arxiv.org/abs/1910.05872, for the joint classes of label and turn
    """

    def __init__(
        self,
        backbone: Backbone,
        num_classes: int,
        classifier: Classifier = "cosine",
        label_smoothing: float = 0.0,
        rotation_ssl: bool = False,
    ) -> None:
        super().__init__()
        self.backbone = backbone
        kind = CosineClassifier if classifier == "cosine" else nn.Linear
        self.num_classes = num_classes
        self.turns = 4 if rotation_ssl else 1
        self.classifier = kind(backbone.feature_dim, self.turns * num_classes)
        self.label_smoothing = label_smoothing

    def forward(self, batch: LabelledBatch) -> dict[str, Tensor]:
        """Loss and accuracy of one batch."""
        images, labels = self._turned(batch)
        logits = self.logits(images)
        return {"loss": self.loss(logits, labels), "accuracy": accuracy(logits, labels)}

    def logits(self, images: Tensor) -> Tensor:
        """Of the classes, ``(B, num_classes)``, for images ``(B, C, H, W)`` in [0, 1]."""
        logits: Tensor = self.classifier(self.backbone(images.contiguous(memory_format=torch.channels_last)))
        return logits.float()

    def loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Cross-entropy with smoothed labels, a scalar."""
        return F.cross_entropy(logits, labels, label_smoothing=self.label_smoothing)

    def _turned(self, batch: LabelledBatch) -> tuple[Tensor, Tensor]:
        """Every image in one of the turns, by its place in the batch, which is a random one already."""
        if self.turns == 1:
            return batch.images, batch.labels
        parts = [slice(turn, None, self.turns) for turn in range(self.turns)]
        images = [batch.images[part].rot90(turn, (2, 3)) for turn, part in enumerate(parts)]
        labels = [batch.labels[part] + turn * self.num_classes for turn, part in enumerate(parts)]
        return torch.cat(images), torch.cat(labels)


class MetaTraining(nn.Module):
    """A learner trained on episodes: cross-entropy of the query images, plus the learner's penalty.

    Args:
        learner: what is trained.
        memory: how its gradients are computed.

    Raises:
        ConfigError: the learner cannot do with less than full memory, or not with so little.
    """

    def __init__(self, learner: Learner, memory: MemoryConfig | None = None) -> None:
        super().__init__()
        self.learner = learner
        bound_memory(learner, memory or MemoryConfig())

    def forward(self, episode: Episode) -> dict[str, Tensor]:
        """Loss and accuracy of one episode."""
        logits = cast(Tensor, self.learner(episode)).float()
        loss = F.cross_entropy(logits, episode.query_labels) + self.learner.penalty(episode)
        return {"loss": loss, "accuracy": accuracy(logits, episode.query_labels)}


def bound_memory(learner: Learner, memory: MemoryConfig) -> None:
    """Have a learner compute its gradients as the settings say.

    Raises:
        ConfigError: it cannot, or not within the budget.
    """
    if not isinstance(learner, FilmFeatures):
        if memory.mode != "full":
            raise ConfigError(
                f"memory.mode is {memory.mode}; expected full for {learner.config.method}: only methods with a head on "
                "features from one pass over the support set can do with less"
            )
        return
    exact = learner.images_within(memory.budget_mib) if memory.mode == "exact" and memory.budget_mib else memory.chunk
    learner.gradient_chunk = exact if memory.mode == "exact" else None
    learner.lite_support = memory.lite_support if memory.mode == "lite" else None


def accuracy(logits: Tensor, labels: Tensor) -> Tensor:
    """Share of rows whose largest logit is the label's, a scalar without gradient."""
    return (logits.argmax(1) == labels).float().mean()
