"""Prototypes against hand-computed means and distances."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from fewshot_film.learners.errors import SupportError
from fewshot_film.learners.prototypes import Prototypes, class_means


class Pixels(nn.Module):
    """The features are the pixels."""

    def forward(self, images):
        return images.flatten(1)


SUPPORT = torch.tensor([[0.0, 1.0], [3.0, 4.0], [0.0, 3.0]]).view(3, 1, 1, 2)
LABELS = torch.tensor([7, 3, 7])  # any integers


def test_euclidean_by_hand():
    adapted = Prototypes(Pixels(), "euclidean").adapt(SUPPORT, LABELS)
    assert adapted.prototypes.tolist() == [[3.0, 4.0], [0.0, 2.0]]  # classes in the order 3, 7
    logits = adapted(torch.tensor([[0.0, 0.0], [3.0, 4.0]]).view(2, 1, 1, 2))
    torch.testing.assert_close(logits, torch.tensor([[-25.0, -4.0], [0.0, -13.0]]))


def test_cosine_by_hand():
    adapted = Prototypes(Pixels(), "cosine", scale=2.0).adapt(SUPPORT, LABELS)
    logits = adapted(torch.tensor([[1.0, 0.0], [0.0, 9.0]]).view(2, 1, 1, 2))
    torch.testing.assert_close(logits, 2 * torch.tensor([[0.6, 0.0], [0.8, 1.0]]))


@pytest.mark.parametrize("labels", [torch.tensor([0]), torch.zeros(0, dtype=torch.long)])
def test_bad_support_is_refused(labels):
    with pytest.raises(SupportError, match=r"support pictures and \d labels; expected as many, at least 1"):
        class_means(torch.zeros(0 if len(labels) == 0 else 2, 3), labels)
