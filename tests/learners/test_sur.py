"""SUR: Adadelta written out with differences for gradients, one step by hand, and parts that are networks or stages."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from fewshot_film.learners import SUR
from fewshot_film.learners.networks import build_backbone
from fewshot_film.learners.sur import fit_part_weights, normalised_parts, part_widths
from tests.learners.small import SMALL
from tests.learners.test_heads import LABELS, Pixels, features
from tests.learners.test_joined import two_networks
from tests.reference import heads as reference

WIDTHS = [2, 3, 1]


@pytest.mark.parametrize("mode", [torch.enable_grad, torch.no_grad, torch.inference_mode])
def test_the_weights_equal_loops(mode):
    rows = features(6)
    with mode():
        parts = normalised_parts(torch.tensor(rows), WIDTHS)
        found = fit_part_weights(parts, torch.tensor(LABELS), WIDTHS, 10.0, 8, 100.0)
    np.testing.assert_allclose(found, reference.sur_weights(rows, LABELS, WIDTHS, 10.0, 8, 100.0), rtol=1e-3)


def test_the_first_step_by_hand():
    """Adadelta's first move is ``rate sqrt(1e-6) / sqrt(0.1 g^2 + 1e-6) g``, close to ``rate sqrt(1e-5)`` for any g.

    The first part tells the classes apart and gains it, the second is the same for both and loses it.
    """
    rows = torch.tensor([[1.0, 0.0, 1.0], [0.0, 1.0, 1.0]])
    found = fit_part_weights(rows, torch.tensor([0, 1]), [2, 1], 1.0, 1, 100.0)
    step = 100 * 1e-5**0.5
    expected = [1 / (1 + np.exp(-step)), 1 / (1 + np.exp(step))]
    np.testing.assert_allclose(found, expected, atol=1e-3)


def test_joined_networks_are_parts():
    joined = two_networks()
    assert part_widths(joined) == [backbone.feature_dim for backbone in joined.backbones]


def test_a_task_is_learned_on_joined_networks_which_stay_as_they_are():
    learner = SUR(backbone=two_networks()).train()
    before = {name: value.clone() for name, value in learner.state_dict().items()}
    images, labels = torch.rand(6, 1, 16, 16), torch.tensor([4, 4, 2, 2, 9, 9])
    assert learner.adapt(images, labels)(images).shape == (6, 3)
    assert all(torch.equal(value, before[name]) for name, value in learner.state_dict().items())
    assert not any(parameter.requires_grad for parameter in learner.parameters())


def test_parts_of_one_network_are_its_stages():
    staged = dataclasses.replace(SMALL.backbone, feature_norms=(1.0, 1.0))
    learner = SUR(backbone=build_backbone(staged))
    images, labels = torch.rand(4, 1, 16, 16), torch.tensor([0, 0, 1, 1])
    head = learner.fit_head(learner.features(images), labels)
    assert head.weights.shape == (2,)
    assert ((head.weights >= 0) & (head.weights <= 1)).all()


def test_with_one_part_it_is_the_nearest_mean_by_cosine():
    support, queries = torch.tensor(features(4)), torch.tensor(features(4, rows=5))
    found = SUR(backbone=Pixels(4)).fit_head(support, torch.tensor(LABELS))(queries)
    rows = torch.nn.functional.normalize(support, dim=1)
    means = torch.stack([rows[torch.tensor(label == LABELS)].mean(0) for label in (3, 7, 9)])
    torch.testing.assert_close(found, 10 * torch.cosine_similarity(queries[:, None], means[None], dim=2))


def test_the_part_that_tells_classes_apart_is_selected():
    """Twenty parts say nothing; queries by the last alone are right."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(2).repeat(100)
    rows = torch.randn(200, 42, generator=generator)
    rows[:, 40:] = 0.3 * rows[:, 40:] + torch.eye(2)[labels]
    backbone = Pixels(42)
    backbone.feature_norms = torch.nn.ModuleDict({str(part): torch.nn.LayerNorm(2) for part in range(21)})

    def accuracy(steps: int) -> float:
        head = SUR(backbone=backbone, steps=steps).fit_head(rows[:20], labels[:20])
        return float((head(rows[20:]).argmax(1) == labels[20:]).double().mean())

    assert accuracy(40) >= accuracy(0) + 0.1
