"""Ridge regression against a hand-computed case and against least squares in NumPy."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from fewshot_film.config.learners import RidgeConfig
from fewshot_film.learners.ridge import RidgeRegression, fit_ridge, solve_ridge, span_coordinates, transformed
from tests.learners.test_heads import LABELS, Pixels, features
from tests.reference import heads as reference


def test_by_hand():
    """Two images at right angles: m = (1/2, 1/2), mu = 2 (1/2) = 1 and w = +-(1/4, -1/4)."""
    learner = RidgeRegression(RidgeConfig(power=1, ridge_penalty=2, scale=8), Pixels(2))
    support = torch.tensor([[0.0, 5.0], [3.0, 0.0]]).view(2, 1, 1, 2)
    adapted = learner.adapt(support, torch.tensor([4, 2]))
    queries = torch.tensor([[2.0, 0.0], [3.0, 4.0]])
    torch.testing.assert_close(adapted.head.coefficients, torch.tensor([[0.25, -0.25], [-0.25, 0.25]]))
    # scores 1/4 and -1/4; then (0.6 - 0.8) / 4 and its negative; logits are 8 (1 - 1/2) of them
    torch.testing.assert_close(adapted(queries.view(2, 1, 1, 2)), torch.tensor([[1.0, -1.0], [-0.2, 0.2]]))
    # cosine distances 0 and 1, then 0.4 and 0.2, in units of the spread, 1; plus 1 - 1/2 - score
    expected = torch.tensor([[0.25, 1.75], [0.4 + 0.55, 0.2 + 0.45]])
    torch.testing.assert_close(adapted.head.distances(queries), expected)


@pytest.mark.parametrize("dim", [3, 20])
@pytest.mark.parametrize("labels", [LABELS, np.arange(6), np.zeros(6, dtype=np.int64)])
@pytest.mark.parametrize("weights", [None, np.array([1.0, 2.0, 0.5, 1.0, 3.0, 1.0])])
@pytest.mark.parametrize(("power", "penalty"), [(1.0, 0.1), (0.5, 0.4)])
def test_against_least_squares(power, penalty, weights, labels, dim):
    support, queries = features(dim), features(dim, rows=4)
    given = None if weights is None else torch.tensor(weights)
    counted = np.ones(6) if weights is None else weights
    logits, distances = reference.ridge_logits_and_distances(support, labels, queries, counted, power, penalty)
    head = fit_ridge(torch.tensor(support), torch.tensor(labels), power, penalty, 1.0, given)
    np.testing.assert_allclose(head(torch.tensor(queries)), logits, atol=1e-9)
    np.testing.assert_allclose(head.distances(torch.tensor(queries)), distances, atol=1e-8)
    single = fit_ridge(torch.tensor(support).float(), torch.tensor(labels), power, penalty, 1.0, given)
    np.testing.assert_allclose(single(torch.tensor(queries)), logits, atol=1e-4)


@pytest.mark.parametrize("dim", [3, 20])
@pytest.mark.parametrize("repeated", [False, True])
def test_images_held_out_in_coordinates_of_their_span(dim, repeated):
    """Fewer numbers per image, and a head fitted to some of the images says the same of the others."""
    learner = RidgeRegression(RidgeConfig(), Pixels(dim))
    support, labels = torch.tensor(features(dim)), torch.tensor(LABELS)
    if repeated:
        support[3] = support[0]
    coordinates = span_coordinates(support, learner.config.power)
    assert coordinates.shape == (6, min(6, dim))
    weights = torch.tensor([1.0, 2.0, 0.5, 1.0, 3.0])
    whole = learner.fit_head(support[1:], labels[1:], weights)
    small = learner.fit_transformed(coordinates[1:], labels[1:], weights)
    torch.testing.assert_close(small(coordinates), whole(support), atol=1e-9, rtol=0)
    torch.testing.assert_close(small.distances(coordinates), whole.distances(support), atol=1e-8, rtol=0)


def test_both_systems_have_one_solution():
    rows, targets = torch.randn(7, 7, dtype=torch.float64), torch.randn(7, 2, dtype=torch.float64)
    penalty = torch.tensor(0.3, dtype=torch.float64)
    zeros = torch.zeros(7, 1, dtype=torch.float64)
    torch.testing.assert_close(
        solve_ridge(torch.cat([rows, zeros], 1), targets, penalty)[:-1], solve_ridge(rows, targets, penalty)
    )


def test_a_class_with_few_images_is_as_likely():
    """Twenty images of one class and one of the other: the middle between them is still the border."""
    support = torch.cat([torch.tensor([[1.0, 0.0]]).expand(20, 2), torch.tensor([[0.0, 1.0]])])
    head = fit_ridge(support, torch.tensor([0] * 20 + [1]), 1.0, 0.4, 14.0)
    few = head(torch.tensor([[0.0, 1.0], [0.3, 1.0]]))
    assert (few[:, 1] > few[:, 0]).all()


@pytest.mark.parametrize("labels", [[0, 1, 0, 1], [5, 5, 5, 5]])
def test_equal_images(labels):
    """No spread at all: no class is likelier, and nothing is infinite."""
    head = fit_ridge(torch.full((4, 3), 0.7), torch.tensor(labels), 0.5, 0.4, 14.0)
    logits = head(torch.rand(2, 3))
    torch.testing.assert_close(logits, torch.zeros_like(logits), atol=1e-3, rtol=0)
    assert head.distances(torch.rand(2, 3)).isfinite().all()


def test_gradient_where_features_are_zero():
    support = torch.tensor([[0.0, 1.0], [1.0, 0.0], [0.0, 0.0]], requires_grad=True)
    fit_ridge(support, torch.tensor([0, 1, 1]), 0.5, 0.4, 14.0)(support).square().sum().backward()
    assert support.grad.isfinite().all()
    assert transformed(torch.zeros(1, 4), 0.5).isfinite().all()
