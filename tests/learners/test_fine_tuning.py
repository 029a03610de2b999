"""Fine-tuning of a head: its steps against loops, and what they may and may not depend on."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from torch import nn

from fewshot_film.config.learners import FineTuningConfig
from fewshot_film.errors import ConfigError
from fewshot_film.learners.fine_tuning import FineTuning
from fewshot_film.learners.support import SupportError
from tests.reference import fine_tuning as reference

CONFIG = FineTuningConfig(epochs=3, batch_size=2, learning_rate=0.1)
LABELS = torch.tensor([4, 2, 4, 4, 2])


class Pixels(nn.Module):
    """The features are the pixels."""

    feature_dim = 3

    def forward(self, images):
        return images.flatten(1)


def random_images(count: int = len(LABELS)) -> torch.Tensor:
    return torch.randn(count, 1, 1, 3, dtype=torch.double, generator=torch.Generator().manual_seed(count))


@pytest.mark.parametrize("head", ["linear", "cosine"])
def test_equals_loops(head):
    support, queries = random_images(), random_images(4)
    adapted = FineTuning(dataclasses.replace(CONFIG, head=head), Pixels()).adapt(support, LABELS)
    generator = torch.Generator().manual_seed(CONFIG.seed)
    orders = [torch.randperm(5, generator=generator).numpy() for _ in range(CONFIG.epochs)]
    members = np.array([1, 0, 1, 1, 0])
    weight, bias = reference.train(
        support.flatten(1).numpy(), members, head, orders,
        batch_size=2, rate=0.1, decay=CONFIG.weight_decay, scale=CONFIG.scale,
    )  # fmt: skip
    expected = reference.logits(queries.flatten(1).numpy(), weight, bias, head, CONFIG.scale)
    np.testing.assert_allclose(adapted(queries).numpy(), expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("head", ["linear", "cosine"])
@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_same_classifier_in_any_mode(head, mode):
    learner = FineTuning(dataclasses.replace(CONFIG, head=head), Pixels())
    expected = learner.adapt(random_images(), LABELS)(random_images(4))
    state = torch.get_rng_state()
    with mode():
        found = learner.adapt(random_images(), LABELS)(random_images(4))
    assert torch.equal(found, expected)
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("head", ["linear", "cosine"])
def test_names_of_classes_do_not_matter(head):
    learner = FineTuning(dataclasses.replace(CONFIG, head=head), Pixels())
    plain = learner.adapt(random_images(), LABELS)(random_images(4))
    torch.testing.assert_close(learner.adapt(random_images(), -LABELS)(random_images(4)), plain.flip(1))


@pytest.mark.parametrize("head", ["linear", "cosine"])
def test_it_learns_its_task(head):
    """Two classes that the first feature tells apart, among others that are larger."""
    support = torch.randn(20, 1, 1, 3, generator=torch.Generator().manual_seed(0))
    labels = torch.arange(20) % 2
    support[:, 0, 0, 0] = 2.0 * labels - 1
    support[:, 0, 0, 1:] *= 3
    learner = FineTuning(FineTuningConfig(head=head, learning_rate=1.0, epochs=20, batch_size=10), Pixels())
    assert torch.equal(learner.adapt(support, labels)(support).argmax(1), labels)


def test_bad_support_is_refused():
    with pytest.raises(SupportError, match="the support set is empty"):
        FineTuning(CONFIG, Pixels()).adapt(torch.zeros(0, 1, 1, 3), torch.zeros(0, dtype=torch.long))


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("epochs", -1, "at least 0"),
        ("weight_decay", -0.1, "at least 0"),
        ("learning_rate", 0.0, "above 0"),
        ("scale", 0.0, "above 0"),
        ("batch_size", 0, "at least 1"),
    ],
)
def test_settings_out_of_range(name, value, expected):
    with pytest.raises(ConfigError, match=f"learner.{name} is {value}; expected {expected}"):
        dataclasses.replace(CONFIG, **{name: value})
