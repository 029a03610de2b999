"""Pre-training: classes, and turns of classes."""

from __future__ import annotations

import math

import torch

from fewshot_film.config.backbone import BackboneConfig
from fewshot_film.data.batches import LabelledBatch
from fewshot_film.learners.networks import build_backbone
from fewshot_film.learners.objectives import Pretraining

IMAGES = torch.arange(5 * 2 * 2.0).view(5, 1, 2, 2)
LABELS = torch.tensor([2, 0, 1, 2, 0])


def pretraining(rotation_ssl: bool) -> Pretraining:
    torch.manual_seed(0)
    backbone = build_backbone(BackboneConfig(width=4, blocks=(1,), channels=1, image_size=8))
    return Pretraining(backbone, 3, rotation_ssl=rotation_ssl)


def learned_from(module: Pretraining, labels: list[int]) -> torch.Tensor:
    """The images that the backbone gets of IMAGES; ``labels`` are what it is to learn of each."""
    seen = []

    def look(images: torch.Tensor) -> torch.Tensor:
        seen.append(images)
        return torch.zeros(len(images), module.classifier.in_features)

    module.backbone.forward = look
    logits = torch.nn.functional.one_hot(torch.tensor(labels), module.classifier.out_features).float()
    module.classifier.register_forward_hook(lambda *_: logits)
    assert module(LabelledBatch(IMAGES, LABELS))["accuracy"] == 1
    return seen[0]


def test_every_turn_of_a_class_is_a_class():
    # images 0 and 4 upright, then 1, 2 and 3 turned once, twice and three times, against the clock
    images = learned_from(pretraining(rotation_ssl=True), [2, 0, 0 + 3, 1 + 6, 2 + 9])
    assert images[:, 0].tolist() == [
        [[0, 1], [2, 3]],
        [[16, 17], [18, 19]],
        [[5, 7], [4, 6]],
        [[11, 10], [9, 8]],
        [[14, 12], [15, 13]],
    ]


def test_without_turns_a_batch_stays_as_it_is():
    assert torch.equal(learned_from(pretraining(rotation_ssl=False), LABELS.tolist()), IMAGES)


def test_loss_and_accuracy_are_over_classes_and_turns():
    module = pretraining(rotation_ssl=True)
    assert module.classifier.out_features == 12
    with torch.no_grad():
        module.classifier.weight.fill_(1)  # all logits equal
        values = module(LabelledBatch(torch.rand(5, 1, 8, 8), LABELS))
    torch.testing.assert_close(values["loss"], torch.tensor(math.log(12)))


def test_a_few_steps_learn_the_turns():
    module = pretraining(rotation_ssl=True)
    batch = LabelledBatch(torch.rand(12, 1, 8, 8, generator=torch.Generator().manual_seed(1)), torch.arange(12) % 3)
    optimizer = torch.optim.Adam(module.parameters(), 0.02)
    for _ in range(80):
        optimizer.zero_grad()
        values = module(batch)
        values["loss"].backward()
        optimizer.step()
    assert values["accuracy"] == 1
