"""Answers to many images together: the updates against loops and by hand, and what they leave alone."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from fewshot_film.classifier import together
from fewshot_film.classifier.together import SOFTENING, STEPS, WEIGHT, agreeing, nearest_others
from tests.classifier.small import fitted


def loops(log_probabilities: np.ndarray, features: np.ndarray, count: int) -> np.ndarray:
    """The update of the module's docstring, image by image, in double precision."""
    roots = np.sqrt(np.maximum(features, 1e-6))
    rows = roots / np.linalg.norm(roots, axis=1, keepdims=True)
    found = log_probabilities.copy()
    for _ in range(STEPS):
        shares = np.exp(found) / np.exp(found).sum(1, keepdims=True)
        for query in range(len(rows)):
            others = [other for other in np.argsort(-rows @ rows[query]) if other != query][:count]
            found[query] = log_probabilities[query] + WEIGHT * sum(shares[other] for other in others)
    return found / (1 + SOFTENING * count)


def images(count: int = 9, way: int = 3, dim: int = 6):
    """Log-probabilities ``(count, way)`` and positive features ``(count, dim)``."""
    rng = np.random.default_rng(count)
    return np.log(rng.dirichlet(np.ones(way), count)), rng.gamma(2.0, size=(count, dim))


@pytest.mark.parametrize("chunk", [1024, 4])
@pytest.mark.parametrize(("count", "neighbours"), [(10, 1), (25, 2), (40, 3)])
def test_equals_loops(count: int, neighbours: int, chunk: int, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(together, "CHUNK", chunk)
    known, features = images(count)
    found = agreeing(torch.tensor(known), torch.tensor(features)).numpy()
    np.testing.assert_allclose(found, loops(known, features, neighbours), rtol=1e-12)


def test_by_hand(monkeypatch: pytest.MonkeyPatch):
    """An image in doubt, and two sure neighbours: its odds for what they are sure of rise by e^0.6."""
    monkeypatch.setattr(together, "NEIGHBOURS", 2)
    monkeypatch.setattr(together, "IMAGES_PER_NEIGHBOUR", 1)
    features = torch.tensor([[1.0, 0.1], [1.0, 0.0], [0.9, 0.0]]).double()
    known = torch.tensor([[0.5, 0.5], [1.0, 0.0], [1.0, 0.0]]).double().log()
    found = agreeing(known, features)
    torch.testing.assert_close(found[0, 0] - found[0, 1], torch.tensor(0.6 / 1.1).double())
    assert (found[1:, 1] == -torch.inf).all()  # what is impossible stays so


@pytest.mark.parametrize("count", [0, 1, 9])
def test_few_images_are_answered_as_each_on_its_own(count: int):
    known, features = (torch.tensor(part[:count]) for part in images(10))
    torch.testing.assert_close(agreeing(known, features), known, rtol=0, atol=0)


def test_nearest_others_by_hand():
    rows = torch.nn.functional.normalize(torch.tensor([[1.0, 0.0], [1.0, 0.1], [1.0, 0.3], [0.0, 1.0]]), dim=1)
    assert nearest_others(rows, 1).tolist() == [[1], [0], [1], [2]]
    assert nearest_others(rows, 3).sort(1).values.tolist() == [[1, 2, 3], [0, 2, 3], [0, 1, 3], [0, 1, 2]]


def test_the_classifier_asks_all_together():
    classifier, queries, _ = fitted()
    alone, all_together = (classifier.answer(queries, together=each) for each in (False, True))
    features = torch.from_numpy(np.log(alone.probabilities)), classifier._features(classifier._fitted, queries)
    np.testing.assert_allclose(all_together.probabilities, agreeing(*features).softmax(1).numpy(), atol=1e-12)
    assert np.abs(all_together.probabilities - alone.probabilities).max() > 1e-4
    np.testing.assert_array_equal(all_together.distances, alone.distances)
    best = classifier.classes_[all_together.probabilities.argmax(1)]
    assert (all_together.labels == best).all()
    assert (classifier.predict(queries, together=True) == best).all()
    np.testing.assert_array_equal(classifier.predict_proba(queries, together=True), all_together.probabilities)


def test_what_is_rejected_is_so_on_its_own():
    classifier, queries, _ = fitted()
    alone, all_together = (classifier.answer(queries, reject=0.3, together=each) for each in (False, True))
    np.testing.assert_array_equal(all_together.relative_distances, alone.relative_distances)
    rejected = alone.relative_distances > 1
    assert rejected.any()
    assert [label is None for label in all_together.labels] == rejected.tolist()


def test_the_order_of_the_images_does_not_matter():
    classifier, queries, _ = fitted()
    found = classifier.predict_proba(queries, together=True)
    np.testing.assert_allclose(classifier.predict_proba(queries[::-1], together=True)[::-1], found, atol=1e-5)
