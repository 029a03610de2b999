"""The fast Mahalanobis classifier against the plain formula."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fewshot_film.learners.simple_cnaps import CovarianceWeights, fit_mahalanobis
from fewshot_film.learners.support import SupportError
from tests.reference import mahalanobis as reference

TOLERANCE = {torch.float64: 1e-10, torch.float32: 1e-3}


def task(shots: list[int], dim: int, queries: int = 7, seed: int = 0, scale: float = 1.0):
    rng = np.random.default_rng(seed)
    labels = np.repeat(np.arange(len(shots)), shots)
    centres = rng.normal(size=(len(shots), dim)) * scale
    order = rng.permutation(len(labels))
    labels = labels[order]
    features = centres[labels] + rng.normal(size=(len(labels), dim)) * scale
    return features, labels, rng.normal(size=(queries, dim)) * scale


@pytest.mark.parametrize("one_shot", ["zero", "broadcast"])
@pytest.mark.parametrize("dim", [3, 20, 200])
@pytest.mark.parametrize("shots", [[1] * 5, [5] * 5, [1, 1, 2, 7, 3, 3], [1], [4], [30, 2], [1, 12], range(1, 10)])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_equals_the_plain_formula(shots, dim, dtype, one_shot):
    features, labels, queries = task(shots, dim)
    expected = reference.distances(features, labels, queries, one_shot)
    fitted = fit_mahalanobis(torch.tensor(features, dtype=dtype), torch.tensor(labels), one_shot)
    found = fitted.distances(torch.tensor(queries, dtype=dtype))
    assert found.dtype == dtype
    np.testing.assert_allclose(found.double().numpy(), expected, rtol=TOLERANCE[dtype], atol=TOLERANCE[dtype])


def test_hand_computed_one_dimension():
    # class 0: {0, 2}: mean 1, S_0 = 2; class 1: {6}: S_1 = 0; all: mean 8/3, S = 28/3
    fitted = fit_mahalanobis(torch.tensor([[0.0], [2.0], [6.0]]).double(), torch.tensor([0, 0, 1]))
    q0 = 2 / 3 * 2 + 1 / 3 * 28 / 3 + 1
    q1 = 1 / 2 * 28 / 3 + 1
    expected = torch.tensor([[(4 - 1) ** 2 / q0, (4 - 6) ** 2 / q1]]).double()
    torch.testing.assert_close(fitted.distances(torch.tensor([[4.0]]).double()), expected)
    torch.testing.assert_close(fitted(torch.tensor([[4.0]]).double()), -expected)


@settings(deadline=None, max_examples=25)
@given(seed=st.integers(0, 10_000), way=st.integers(1, 5), dim=st.integers(1, 12))
def test_permuting_support_and_renaming_labels(seed, way, dim):
    rng = np.random.default_rng(seed)
    features, labels, queries = task(rng.integers(1, 6, size=way).tolist(), dim, seed=seed)
    features, labels, queries = torch.tensor(features), torch.tensor(labels), torch.tensor(queries)
    plain = fit_mahalanobis(features, labels)(queries)
    order = torch.tensor(rng.permutation(len(labels)))
    torch.testing.assert_close(fit_mahalanobis(features[order], labels[order])(queries), plain)
    names = torch.tensor(rng.choice(1000, size=way, replace=False) - 500)
    renamed = fit_mahalanobis(features, names[labels])
    assert renamed.classes.tolist() == sorted(names.tolist())
    torch.testing.assert_close(renamed(queries)[:, names.argsort().argsort()], plain)


@pytest.mark.parametrize("dim", [5, 40])
@pytest.mark.parametrize("shots", [[2, 2, 2], [1, 2, 3, 4]])
def test_with_and_without_gradient_the_same(shots, dim):
    """Many shots go by one eigendecomposition, unless a gradient is wanted."""
    features, labels, queries = map(torch.tensor, task(shots, dim))
    plain = fit_mahalanobis(features, labels)
    differentiable = fit_mahalanobis(features.requires_grad_(), labels)
    assert (plain.scatter.values is not None) is (len(set(shots)) > 2)
    assert differentiable.scatter.values is None
    torch.testing.assert_close(plain(queries), differentiable(queries).detach(), rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(plain.logdets(), differentiable.logdets().detach(), rtol=1e-10, atol=1e-10)
    with torch.no_grad():
        assert fit_mahalanobis(features, labels).scatter.values is None or len(set(shots)) > 2


@pytest.mark.parametrize("dim", [3, 20, 200])
@pytest.mark.parametrize("shots", [[5] * 4, [1, 2, 7, 3], [1]])
def test_determinants(shots, dim):
    features, labels, _ = task(shots, dim)
    covariances = reference.class_covariances(features, labels)
    expected = [np.linalg.slogdet(matrix)[1] for matrix in covariances.values()]
    found = fit_mahalanobis(torch.tensor(features), torch.tensor(labels)).logdets()
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-10)


@pytest.mark.parametrize("dim", [3, 10])
def test_gradient_where_eigenvalues_repeat(dim):
    """Images that occur twice and opposite ones: the scatter has equal and zero eigenvalues."""
    basis = torch.eye(dim).double()[:3]
    features = torch.cat([basis, -basis, basis[:1], -basis[:1], basis[:1]])
    labels = torch.tensor([0, 1, 1, 2, 2, 2, 3, 3, 3])

    def logits(support):
        fitted = fit_mahalanobis(support, labels)
        return fitted(0.5 * basis), fitted.logdets()

    assert torch.autograd.gradcheck(logits, features.requires_grad_(), fast_mode=True)


@pytest.mark.parametrize("dim", [3, 9])
def test_gradcheck(dim):
    features, labels, queries = task([1, 2, 3], dim, queries=2)
    features = torch.tensor(features, requires_grad=True)
    queries = torch.tensor(queries, requires_grad=True)

    def logits(support, query):
        return fit_mahalanobis(support, torch.tensor(labels))(query)

    assert torch.autograd.gradcheck(logits, (features, queries), fast_mode=True)


@pytest.mark.parametrize("dim", [3, 9])
def test_weights_of_ones_own(dim):
    """Covariances of any make-up, with gradients in the weights."""
    features, labels, queries = task([1, 2, 3], dim, queries=2)
    own, shared = (torch.tensor(value, dtype=torch.double, requires_grad=True) for value in (0.3, 0.7))

    def fitted(own, shared):
        weights = CovarianceWeights(own=lambda shot: own / (shot - 1), shared=lambda shot: shared / 5)
        classifier = fit_mahalanobis(torch.tensor(features), torch.tensor(labels), "zero", weights)
        return classifier(torch.tensor(queries)), classifier.logdets()

    logits, logdets = fitted(own, shared)
    for column, label in enumerate(range(3)):
        rows = features[labels == label]
        matrix = 0.3 * reference.covariance(rows) + 0.7 * reference.covariance(features) + np.eye(dim)
        offsets = queries - rows.mean(0)
        expected = -np.einsum("qi,ij,qj->q", offsets, np.linalg.inv(matrix), offsets)
        np.testing.assert_allclose(logits[:, column].detach(), expected, rtol=1e-10)
        np.testing.assert_allclose(logdets[column].detach(), np.linalg.slogdet(matrix)[1], rtol=1e-10)
    assert torch.autograd.gradcheck(fitted, (own, shared), fast_mode=True)


def test_half_precision_is_raised():
    features, labels, queries = task([2, 2], 8)
    fitted = fit_mahalanobis(torch.tensor(features).bfloat16(), torch.tensor(labels))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert fitted.distances(torch.tensor(queries).bfloat16()).dtype == torch.float32


def test_query_order_and_batching_do_not_matter():
    features, labels, queries = task([2, 3, 1], 30, queries=9)
    fitted = fit_mahalanobis(torch.tensor(features), torch.tensor(labels))
    together = fitted(torch.tensor(queries))
    apart = torch.cat([fitted(row[None]) for row in torch.tensor(queries)])
    torch.testing.assert_close(together, apart)


@pytest.mark.parametrize(
    ("features", "labels", "rule", "message"),
    [
        (torch.zeros(0, 3), torch.zeros(0, dtype=torch.long), "zero", "support set is empty"),
        (torch.zeros(2, 3), torch.zeros(3, dtype=torch.long), "zero", r"features \(2, 3\) and labels \(3,\)"),
        (torch.zeros(2, 3, 1), torch.zeros(2, dtype=torch.long), "zero", r"expected \(N, D\) and \(N,\)"),
        (
            torch.full((2, 3), torch.nan),
            torch.zeros(2, dtype=torch.long),
            "zero",
            "NaN or infinity instead of finite features",
        ),
        (torch.zeros(2, 3), torch.zeros(2, dtype=torch.long), "scalar", "choose one of zero, broadcast"),
    ],
)
def test_bad_support_is_refused(features, labels, rule, message):
    with pytest.raises(SupportError, match=message):
        fit_mahalanobis(features, labels, rule)


def test_bad_queries_are_refused():
    fitted = fit_mahalanobis(torch.zeros(2, 3), torch.tensor([0, 1]))
    with pytest.raises(SupportError, match=r"queries have shape \(4, 2\); expected \(Q, 3\)"):
        fitted.distances(torch.zeros(4, 2))


@pytest.mark.parametrize("scale", [1e3, 1e4, 1e6])
@pytest.mark.parametrize("shots", [[5] * 5, [1, 2, 7, 3, 3]])
@pytest.mark.parametrize("dim", [10, 60])
def test_features_too_large_for_float32(shots, dim, scale):
    features, labels, queries = task(shots, dim, scale=scale)
    features, queries = (np.float32(each).astype(np.float64) for each in (features, queries))
    expected = reference.distances(features, labels, queries, "zero")
    fitted = fit_mahalanobis(torch.tensor(features).float(), torch.tensor(labels))
    found = fitted.distances(torch.tensor(queries).float())
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-3)


def test_features_too_large_for_double():
    features, labels, _ = task([5] * 5, 60, scale=1e15)
    with pytest.raises(SupportError, match="cannot be inverted in float64: the features are too large"):
        fit_mahalanobis(torch.tensor(features), torch.tensor(labels))


def test_ordinary_features_stay_in_float32():
    features, labels, queries = task([5] * 5, 512, scale=2.0)
    fitted = fit_mahalanobis(torch.tensor(features).float(), torch.tensor(labels))
    assert fitted.distances(torch.tensor(queries).float()).dtype == torch.float32
