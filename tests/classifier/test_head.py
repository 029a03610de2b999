from __future__ import annotations

import pytest
import torch

from fewshot_film.classifier.export import MatrixHead
from fewshot_film.learners import fit_mahalanobis


@pytest.mark.parametrize("one_shot", ["zero", "broadcast"])
@pytest.mark.parametrize(
    ("counts", "dim"), [((1, 1, 1), 8), ((3, 3), 8), ((1, 4, 2, 2), 12), ((9, 1, 9), 5), ((6,), 3), ((1,), 4)]
)
def test_matrix_products_give_the_classifiers_distances(counts, dim, one_shot):
    generator = torch.Generator().manual_seed(0)
    labels = torch.repeat_interleave(torch.tensor(counts))[torch.randperm(sum(counts), generator=generator)]
    features = 5 + 3 * torch.randn(len(labels), dim, generator=generator, dtype=torch.float64)
    queries = 5 + 3 * torch.randn(7, dim, generator=generator, dtype=torch.float64)
    classifier = fit_mahalanobis(features, labels, one_shot)
    torch.testing.assert_close(MatrixHead(classifier)(queries), classifier.distances(queries), rtol=1e-9, atol=1e-9)
