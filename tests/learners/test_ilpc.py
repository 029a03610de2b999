"""iLPC: its steps against loops and by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from fewshot_film.config.learners import ILPCConfig
from fewshot_film.learners import ILPC
from fewshot_film.learners.ilpc import balanced, cleanest, mean_losses, propagation
from tests.learners.test_transductive import Pixels, skewed_accuracies, task, tensors
from tests.reference import transductive as reference


def test_propagation_equals_loops():
    support, _, queries, _ = task()
    images = reference.unit(np.concatenate([support, queries]))
    found = propagation(torch.tensor(images), 4, 0.7).numpy()
    np.testing.assert_allclose(found, reference.propagation(images, 4, 0.7), rtol=1e-9, atol=1e-12)


def test_propagation_by_hand():
    """Two images that are each other's only neighbour: half an alpha-th of the label goes over, and comes back."""
    images = torch.tensor([[1.0, 0.0], [1.0, 0.0]]).double()
    found = propagation(images, 1, 0.5) @ torch.tensor([[1.0], [0.0]]).double()
    torch.testing.assert_close(found, torch.tensor([[4 / 3], [2 / 3]]).double())


def test_mean_losses_equal_loops():
    """Gradient descent on the weights themselves, by the images' features."""
    support, members, queries, _ = task()
    images = reference.unit(np.concatenate([support, queries]))
    known = np.concatenate([members, np.zeros((len(queries), 3))])
    supposed = np.concatenate([members, np.eye(3)[np.arange(len(queries)) % 3]])
    found = mean_losses(*tensors(images @ images.T, known, supposed), 30).numpy()
    np.testing.assert_allclose(found, reference.cleaning_losses(images, known, supposed, 30), rtol=1e-8)


def test_the_balance_of_those_that_wait():
    propagated = torch.rand(2, 8, 4, generator=torch.Generator().manual_seed(0)).double()
    waiting = torch.tensor([[True] * 8, [True] * 4 + [False] * 4])
    plan = balanced(propagated, waiting, 3.0).exp()
    torch.testing.assert_close(plan[0].sum(1), torch.ones(8).double())
    for one, share in zip(plan, (2.0, 1.0), strict=True):
        torch.testing.assert_close(one.sum(0), torch.full((4,), share).double(), rtol=5e-3, atol=0)
    alone = balanced(propagated[1:, :4], waiting[1:, :4], 3.0).exp()
    torch.testing.assert_close(plan[1:, :4], alone, rtol=5e-3, atol=1e-4)


def test_cleanest_by_hand():
    losses = torch.tensor([0.3, 0.1, 0.2, 0.4, 0.0])
    pseudo = torch.eye(3)[[0, 0, 0, 1, 0]]
    waiting = torch.tensor([True, True, True, True, False])
    assert cleanest(losses, pseudo, waiting, 2).tolist() == [False, True, True, True, False]


@pytest.mark.parametrize("clean", [1, 3])
def test_ilpc_equals_loops(clean: int):
    support, members, queries, _ = task(spread=0.9)
    config = ILPCConfig(neighbours=4, steps=20, clean=clean)
    found = ILPC(config, Pixels()).classify(*tensors(support, members, queries)).argmax(-1).numpy()
    rows = reference.unit(np.concatenate([support, queries]))
    np.testing.assert_array_equal(found, reference.ilpc(rows, members, 4, 0.8, 3.0, clean, 20))


def test_what_the_parts_give():
    """The shape of the paper's ablation: labels that spread once gain, and iterating loses none of it."""
    settings = {"power": 0.5, "neighbours": 8, "steps": 50}
    once = skewed_accuracies(ILPC(ILPCConfig(**settings, clean=75), Pixels()), tasks=20)
    apart = skewed_accuracies(ILPC(ILPCConfig(**{**settings, "alpha": 0.0}, clean=75), Pixels()), tasks=20)
    assert once > apart + 0.05
    assert skewed_accuracies(ILPC(ILPCConfig(**settings), Pixels()), tasks=20) >= once - 0.01
