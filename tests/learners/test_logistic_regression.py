"""Logistic regression: the minimum that scikit-learn finds, and what it may and may not depend on."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from fewshot_film.learners import LogisticRegression, SupportError, logistic_regression
from fewshot_film.learners.logistic_regression import fit_logistic_regression

LABELS = torch.tensor([4, 2, 4, 4, 2, 9])


class Pixels(nn.Module):
    """The features are the pixels."""

    feature_dim = 5


def features(rows: int, dim: int = 5) -> torch.Tensor:
    return torch.randn(rows, dim, generator=torch.Generator().manual_seed(rows))


@pytest.mark.parametrize("dim", [3, 40])  # fewer features than images, and more
@pytest.mark.parametrize(("length", "inverse_penalty"), [(1.0, 1.0), (10.0, 1.0), (10.0, 0.1)])
@pytest.mark.parametrize("labels", [LABELS, torch.tensor([0, 1, 1, 0, 1, 1])])
def test_equals_scikit_learn(labels, length, inverse_penalty, dim):
    linear_model = pytest.importorskip("sklearn.linear_model")
    support, queries = features(6, dim), features(4, dim)
    learner = LogisticRegression(length=length, inverse_penalty=inverse_penalty, backbone=Pixels())
    found = learner.fit_head(support, labels)(queries).softmax(1)

    def scaled(rows):
        return length * rows.double().numpy() / rows.double().norm(dim=1, keepdim=True).numpy()

    # scikit-learn fits two classes with one vector, the difference of ours: twice the penalty of both
    inverse = 2 * inverse_penalty if len(labels.unique()) == 2 else inverse_penalty
    fitted = linear_model.LogisticRegression(C=inverse, tol=1e-10, max_iter=5000)
    expected = fitted.fit(scaled(support), labels.numpy()).predict_proba(scaled(queries))
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-3, atol=1e-5)


def test_by_hand():
    """One image per class at -1 and 1: the coefficients are -w and w, with 2 w = 4 / (1 + exp(2 w))."""
    rows = torch.tensor([[-1.0], [1.0]]).double()
    weight, bias = fit_logistic_regression(rows, torch.tensor([0, 1]), 1.0)
    torch.testing.assert_close(bias, torch.zeros(2).double())
    torch.testing.assert_close(weight[0], -weight[1])
    slope = 2 * weight[1, 0]  # the minimum of w^2 + 2 log(1 + exp(-2 w))
    torch.testing.assert_close(slope, 4 / (1 + torch.exp(slope)))


def test_what_all_images_share_costs_no_steps(monkeypatch):
    """Features of a network are all alike but for a little, and would take many steps in their own coordinates."""
    rows = torch.nn.functional.normalize(features(25, 25).double() / 5 + 3, dim=1) * 10
    members = torch.arange(5).repeat(5)
    expected = fit_logistic_regression(rows, members, 1.0)
    monkeypatch.setattr(logistic_regression, "MAX_STEPS", 10)
    for few, many in zip(fit_logistic_regression(rows, members, 1.0), expected, strict=True):
        torch.testing.assert_close(few, many, rtol=0, atol=1e-4)


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_the_same_in_any_mode(mode):
    learner = LogisticRegression(backbone=Pixels())
    expected = learner.fit_head(features(6), LABELS)(features(4))
    with mode():
        assert torch.equal(learner.fit_head(features(6), LABELS)(features(4)), expected)


def test_order_of_images_does_not_matter():
    learner, order = LogisticRegression(backbone=Pixels()), torch.tensor([3, 1, 5, 0, 4, 2])
    expected = learner.fit_head(features(6), LABELS)(features(4))
    found = learner.fit_head(features(6)[order], LABELS[order])(features(4))
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


def test_unusual_support_sets():
    learner = LogisticRegression(backbone=Pixels())
    assert learner.fit_head(features(3), torch.tensor([7, 7, 7]))(features(4)).tolist() == [[0.0]] * 4  # one class
    alike = learner.fit_head(torch.ones(4, 5), torch.tensor([0, 1, 0, 1]))(features(4))
    torch.testing.assert_close(alike[:, 0], alike[:, 1])
    assert learner.fit_head(features(6).bfloat16(), LABELS)(features(4).bfloat16()).dtype == torch.float32
    with pytest.raises(SupportError, match="the support set is empty"):
        learner.fit_head(torch.zeros(0, 5), torch.zeros(0, dtype=torch.long))
