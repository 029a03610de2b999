"""Heads on features: each against its formula in NumPy, and what every one of them has to stand."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from fewshot_film.config.learners import CNAPSConfig, LDAConfig, MatchingConfig, QDAConfig, RelationConfig, RidgeConfig
from fewshot_film.errors import ConfigError
from fewshot_film.learners import CNAPS, LDA, QDA, MatchingNetworks, RelationNetworks, RidgeRegression, SupportError
from fewshot_film.learners.cnaps import ClassifierGenerator
from fewshot_film.learners.discriminants import fit_lda, fit_qda
from tests.reference import heads as reference

LABELS = np.array([7, 3, 7, 7, 3, 9])


class Pixels(nn.Module):
    """The features are the pixels."""

    def __init__(self, feature_dim: int) -> None:
        super().__init__()
        self.feature_dim = feature_dim

    def forward(self, images):
        return images.flatten(1)


def features(dim: int, rows: int = len(LABELS), seed: int = 0):
    rng = np.random.default_rng(seed + dim)
    return rng.normal(size=(rows, dim)) + (LABELS[:rows, None] if rows == len(LABELS) else 0)


def up_to_a_constant(logits) -> np.ndarray:
    """Log-densities without what all classes share."""
    logits = np.asarray(logits)
    return logits - logits.mean(1, keepdims=True)


@pytest.mark.parametrize("dim", [3, 20])
@pytest.mark.parametrize("labels", [LABELS, np.arange(6), np.zeros(6, dtype=np.int64)])
@pytest.mark.parametrize("shrinkage", [0.1, 0.5, 1.0])
@pytest.mark.parametrize(("kind", "fit"), [("lda", fit_lda), ("qda", fit_qda)])
def test_discriminants(kind, fit, shrinkage, labels, dim):
    support, queries = features(dim), features(dim, rows=4)
    matrices = reference.shrinkage_matrices(kind, support, labels, shrinkage)
    expected = reference.normal_logits(support, labels, queries, matrices)
    found = fit(torch.tensor(support), torch.tensor(labels), shrinkage)(torch.tensor(queries))
    np.testing.assert_allclose(up_to_a_constant(found), up_to_a_constant(expected), rtol=1e-8, atol=1e-8)
    single = fit(torch.tensor(support).float(), torch.tensor(labels), shrinkage)(torch.tensor(queries))
    assert single.dtype == torch.float32
    np.testing.assert_allclose(up_to_a_constant(single), up_to_a_constant(expected), rtol=1e-3, atol=2e-2)


@pytest.mark.parametrize(("method", "config"), [(LDA, LDAConfig), (QDA, QDAConfig)])
def test_discriminants_of_equal_images(method, config):
    """No spread at all: every class at the same distance."""
    learner = method(config(), Pixels(3))
    logits = learner.adapt(torch.ones(4, 1, 1, 3), torch.tensor([0, 1, 0, 1]))(torch.rand(2, 1, 1, 3))
    torch.testing.assert_close(logits[:, 0], logits[:, 1])


def test_full_shrinkage_is_the_nearest_mean():
    support, queries = torch.tensor(features(5)), torch.tensor(features(5, rows=6))
    means = torch.stack([support[torch.tensor(label == LABELS)].mean(0) for label in (3, 7, 9)])
    nearest = torch.cdist(queries, means).argmin(1)
    for fit in (fit_lda, fit_qda):
        assert torch.equal(fit(support, torch.tensor(LABELS), 1.0)(queries).argmax(1), nearest)


@pytest.mark.parametrize("scale", [1.0, 10.0])
def test_matching(scale):
    support, queries = features(4), features(4, rows=3)
    learner = MatchingNetworks(MatchingConfig(scale=scale), Pixels(4)).double()
    logits = learner.adapt(torch.tensor(support).view(6, 1, 1, 4), torch.tensor(LABELS))(
        torch.tensor(queries).view(3, 1, 1, 4)
    )
    expected = reference.attention(support, LABELS, queries, scale)
    np.testing.assert_allclose(logits.detach().numpy(), expected, rtol=1e-6)
    np.testing.assert_allclose(logits.exp().sum(1).detach(), 1)
    logits[:, 0].sum().backward()
    assert learner.scale.grad is not None
    assert not MatchingNetworks(MatchingConfig(learn_scale=False), Pixels(4)).scale.requires_grad


def test_generated_classifier():
    torch.manual_seed(0)
    learner = CNAPS(CNAPSConfig(adaptation="none"), Pixels(5)).double()
    support, queries = features(5), features(5, rows=3)
    layers = {
        name: [(layer.weight.detach().numpy(), layer.bias.detach().numpy()) for layer in network[::2]]
        for name, network in learner.classifier_generator.named_children()
    }
    columns = []
    for label in (3, 7, 9):
        mean = support[label == LABELS].mean(0)
        weight = mean + reference.three_layers(mean, layers["weight"])
        columns.append(queries @ weight + reference.three_layers(mean, layers["bias"]))
    logits = learner.adapt(torch.tensor(support).view(6, 1, 1, 5), torch.tensor(LABELS))(
        torch.tensor(queries).view(3, 1, 1, 5)
    )
    np.testing.assert_allclose(logits.detach().numpy(), np.array(columns).T, rtol=1e-9)


@pytest.mark.parametrize(
    ("adaptation", "parameters"), [("film", 20_559_493), ("film+ar", 25_355_141), ("none", 11_960_389)]
)
def test_published_size_of_cnaps(adaptation, parameters):
    assert sum(parameter.numel() for parameter in ClassifierGenerator(512).parameters()) == 788_485
    with torch.device("meta"):
        learner = CNAPS(CNAPSConfig(adaptation=adaptation))
    assert sum(parameter.numel() for parameter in learner.parameters()) == parameters


def test_relation_by_hand():
    learner = RelationNetworks(RelationConfig(hidden_dim=2), Pixels(2))
    compare = learner.compare
    with torch.no_grad():
        compare.of_class.weight.copy_(torch.tensor([[1.0, 0.0], [0.0, -1.0]]))
        compare.of_class.bias.copy_(torch.tensor([0.5, 0.0]))
        compare.of_query.weight.copy_(torch.tensor([[1.0, 0.0], [0.0, 1.0]]))
        compare.score.weight.copy_(torch.tensor([[1.0, 2.0]]))
        compare.score.bias.copy_(torch.tensor([-1.0]))
    support = torch.tensor([[1.0, 3.0], [3.0, 1.0], [0.0, 4.0]]).view(3, 1, 1, 2)
    logits = learner.adapt(support, torch.tensor([1, 1, 0]))(torch.tensor([[1.0, 3.0]]).view(1, 1, 1, 2))
    # classes (0, 4) and (2, 2): relu(0 + 0.5 + 1) + 2 relu(-4 + 3) - 1, relu(2 + 0.5 + 1) + 2 relu(-2 + 3) - 1
    torch.testing.assert_close(logits, torch.tensor([[0.5, 4.5]]))


HEADS = {
    "cnaps": lambda: CNAPS(CNAPSConfig(adaptation="none"), Pixels(4)),
    "lda": lambda: LDA(LDAConfig(), Pixels(4)),
    "qda": lambda: QDA(QDAConfig(), Pixels(4)),
    "matching": lambda: MatchingNetworks(MatchingConfig(), Pixels(4)),
    "relation": lambda: RelationNetworks(RelationConfig(), Pixels(4)),
    "ridge": lambda: RidgeRegression(RidgeConfig(), Pixels(4)),
}


@pytest.mark.parametrize("name", HEADS)
def test_gradcheck(name):
    learner = HEADS[name]().double()
    support = torch.tensor(features(4), requires_grad=True)
    queries = torch.tensor(features(4, rows=2), requires_grad=True)

    def logits(support, queries):
        return learner.fit_head(support, torch.tensor(LABELS))(queries)

    assert torch.autograd.gradcheck(logits, (support, queries), fast_mode=True)


@pytest.mark.parametrize("name", HEADS)
def test_half_precision_is_raised(name):
    learner = HEADS[name]()
    head = learner.fit_head(torch.tensor(features(4)).bfloat16(), torch.tensor(LABELS))
    assert head(torch.tensor(features(4, rows=2)).bfloat16()).dtype == torch.float32


@pytest.mark.parametrize("name", ["lda", "qda"])
def test_discriminants_take_no_part_in_autocast(name):
    support, queries = torch.tensor(features(40)).float(), torch.tensor(features(40, rows=2)).float()
    learner = HEADS[name]()
    expected = learner.fit_head(support, torch.tensor(LABELS))(queries)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        torch.testing.assert_close(learner.fit_head(support, torch.tensor(LABELS))(queries), expected)


@pytest.mark.parametrize("name", HEADS)
def test_bad_support_is_refused(name):
    learner = HEADS[name]()
    with pytest.raises(SupportError, match=r"features \(2, 4\) and labels \(3,\) do not fit"):
        learner.fit_head(torch.zeros(2, 4), torch.zeros(3, dtype=torch.long))
    with pytest.raises(SupportError, match="the support set is empty"):
        learner.fit_head(torch.zeros(0, 4), torch.zeros(0, dtype=torch.long))
    with pytest.raises(SupportError, match="NaN or infinity instead of finite features"):
        learner.fit_head(torch.full((2, 4), torch.inf), torch.tensor([0, 1]))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: LDAConfig(shrinkage=0), r"learner.shrinkage is 0; expected above 0, and at most 1"),
        (lambda: QDAConfig(shrinkage=1.5), r"learner.shrinkage is 1.5; expected above 0, and at most 1"),
        (lambda: MatchingConfig(scale=-1), r"learner.scale is -1; expected above 0"),
        (lambda: RelationConfig(hidden_dim=0), r"learner.hidden_dim is 0; expected at least 1"),
        (lambda: RidgeConfig(power=0), r"learner.power is 0; expected above 0, and at most 1"),
        (lambda: RidgeConfig(ridge_penalty=0), r"learner.ridge_penalty is 0; expected above 0"),
    ],
)
def test_settings_out_of_range(make, message):
    with pytest.raises(ConfigError, match=message):
        make()


@pytest.mark.parametrize("fit", [fit_lda, fit_qda])
@pytest.mark.parametrize(("size", "shrinkage"), [(1e8, 0.5), (1e15, 0.5), (1.0, 1e-7)])
def test_discriminants_beyond_float32(fit, size, shrinkage):
    support, labels = torch.tensor(size * features(50)).float(), torch.tensor(LABELS)
    queries = torch.tensor(size * features(50, 4)).float()
    expected = fit(support.double(), labels, shrinkage)(queries.double())
    assert expected.isfinite().all()
    torch.testing.assert_close(fit(support, labels, shrinkage)(queries).double(), expected, rtol=1e-3, atol=1e-3)
