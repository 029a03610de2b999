"""FEAT: the transformer against its equations, by hand, and what it learns."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from fewshot_film.episodes import Episode
from fewshot_film.learners import FEAT, SupportError
from fewshot_film.learners.feat import SetTransformer, scaled
from tests.learners.small import SMALL
from tests.learners.test_heads import LABELS, Pixels, features


def adapted(vectors: np.ndarray, transformer: SetTransformer) -> np.ndarray:
    """The set-to-set function, vector by vector, without dropout."""
    query, key, value, out, bias = (
        each.detach().numpy()
        for each in (
            transformer.query.weight,
            transformer.key.weight,
            transformer.value.weight,
            transformer.out.weight,
            transformer.out.bias,
        )
    )
    rows = []
    for vector in vectors:
        scores = np.array([(query @ vector) @ (key @ other) for other in vectors]) / np.sqrt(len(vector))
        shares = np.exp(scores - scores.max())
        shares /= shares.sum()
        mixed = sum(share * (value @ other) for share, other in zip(shares, vectors, strict=True))
        row = vector + out @ mixed + bias
        row = (row - row.mean()) / np.sqrt(row.var() + 1e-5)
        rows.append(transformer.norm.weight.detach().numpy() * row + transformer.norm.bias.detach().numpy())
    return np.array(rows)


def learner_on(dim: int, **settings) -> FEAT:
    torch.manual_seed(0)
    return FEAT(backbone=Pixels(dim), **settings).double().eval()


def test_logits_equal_loops():
    support, queries = features(5), features(5, rows=4)
    learner = learner_on(5)
    found = learner.fit_head(torch.tensor(support), torch.tensor(LABELS))(torch.tensor(queries))

    def sized(rows):
        return np.sqrt(5) * rows / np.linalg.norm(rows, axis=1, keepdims=True)

    means = adapted(np.stack([sized(support)[label == LABELS].mean(0) for label in (3, 7, 9)]), learner.transformer)
    expected = [[-((query - mean) ** 2).sum() / 64 for mean in means] for query in sized(queries)]
    np.testing.assert_allclose(found.detach().numpy(), expected, rtol=1e-8)


def test_by_hand():
    """Values of 0: the transformer is a LayerNorm, and (1, -1) is what it makes of every (a, -a)."""
    transformer = SetTransformer(2, 0.0)
    for layer in (transformer.value, transformer.out):
        torch.nn.init.zeros_(layer.weight)
    torch.nn.init.zeros_(transformer.out.bias)
    found = transformer(torch.tensor([[3.0, -3.0], [-2.0, 2.0]]))
    torch.testing.assert_close(found, torch.tensor([[1.0, -1.0], [-1.0, 1.0]]), rtol=1e-4, atol=0)


def test_class_means_see_each_other():
    """Another class in the task moves what a class is compared by; prototypes would stay."""
    support = torch.tensor(features(5))
    learner = learner_on(5)
    both = learner.fit_head(support[:5], torch.tensor(LABELS[:5])).means.prototypes
    three = learner.fit_head(support, torch.tensor(LABELS)).means.prototypes
    assert (both - three[:2]).abs().max() > 1e-3


def test_the_contrastive_loss_equals_loops():
    learner = learner_on(16)
    generator = torch.Generator().manual_seed(0)
    images = torch.rand(10, 1, 4, 4, generator=generator).double()
    labels = torch.tensor([4, 1, 4, 1, 1, 4, 4, 1, 4, 1])
    found = learner.penalty(Episode(images[:4], labels[:4], images[4:], labels[4:], ("b", "a"), (), (), "", 0))
    rows = scaled(images.flatten(1)).numpy()
    centres = [adapted(rows[labels.numpy() == label], learner.transformer).mean(0) for label in (1, 4)]
    total = 0.0
    for row, label in zip(rows, labels.tolist(), strict=True):
        scores = np.array([-((row - centre) ** 2).sum() / 64 for centre in centres])
        total -= scores[(1, 4).index(label)] - np.log(np.exp(scores).sum())
    np.testing.assert_allclose(found.item(), 0.1 * total / len(rows), rtol=1e-8)
    assert learner_on(16, contrast_weight=0.0).penalty(None) == 0


def test_it_learns_what_prototypes_cannot():
    """Each task's classes differ in one of two directions, loud noise is in the other: only the task says which."""
    torch.manual_seed(0)
    learner = FEAT(backbone=Pixels(8), dropout=0.0, temperature=4.0)
    generator = torch.Generator().manual_seed(1)

    def task():
        loud, told = torch.randperm(2, generator=generator).tolist()
        labels = torch.arange(2).repeat(10)
        rows = 0.1 * torch.randn(20, 8, generator=generator)
        rows[:, 4 * loud : 4 * loud + 4] += 1.0  # all images of the task have it
        rows[:, 4 * told] += 0.6 * (2 * labels - 1)
        rows[:, 4 * told + 1] += torch.randn(20, generator=generator)
        return rows[:2], labels[:2], rows[2:], labels[2:]

    def accuracy() -> float:
        right = [
            (learner.fit_head(rows, labels)(asked).argmax(1) == truth).double().mean()
            for rows, labels, asked, truth in (task() for _ in range(100))
        ]
        return float(torch.stack(right).mean())

    before = accuracy()
    optimizer = torch.optim.Adam(learner.transformer.parameters(), lr=3e-3)
    for _ in range(300):
        rows, labels, asked, truth = task()
        optimizer.zero_grad()
        F.cross_entropy(learner.fit_head(rows, labels)(asked), truth).backward()
        optimizer.step()
    assert accuracy() > before + 0.05


def test_dropout_is_for_training_alone():
    learner = FEAT(backbone=SMALL.backbone, dropout=0.5)
    support, labels = torch.rand(4, learner.backbone.feature_dim), torch.tensor([0, 1, 0, 1])
    first, second = (learner.train().fit_head(support, labels).means.prototypes for _ in range(2))
    assert not torch.equal(first, second)
    first, second = (learner.eval().fit_head(support, labels).means.prototypes for _ in range(2))
    assert torch.equal(first, second)


def test_bad_support_is_refused():
    with pytest.raises(SupportError, match="the support set is empty"):
        learner_on(5).fit_head(torch.zeros(0, 5), torch.zeros(0, dtype=torch.long))
