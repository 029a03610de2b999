"""The fast Mahalanobis classifier against the plain formula."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fewshot_film.learners.errors import SupportError
from fewshot_film.learners.mahalanobis import fit_mahalanobis
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
@pytest.mark.parametrize("shots", [[1] * 5, [5] * 5, [1, 1, 2, 7, 3, 3], [1], [4], [30, 2], [1, 12]])
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


@pytest.mark.parametrize("dim", [3, 9])
def test_gradcheck(dim):
    features, labels, queries = task([1, 2, 3], dim, queries=2)
    features = torch.tensor(features, requires_grad=True)
    queries = torch.tensor(queries, requires_grad=True)

    def logits(support, query):
        return fit_mahalanobis(support, torch.tensor(labels))(query)

    assert torch.autograd.gradcheck(logits, (features, queries))


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
        (torch.full((2, 3), torch.nan), torch.zeros(2, dtype=torch.long), "zero", "not finite"),
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
