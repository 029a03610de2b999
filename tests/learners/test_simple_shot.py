"""SimpleShot: its three transforms by hand, and the mean of the training classes as part of the model."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from fewshot_film.learners import SimpleShot, load_learner, save_learner
from tests.learners.small import SMALL
from tests.learners.test_heads import LABELS, Pixels, features

SUPPORT, QUERIES = torch.tensor(features(4)), torch.tensor(features(4, rows=3))


def expected(transform) -> torch.Tensor:
    means = torch.stack([transform(SUPPORT)[torch.tensor(label == LABELS)].mean(0) for label in (3, 7, 9)])
    return -(transform(QUERIES)[:, None] - means).square().sum(2)


@pytest.mark.parametrize(
    ("kind", "transform"),
    [
        ("un", lambda rows: rows),
        ("l2n", lambda rows: rows / rows.norm(dim=1, keepdim=True)),
        ("cl2n", lambda rows: (rows - 2) / (rows - 2).norm(dim=1, keepdim=True)),
    ],
)
def test_transforms(kind, transform):
    learner = SimpleShot(backbone=Pixels(4), transform=kind)
    learner.centre_on(torch.tensor([[1.0] * 4, [3.0] * 4]))
    found = learner.fit_head(SUPPORT, torch.tensor(LABELS))(QUERIES)
    torch.testing.assert_close(found, expected(transform))


def test_centring_helps_where_features_share_a_mean():
    """The shape of the paper's ablation: far from the origin, directions of length 1 differ by little but noise."""
    generator = torch.Generator().manual_seed(0)
    right = {}
    for kind in ("l2n", "cl2n"):
        learner = SimpleShot(backbone=Pixels(20), transform=kind)
        shared = 3 * torch.ones(20)
        learner.centre_on(shared[None])
        hits = []
        for _ in range(60):
            centres = torch.randn(5, 20, generator=generator)
            labels = torch.arange(5)
            support, queries = (shared + centres + torch.randn(5, 20, generator=generator) for _ in range(2))
            lengths = 1 + 2 * torch.rand(10, 1, generator=generator)
            head = learner.fit_head(support * lengths[:5], labels)
            hits.append(float((head(queries * lengths[5:]).argmax(1) == labels).double().mean()))
        right[kind] = np.mean(hits)
    assert right["cl2n"] != right["l2n"]


def test_the_centre_is_saved(tmp_path: Path):
    learner = SimpleShot(backbone=SMALL.backbone)
    learner.centre_on(torch.arange(2 * learner.backbone.feature_dim).view(2, -1).double())
    save_learner(tmp_path / "model", learner, {}, "card")
    torch.testing.assert_close(load_learner(tmp_path / "model").centre, learner.centre)
    assert learner.centre.any()
