"""Ways to train a backbone that the record for CIFAR-FS does not use, each a variant of ``fewshot-film pretrain``.

Every function here is a command's ``run``; :mod:`benchmarks.ideas` measures what they are worth.
"""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path
from typing import Any, SupportsIndex

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fewshot_film.commands import pretrain
from fewshot_film.config.commands import PretrainConfig
from fewshot_film.data import ImageSet
from fewshot_film.data.batches import LabelledBatch, LabelledBatches
from fewshot_film.learners.backbone import Backbone
from fewshot_film.learners.networks import build_backbone
from fewshot_film.learners.objectives import Pretraining, accuracy
from fewshot_film.run.checkpoint import load_weights
from fewshot_film.run.seeding import numpy_generator

AVERAGED_OVER = 100
"""Steps that the average of the weights looks back on, about."""
SMALL_FOR, SMALL_SIDE = 0.5, 24
"""For which part of the steps images are small, and how many pixels then."""
TEMPERATURE = 4.0
"""Of the teacher's probabilities, and of the student's beside them: that of Tian et al."""
MIXED_BY = 2.0
"""Both parameters of the beta distribution of shares: those of Mangla et al."""


def with_trained_first_layer(config: PretrainConfig) -> None:
    """A first layer that stays random and is trained as all others are."""
    pretrain.run(config, start=_nothing)


def with_average(config: PretrainConfig) -> None:
    """The weights' moving average is what is kept."""
    pretrain.run(config, objective=Averaged)


def with_alternating_flips(config: PretrainConfig) -> None:
    """Every image is mirrored in every second epoch, not by chance."""
    pretrain.run(config, batches=AlternatingBatches)


def with_small_images_first(config: PretrainConfig) -> None:
    """Images are small for the first part of the steps."""

    def batches(*args: Any) -> GrowingBatches:
        return GrowingBatches(*args, small_until=round(SMALL_FOR * config.loop.steps))

    pretrain.run(config, batches=batches)


def with_teacher(config: PretrainConfig) -> None:
    """What a network trained before says of an image counts as much as the label.

    That network is of the run ``teacher`` beside the run's folder, and of the same settings but for its seed.
    """

    def objective(backbone: Backbone, num_classes: int, *args: Any) -> Distilled:
        teacher = Pretraining(build_backbone(config.backbone), num_classes, *args)
        load_weights(teacher, Path(config.out).parent / TEACHER / "last.ckpt")
        return Distilled(backbone, num_classes, *args, teacher=teacher)

    pretrain.run(config, objective=objective)


def with_mixed_features(config: PretrainConfig) -> None:
    """Features of two images are mixed at a random depth, and so are their labels."""
    pretrain.run(config, objective=Mixed)


TEACHER = "another-seed"
"""Folder of the run that teaches."""


def _nothing(backbone: Backbone, images: ImageSet) -> None:
    backbone.requires_grad_(True)


class Averaged(Pretraining):
    """The backbone is the moving average of another one, which is trained in its place.

    Source:
        Polyak and Juditsky, SIAM J. Control and Optimization 30(4), 1992, with weights that fall exponentially
    """

    def __init__(self, backbone: Backbone, *args: Any, **kwargs: Any) -> None:
        super().__init__(backbone, *args, **kwargs)
        self.trained = deepcopy(backbone)
        backbone.requires_grad_(False)

    def logits(self, images: Tensor) -> Tensor:
        """Of the backbone that is trained; the average takes in what its last step made of it."""
        with torch.no_grad():
            for average, new in zip(
                self.backbone.state_dict().values(), self.trained.state_dict().values(), strict=True
            ):
                if average.is_floating_point():
                    average.lerp_(new, 1 / AVERAGED_OVER)
        logits: Tensor = self.classifier(self.trained(images.contiguous(memory_format=torch.channels_last)))
        return logits.float()


class AlternatingBatches(LabelledBatches):
    """Half of the images are mirrored in the first epoch, the other half in the second, and so on.

    Source:
        Jordan, "94% on CIFAR-10 in 3.29 Seconds on a Single GPU", 2024, section 3.6
    """

    def __getitem__(self, index: SupportsIndex) -> LabelledBatch:
        """Batch ``index``; the settings' own mirror images should be off."""
        batch = super().__getitem__(index)
        epoch, chosen = self.chosen(index.__index__())
        first = numpy_generator(self.seed, "mirrored first").integers(2, size=len(self.images))
        is_mirrored = torch.from_numpy((first[chosen] + epoch) % 2 == 1)[:, None, None, None]
        return LabelledBatch(torch.where(is_mirrored, batch.images.flip(-1), batch.images), batch.labels)


class GrowingBatches(LabelledBatches):
    """Images are small in the first batches.

    Args:
        args: see :class:`LabelledBatches`.
        small_until: number of the first batch with images as they are.
    """

    def __init__(self, *args: Any, small_until: int) -> None:
        super().__init__(*args)
        self.small_until = small_until

    def __getitem__(self, index: SupportsIndex) -> LabelledBatch:
        """Batch ``index``, varied before it is made smaller."""
        batch = super().__getitem__(index)
        if index.__index__() >= self.small_until:
            return batch
        small = F.interpolate(batch.images, size=(SMALL_SIDE, SMALL_SIDE), mode="bilinear", antialias=True)
        return LabelledBatch(small.clamp(0, 1), batch.labels)


class Distilled(Pretraining):
    """Half of the loss is cross-entropy, half the divergence from a teacher's probabilities.

    Args:
        args: see :class:`Pretraining`.
        teacher: a network trained before.
        kwargs: see :class:`Pretraining`.

    Source:
        Tian et al., "Rethinking Few-Shot Image Classification: a Good Embedding Is All You Need?", ECCV 2020, eq. 5
    """

    def __init__(self, *args: Any, teacher: Pretraining, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._teacher = (teacher.eval(),)  # no submodule: it is neither trained nor saved

    def forward(self, batch: LabelledBatch) -> dict[str, Tensor]:
        """Loss and accuracy of one batch."""
        logits = self.logits(batch.images)
        with torch.no_grad():
            taught = self._teacher[0].logits(batch.images)
        soft = F.kl_div((logits / TEMPERATURE).log_softmax(1), (taught / TEMPERATURE).softmax(1), reduction="batchmean")
        loss = (self.loss(logits, batch.labels) + TEMPERATURE**2 * soft) / 2
        return {"loss": loss, "accuracy": accuracy(logits, batch.labels)}


class Mixed(Pretraining):
    """Each image's maps are mixed with those of another one before the stem or a random stage.

    Source:
        Verma et al., "Manifold Mixup", ICML 2019, section 2; for few-shot learning Mangla et al., WACV 2020, section
        4.1
    """

    def forward(self, batch: LabelledBatch) -> dict[str, Tensor]:
        """Loss and accuracy of one batch."""
        share = float(torch.distributions.Beta(MIXED_BY, MIXED_BY).sample())
        partner = torch.randperm(len(batch.images))
        places = (self.backbone.normalize, *(self.backbone.get_submodule(name) for name in self.backbone.stage_names))
        place = places[int(torch.randint(len(places), ()))]

        def mix(module: nn.Module, inputs: tuple[Tensor]) -> Tensor:
            return torch.lerp(inputs[0][partner], inputs[0], share)

        hook = place.register_forward_pre_hook(mix)
        try:
            logits = self.logits(batch.images)
        finally:
            hook.remove()
        loss = share * self.loss(logits, batch.labels) + (1 - share) * self.loss(logits, batch.labels[partner])
        return {"loss": loss, "accuracy": accuracy(logits, batch.labels)}
