"""FRN and DeepEMD: each against its equations written out, by hand, and what the papers' ablations show."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from fewshot_film.learners import FRN, DeepEMD, SupportError
from fewshot_film.learners.deep_emd import matched_similarity
from fewshot_film.learners.frn import rebuilder
from tests.learners.small import SMALL
from tests.learners.test_heads import Pixels


def descriptors(images: int, positions: int = 4, channels: int = 7, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).gamma(2.0, size=(images, positions, channels))


def reconstruction_logits(queries, support, labels, alpha, beta, scale):
    """FRN, eq. 8: the inverse written out, query by query."""
    size = np.sqrt(np.mean((support**2).sum(-1)))
    queries, support = queries / size, support / size
    rows = []
    for query in queries:
        row = []
        for label in np.unique(labels):
            known = support[labels == label].reshape(-1, support.shape[-1])
            penalty = len(known) / known.shape[1] * np.exp(alpha)
            weights = query @ known.T @ np.linalg.inv(known @ known.T + penalty * np.eye(len(known)))
            error = query - np.exp(beta) * weights @ known
            row.append(-scale * (error**2).sum() / len(query))
        rows.append(row)
    return np.array(rows)


def earth_movers_logits(queries, prototypes, temperature):
    """DeepEMD: a linear programme for every query and class."""
    optimize = pytest.importorskip("scipy.optimize")
    found = np.zeros((len(queries), len(prototypes)))
    for i, query in enumerate(queries):
        for k, known in enumerate(prototypes):
            count = len(query)
            given = np.maximum(query @ known.mean(0), 0) + 1e-3
            wanted = np.maximum(known @ query.mean(0), 0) + 1e-3
            given, wanted = count * given / given.sum(), count * wanted / wanted.sum()
            left, right = query - query.mean(1, keepdims=True), known - known.mean(1, keepdims=True)
            norms = np.linalg.norm(left, axis=1)[:, None] * np.linalg.norm(right, axis=1)
            similarity = left @ right.T / norms
            sums = np.vstack([np.kron(np.eye(count), np.ones(count)), np.kron(np.ones(count), np.eye(count))])
            plan = optimize.linprog((1 - similarity).ravel(), A_eq=sums, b_eq=np.concatenate([given, wanted])).x
            found[i, k] = temperature / count * plan @ similarity.ravel()
    return found


@pytest.mark.parametrize("channels", [3, 40])  # fewer than positions of a class, and more
@pytest.mark.parametrize(("alpha", "beta"), [(0.0, 0.0), (-1.0, 0.3)])
def test_frn_equals_loops(channels, alpha, beta):
    support, queries = descriptors(5, channels=channels), descriptors(3, channels=channels, seed=1)
    labels = np.array([5, 2, 5, 2, 9])
    learner = FRN(backbone=Pixels(4), alpha=alpha, beta=beta, scale=2.0)
    found = learner.fit_head(torch.tensor(support), torch.tensor(labels))(torch.tensor(queries))
    np.testing.assert_allclose(found.numpy(), reconstruction_logits(queries, support, labels, alpha, beta, 2.0))


def test_frn_by_hand():
    """One descriptor (1, 0) rebuilds half of itself with a penalty of 1, and nothing of (0, 1)."""
    found = rebuilder(torch.tensor([[1.0, 0.0]]), torch.tensor(1.0))
    torch.testing.assert_close(found, torch.tensor([[0.5, 0.0], [0.0, 0.0]]))


def test_frn_shrinks_to_nothing_or_rebuilds_all():
    """Without a penalty to speak of, as many descriptors as channels rebuild everything; with a large one, nothing."""
    support, queries = torch.tensor(descriptors(1, channels=4)), torch.tensor(descriptors(2, channels=4, seed=1))
    label, size = torch.tensor([0]), support.square().sum(-1).mean()
    exact = FRN(backbone=Pixels(4), alpha=-25.0).fit_head(support, label)(queries)
    torch.testing.assert_close(exact, torch.zeros_like(exact), rtol=0, atol=1e-3)
    nothing = FRN(backbone=Pixels(4), alpha=25.0).fit_head(support, label)(queries)
    torch.testing.assert_close(nothing[:, 0], -queries.square().sum(-1).mean(-1) / size, rtol=1e-6, atol=0)


def test_deep_emd_equals_linear_programmes():
    support, queries = descriptors(5), descriptors(6, seed=1)
    labels = np.array([5, 2, 5, 2, 9])
    learner = DeepEMD(backbone=Pixels(4))
    found = learner.fit_head(torch.tensor(support), torch.tensor(labels))(torch.tensor(queries))
    prototypes = np.stack([support[labels == label].mean(0) for label in np.unique(labels)])
    np.testing.assert_allclose(found.numpy(), earth_movers_logits(queries, prototypes, 12.5), atol=0.1)


def test_deep_emd_by_hand():
    """Two descriptors of opposite signs in swapped order: each goes to its like, and all similarity is kept."""
    query = torch.tensor([[[2.0, 0.0, 1.0], [0.0, 2.0, 1.0]]]).double()
    torch.testing.assert_close(matched_similarity(query, query.flip(1)), torch.ones(1, 1).double())


def test_what_matching_positions_gives():
    """The same parts elsewhere: the earth mover finds them, the comparison of position with position does not."""
    generator = torch.Generator().manual_seed(0)
    parts = torch.rand(2, 4, 30, generator=generator).square()
    moved = parts[:, torch.tensor([2, 0, 3, 1])]
    assert matched_similarity(moved, parts).argmax(1).tolist() == [0, 1]
    margin = matched_similarity(moved, parts).diagonal().min()
    in_place = torch.cosine_similarity(moved, parts, dim=-1).mean(1).max()
    assert margin > 0.99
    assert in_place < 0.8


@pytest.mark.parametrize("method", [FRN, DeepEMD])
def test_where_things_are_does_not_matter(method):
    support, queries = torch.tensor(descriptors(4)), torch.tensor(descriptors(3, seed=1))
    head = method(backbone=Pixels(4)).fit_head(support, torch.tensor([0, 0, 1, 1]))
    torch.testing.assert_close(head(queries.flip(1)), head(queries))


@pytest.mark.parametrize("method", [FRN, DeepEMD])
def test_the_learner_is_its_head_on_maps(method):
    torch.manual_seed(0)
    learner = method(backbone=SMALL.backbone).eval()
    images, labels = torch.rand(7, 1, 16, 16), torch.tensor([5, 2, 5, 2])
    with torch.no_grad():
        maps = learner.backbone.maps(images)[-1].flatten(2).mT
        expected = learner.fit_head(maps[:4], labels)(maps[4:])
        torch.testing.assert_close(learner.adapt(images[:4], labels)(images[4:]), expected, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("method", [FRN, DeepEMD])
def test_no_support_is_refused(method):
    with pytest.raises(SupportError, match="the support set is empty"):
        method(backbone=SMALL.backbone).adapt(torch.zeros(0, 1, 16, 16), torch.zeros(0, dtype=torch.long))
