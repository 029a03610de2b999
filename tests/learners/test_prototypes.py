"""Prototypical networks against hand-computed means and distances."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from fewshot_film.config.learners import PrototypesConfig
from fewshot_film.errors import ConfigError
from fewshot_film.learners.prototypes import PrototypeHead, PrototypicalNetworks
from fewshot_film.learners.support import SupportError, class_means


class Pixels(nn.Module):
    """The features are the pixels."""

    def forward(self, images):
        return images.flatten(1)


SUPPORT = torch.tensor([[0.0, 1.0], [3.0, 4.0], [0.0, 3.0]]).view(3, 1, 1, 2)
LABELS = torch.tensor([7, 3, 7])  # any integers


def test_euclidean_by_hand():
    adapted = PrototypicalNetworks(PrototypesConfig(distance="euclidean"), Pixels()).adapt(SUPPORT, LABELS)
    assert adapted.head.prototypes.tolist() == [[3.0, 4.0], [0.0, 2.0]]  # classes in the order 3, 7
    logits = adapted(torch.tensor([[0.0, 0.0], [3.0, 4.0]]).view(2, 1, 1, 2))
    torch.testing.assert_close(logits, torch.tensor([[-25.0, -4.0], [0.0, -13.0]]))


def test_cosine_by_hand():
    adapted = PrototypicalNetworks(PrototypesConfig(scale=2.0), Pixels()).adapt(SUPPORT, LABELS)
    logits = adapted(torch.tensor([[1.0, 0.0], [0.0, 9.0]]).view(2, 1, 1, 2))
    torch.testing.assert_close(logits, 2 * torch.tensor([[0.6, 0.0], [0.8, 1.0]]))


@pytest.mark.parametrize("labels", [torch.tensor([0]), torch.zeros(0, dtype=torch.long)])
def test_bad_support_is_refused(labels):
    with pytest.raises(SupportError, match=r"support images and \d labels?; expected as many, at least 1"):
        class_means(torch.zeros(0 if len(labels) == 0 else 2, 3), labels)


def test_learned_scale():
    learner = PrototypicalNetworks(PrototypesConfig(scale=2.0, learn_scale=True), Pixels())
    query = torch.tensor([[1.0, 0.0]]).view(1, 1, 1, 2)
    logits = learner.adapt(SUPPORT, LABELS)(query)
    torch.testing.assert_close(logits, torch.tensor([[1.2, 0.0]]))
    logits[0, 0].backward()
    torch.testing.assert_close(learner.scale.grad, torch.tensor(0.6))


@settings(deadline=None, max_examples=20)
@given(seed=st.integers(0, 1000), shift=st.sampled_from([0.0, 1e3]))
def test_distances_keep_their_digits(seed, shift):
    torch.manual_seed(seed)
    left, right = torch.randn(4, 6) + shift, torch.randn(3, 6) + shift
    expected = (left.double()[:, None] - right.double()).square().sum(2)
    distances = -PrototypeHead(right, None)(left)
    torch.testing.assert_close(distances.double(), expected, rtol=1e-4, atol=1e-4)


def test_scale_out_of_range():
    with pytest.raises(ConfigError, match=r"learner.scale is 0; expected above 0"):
        PrototypesConfig(scale=0)
