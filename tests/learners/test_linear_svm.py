"""The linear support vector machine: the minimum that scikit-learn finds, its conditions, and by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from fewshot_film.learners import LinearSVM, SupportError
from fewshot_film.learners.linear_svm import fit_squared_hinge
from tests.learners.test_heads import LABELS, Pixels, features


def unit(rows, length):
    return length * rows / np.linalg.norm(rows, axis=1, keepdims=True)


@pytest.mark.parametrize("dim", [3, 40])  # fewer features than images, and more
@pytest.mark.parametrize(("length", "inverse_penalty"), [(1.0, 1.0), (10.0, 1.0), (10.0, 0.01)])
def test_equals_scikit_learn(length, inverse_penalty, dim):
    svm = pytest.importorskip("sklearn.svm")
    support, queries = features(dim), features(dim, rows=4)
    learner = LinearSVM(length=length, inverse_penalty=inverse_penalty, backbone=Pixels(dim))
    found = learner.fit_head(torch.tensor(support), torch.tensor(LABELS))(torch.tensor(queries))
    fitted = svm.LinearSVC(C=inverse_penalty, tol=1e-8, max_iter=50_000).fit(unit(support, length), LABELS)
    expected = fitted.decision_function(unit(queries, length))
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("dim", [3, 40])
def test_no_slope_is_left(dim):
    """The gradient of the paper's eq. 1, image by image, at what was found."""
    rows = np.hstack([unit(features(dim), 10), np.ones((6, 1))])
    signs = np.where(np.array([[3], [7], [9]]) == LABELS, 1.0, -1.0)
    shares = fit_squared_hinge(torch.tensor(rows @ rows.T), torch.tensor(signs), 0.7).numpy()
    for label_signs, share in zip(signs, shares, strict=True):
        weight = share @ rows
        slope = weight.copy()
        for row, sign in zip(rows, label_signs, strict=True):
            slope -= 2 * 0.7 * sign * max(0, 1 - sign * (weight @ row)) * row
        np.testing.assert_allclose(slope, 0, atol=1e-8)


def test_by_hand():
    """One image per class at -1 and 1: the weights are 0 and -w, w, with w = 4 C (1 - w)."""
    rows = torch.tensor([[-1.0, 1.0], [1.0, 1.0]]).double()  # the 1 appended
    signs = torch.tensor([[1.0, -1.0], [-1.0, 1.0]]).double()
    weights = fit_squared_hinge(rows @ rows.T, signs, 0.25) @ rows
    torch.testing.assert_close(weights, torch.tensor([[-0.5, 0.0], [0.5, 0.0]]).double())


def test_two_classes_oppose_each_other():
    support, queries = torch.tensor(features(5)), torch.tensor(features(5, rows=3))
    logits = LinearSVM(backbone=Pixels(5)).fit_head(support, torch.tensor([0, 1, 1, 0, 1, 1]))(queries)
    torch.testing.assert_close(logits[:, 0], -logits[:, 1])


def test_bad_support_is_refused():
    with pytest.raises(SupportError, match="the support set is empty"):
        LinearSVM(backbone=Pixels(5)).fit_head(torch.zeros(0, 5), torch.zeros(0, dtype=torch.long))
