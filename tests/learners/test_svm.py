"""MetaOptNet's head: the primal problem solved by SciPy, by hand, and what weights, scales and gradients do."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.optimize import minimize

from fewshot_film.learners import SVM
from fewshot_film.learners.svm import onto_simplex, solve_crammer_singer
from tests.learners.test_heads import LABELS, Pixels, features


def primal(rows: np.ndarray, members: np.ndarray, limits: np.ndarray) -> np.ndarray:
    """Eq. 6 of the paper, in the weights ``(way, D)`` and one slack per image, by sequential quadratic programming."""
    (count, dim), way = rows.shape, members.shape[1]
    labels = members.argmax(1)

    def parts(values):
        return values[: way * dim].reshape(way, dim), values[way * dim :]

    def margins(values):
        weight, slack = parts(values)
        scores = rows @ weight.T
        own = scores[np.arange(count), labels][:, None]
        return (own - scores - 1 + members + slack[:, None]).ravel()

    def loss(values):
        weight, slack = parts(values)
        return 0.5 * (weight**2).sum() + limits @ slack

    def slope(values):
        return np.concatenate([values[: way * dim], limits])

    start = np.concatenate([np.zeros(way * dim), np.ones(count)])
    found = minimize(
        loss, start, jac=slope, constraints={"type": "ineq", "fun": margins}, method="SLSQP",
        options={"maxiter": 1000, "ftol": 1e-12},
    )  # fmt: skip
    assert found.success
    return parts(found.x)[0]


def members_of(labels: np.ndarray) -> np.ndarray:
    return np.eye(len(np.unique(labels)))[np.unique(labels, return_inverse=True)[1]]


@pytest.mark.parametrize("limit", [0.05, 0.3, 5.0])
def test_it_solves_the_primal_problem(limit: float):
    rows, members = features(4) / 3, members_of(LABELS)
    limits = limit * np.array([1.0, 1.0, 2.0, 1.0, 1.0, 3.0])
    kernel = torch.tensor(rows @ rows.T)
    dual = solve_crammer_singer(kernel, torch.tensor(members), torch.tensor(limits), tolerance=1e-10).numpy()
    assert (dual <= limits[:, None] * members + 1e-12).all()
    np.testing.assert_allclose(dual.sum(1), 0, atol=1e-9)
    np.testing.assert_allclose(dual.T @ rows, primal(rows, members, limits), atol=1e-4)


def test_by_hand():
    """Two orthogonal images of length 1: ``alpha`` is (a, -a) for each with the a that maximises 2 a - 2 a^2, or C."""
    eye = torch.eye(2).double()
    for limit, expected in ((10.0, 0.5), (0.1, 0.1)):
        found = solve_crammer_singer(eye, eye, torch.full((2,), limit).double(), tolerance=1e-12)
        torch.testing.assert_close(found, expected * torch.tensor([[1.0, -1.0], [-1.0, 1.0]]).double())


def test_onto_simplex_by_hand():
    rows, totals = torch.tensor([[1.0, 0.5, -3.0], [0.0, 0.0, 0.0]]), torch.tensor([[1.0], [3.0]])
    torch.testing.assert_close(onto_simplex(rows, totals), torch.tensor([[0.75, 0.25, 0.0], [1.0, 1.0, 1.0]]))


def test_logits_are_those_of_the_weights():
    learner = SVM(backbone=Pixels(4), scale=3.0, length=2.0)
    support, queries = torch.tensor(features(4)), torch.tensor(features(4, rows=3))
    head = learner.fit_head(support, torch.tensor(LABELS))
    rows = 2 * support / support.norm(dim=1, keepdim=True)
    limits = np.full(6, 0.1)
    weight = torch.tensor(primal(rows.numpy(), members_of(LABELS), limits))
    expected = 3 * 2 * queries / queries.norm(dim=1, keepdim=True) @ weight.T
    torch.testing.assert_close(head(queries), expected, rtol=2e-3, atol=2e-3)


def test_an_image_of_weight_two_counts_as_two():
    learner, support, queries = SVM(backbone=Pixels(5)), torch.tensor(features(5)), torch.tensor(features(5, rows=4))
    twice = torch.tensor([0, 1, 1, 2, 3, 4, 5])
    weights = torch.tensor([1.0, 2.0, 1.0, 1.0, 1.0, 1.0])
    found = learner.fit_head(support, torch.tensor(LABELS), weights)(queries)
    expected = learner.fit_head(support[twice], torch.tensor(LABELS)[twice])(queries)
    torch.testing.assert_close(found, expected, rtol=1e-2, atol=1e-3)


def test_gradients_are_those_of_the_solution():
    """By differences, through the solver."""
    members, limits = torch.tensor(members_of(LABELS)), torch.full((6,), 0.3).double()
    rows = (torch.tensor(features(4)) / 3).requires_grad_()

    def score(rows: torch.Tensor) -> torch.Tensor:
        weight = solve_crammer_singer(rows @ rows.T, members, limits, tolerance=1e-12).T @ rows
        return (weight * torch.arange(12.0).view(3, 4)).sum()

    score(rows).backward()
    assert rows.grad is not None
    step = torch.zeros_like(rows)
    for place in ((0, 1), (3, 2), (5, 0)):
        step.zero_()[place] = 1e-5
        with torch.no_grad():
            difference = (score(rows + step) - score(rows - step)) / 2e-5
        torch.testing.assert_close(rows.grad[place], difference, rtol=1e-3, atol=1e-4)


def test_the_scale_is_learned_on_request():
    learner = SVM(backbone=Pixels(4), learn_scale=True)
    head = learner.fit_head(torch.tensor(features(4)).float(), torch.tensor(LABELS))
    head(torch.ones(1, 4)).sum().backward()
    assert learner.scale.grad is not None
    assert SVM(backbone=Pixels(4)).scale is None
