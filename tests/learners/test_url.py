"""URL's head: Adadelta written out with differences for gradients, and what the map is for."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from fewshot_film.learners import URL
from fewshot_film.learners.url import fit_mapping
from tests.learners.test_heads import LABELS, Pixels, features
from tests.reference import heads as reference


@pytest.mark.parametrize("mode", [torch.enable_grad, torch.no_grad, torch.inference_mode])
def test_the_map_equals_loops(mode):
    rows = features(3)
    with mode():
        found = fit_mapping(torch.tensor(rows), torch.tensor(LABELS), 10.0, 5, 0.1)
    np.testing.assert_allclose(found.numpy(), reference.url_mapping(rows, LABELS, 10.0, 5, 0.1), rtol=1e-4, atol=1e-6)


def test_logits():
    support, queries = torch.tensor(features(3)), torch.tensor(features(3, rows=4))
    mapping = fit_mapping(support, torch.tensor(LABELS), 10.0, 40, 0.1)
    head = URL(backbone=Pixels(3)).fit_head(support, torch.tensor(LABELS))
    for column, label in enumerate((3, 7, 9)):
        mean = (support[torch.tensor(label == LABELS)] @ mapping.T).mean(0)
        expected = 10 * torch.cosine_similarity(queries @ mapping.T, mean[None])
        torch.testing.assert_close(head(queries)[:, column], expected)


def test_without_steps_it_is_the_nearest_mean_by_cosine():
    support, queries = torch.tensor(features(4)), torch.tensor(features(4, rows=5))
    found = URL(backbone=Pixels(4), steps=0).fit_head(support, torch.tensor(LABELS))(queries)
    means = torch.stack([support[torch.tensor(label == LABELS)].mean(0) for label in (3, 7, 9)])
    torch.testing.assert_close(found, 10 * torch.nn.functional.cosine_similarity(queries[:, None], means[None], dim=2))


def test_the_map_leaves_out_what_tells_nothing():
    """Classes differ in the first feature; the others are loud and the same for all."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(2).repeat(10)
    rows = torch.randn(40, 6, generator=generator) * torch.tensor([0.2, 2, 2, 2, 2, 2])
    rows[:, 0] += 2 * labels.repeat(2) - 1
    support, queries = rows[:20], rows[20:]

    def accuracy(steps: int) -> float:
        head = URL(backbone=Pixels(6), steps=steps, learning_rate=1.0).fit_head(support, labels)
        return float((head(queries).argmax(1) == labels).double().mean())

    assert accuracy(200) >= accuracy(0) + 0.1
