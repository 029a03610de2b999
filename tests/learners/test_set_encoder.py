"""The set encoder against loops in double precision."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from fewshot_film.learners.set_encoder import SetEncoder
from tests.reference import set_encoder as reference


def double_encoder(**settings) -> SetEncoder:
    torch.manual_seed(0)
    encoder = SetEncoder(**settings).double()
    for parameter in encoder.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return encoder


@pytest.mark.parametrize("training", [True, False])
def test_equals_loops(training):
    encoder = double_encoder(channels=2, dim=3, num_layers=2).train(training)
    images = torch.rand(4, 2, 9, 8, dtype=torch.double)
    blocks = [{key: value.detach().numpy() for key, value in block.state_dict().items()} for block in encoder.blocks]
    expected = reference.encode(images.numpy(), blocks)
    np.testing.assert_allclose(encoder(images).detach().numpy()[0], expected, rtol=1e-10, atol=1e-12)


def test_published_size():
    assert sum(parameter.numel() for parameter in SetEncoder().parameters()) == 150_144


def test_permuting_the_set_changes_nothing():
    encoder = double_encoder(channels=1, dim=4, num_layers=3)
    images = torch.rand(5, 1, 16, 16, dtype=torch.double)
    torch.testing.assert_close(encoder(images[[3, 1, 4, 0, 2]]), encoder(images))


def test_small_images_are_refused():
    with pytest.raises(ValueError, match=r"28 x 28 pixels are too small for 5 halvings \(at least 32 x 32\); set "):
        SetEncoder(channels=1)(torch.rand(2, 1, 28, 28))
