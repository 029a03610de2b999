"""DN4: the measure against loops and by hand, on the maps of a small backbone."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from fewshot_film.learners import DN4, SupportError
from fewshot_film.learners.dn4 import DN4Head
from tests.learners.small import SMALL


def loops(queries: np.ndarray, support: np.ndarray, labels: np.ndarray, neighbours: int) -> np.ndarray:
    """Eq. 3 of the paper: ``(Q, way)`` of descriptors ``(Q, m, C)`` and ``(N, m, C)``."""

    def cosine(one: np.ndarray, other: np.ndarray) -> float:
        return float(one @ other / np.linalg.norm(one) / np.linalg.norm(other))

    found = np.zeros((len(queries), len(np.unique(labels))))
    for row, query in enumerate(queries):
        for column, label in enumerate(np.unique(labels)):
            known = [descriptor for image in support[labels == label] for descriptor in image]
            for descriptor in query:
                found[row, column] += sum(
                    sorted((cosine(descriptor, other) for other in known), reverse=True)[:neighbours]
                )
    return found


@pytest.mark.parametrize("neighbours", [1, 3])
def test_it_equals_loops(neighbours: int):
    torch.manual_seed(0)
    learner = DN4(backbone=SMALL.backbone, neighbours=neighbours).double().eval()
    images, labels = torch.rand(14, 1, 16, 16).double(), torch.tensor([5, 2, 5, 2, 9])
    with torch.no_grad():
        maps = learner.backbone.maps(images)[-1].flatten(2).mT.numpy()
        assert maps.shape[1] > 1
        found = learner.adapt(images[:5], labels)(images[5:])
    np.testing.assert_allclose(found.numpy(), loops(maps[5:], maps[:5], labels.numpy(), neighbours), rtol=1e-9)


def test_by_hand():
    """A query of two descriptors: one is found in the first class, the other half-way in the second."""
    half = 0.5**0.5
    known = [torch.tensor([[1.0, 0.0], [0.0, 1.0]]), torch.tensor([[half, half]])]
    query = torch.tensor([[[1.0, 0.0], [half, half]]])
    torch.testing.assert_close(DN4Head(known, 1)(query), torch.tensor([[1 + half, half + 1]]))
    torch.testing.assert_close(DN4Head(known, 2)(query), torch.tensor([[1 + 2 * half, half + 1]]))


def test_where_things_are_does_not_matter():
    """Turned by 180 degrees, the maps of a pointwise backbone hold the same descriptors elsewhere."""
    support, queries = torch.rand(4, 6, 3), torch.rand(2, 6, 3)
    head = DN4Head([torch.nn.functional.normalize(rows.flatten(0, 1), dim=1) for rows in support.split(2)], 3)
    torch.testing.assert_close(head(queries.flip(1)), head(queries))


def test_no_support_is_refused():
    with pytest.raises(SupportError, match="the support set is empty"):
        DN4(backbone=SMALL.backbone).adapt(torch.zeros(0, 1, 16, 16), torch.zeros(0, dtype=torch.long))
