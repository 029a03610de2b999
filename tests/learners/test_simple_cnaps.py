"""Simple CNAPS as a whole: its published size, what it may and may not depend on, and that it learns."""

from __future__ import annotations

import copy
import dataclasses
import re

import pytest
import torch
import torch.nn.functional as F

from fewshot_film.config.learners import SimpleCNAPSConfig
from fewshot_film.errors import ConfigError
from fewshot_film.learners.simple_cnaps import SimpleCNAPS, fit_mahalanobis
from tests.learners.small import small_learner


def wide_awake(learner: SimpleCNAPS) -> SimpleCNAPS:
    """Values far from the identity, so that FiLM shows."""
    with torch.no_grad():
        for name, parameter in learner.generator.named_parameters():
            if "regulariser" in name:
                parameter.normal_(std=0.2)
    return learner


def task(way=3, shot=2, query=4):
    torch.manual_seed(1)
    labels = torch.arange(way).repeat_interleave(shot)
    return torch.rand(way * shot, 1, 16, 16), labels, torch.rand(query, 1, 16, 16)


@pytest.mark.parametrize(
    ("adaptation", "parameters"), [("film", 19_771_008), ("film+ar", 24_566_656), ("none", 11_171_904)]
)
def test_published_size(adaptation, parameters):
    with torch.device("meta"):
        learner = SimpleCNAPS(SimpleCNAPSConfig(adaptation=adaptation))
    assert sum(parameter.numel() for parameter in learner.parameters()) == parameters


def test_published_sites():
    with torch.device("meta"):
        sites = SimpleCNAPS(SimpleCNAPSConfig()).filmed.sites
    assert (len(sites), sites.num_channels, sites.flat_dim) == (16, 3840, 7680)


def test_fresh_model_is_near_frozen_features():
    support, labels, query = task()
    film, plain = small_learner().eval(), small_learner(adaptation="none").eval()
    plain.backbone.load_state_dict(film.backbone.state_dict())
    torch.testing.assert_close(
        film.adapt(support, labels)(query), plain.adapt(support, labels)(query), rtol=0.05, atol=0.05
    )


@pytest.mark.parametrize("adaptation", ["film", "film+ar"])
def test_film_begins_as_far_from_the_identity_as_asked_for(adaptation):
    support, _, _ = task()
    near, far = (small_learner(adaptation=adaptation, init_std=spread).eval() for spread in (0.001, 0.1))
    first = near.filmed.sites.names[0]  # of the auto-regressive ones, the first alone does not depend on others
    one, other = (learner.modulations(support)[first] for learner in (near, far))
    torch.testing.assert_close(100 * (one.gamma - 1), other.gamma - 1, rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(100 * one.beta, other.beta, rtol=1e-3, atol=1e-4)


def test_a_spread_is_not_negative():
    with pytest.raises(ConfigError, match=re.escape("learner.init_std is -0.1; expected at least 0")):
        SimpleCNAPSConfig(init_std=-0.1)


@pytest.mark.parametrize("adaptation", ["film", "film+ar"])
def test_logits_are_the_sum_of_the_steps(adaptation):
    support, labels, query = task()
    learner = wide_awake(small_learner(adaptation=adaptation)).eval()
    modulations = learner.modulations(support)
    features = learner.filmed(support, modulations)
    expected = fit_mahalanobis(features, labels)(learner.filmed(query, modulations))
    torch.testing.assert_close(learner.adapt(support, labels)(query), expected)
    assert not torch.allclose(features, learner.backbone(support), rtol=0.1)


@pytest.mark.parametrize("adaptation", ["film", "film+ar", "none"])
def test_permuting_the_support_changes_nothing(adaptation):
    support, labels, query = task()
    learner = small_learner(adaptation=adaptation).double()
    if adaptation != "none":
        wide_awake(learner)
    order = torch.tensor([4, 2, 0, 5, 1, 3])
    expected = learner.adapt(support.double(), labels)(query.double())
    torch.testing.assert_close(learner.adapt(support.double()[order], labels[order])(query.double()), expected)


def test_queries_do_not_see_each_other():
    support, labels, query = task()
    adapted = wide_awake(small_learner()).train().adapt(support, labels)
    together = adapted(query)
    torch.testing.assert_close(torch.cat([adapted(picture[None]) for picture in query]), together)
    assert torch.equal(adapted(query), together)


@pytest.mark.parametrize("chunk", [1, 3, 100])
def test_chunks_do_not_change_features(chunk):
    support, labels, query = task(query=7)
    learner = wide_awake(small_learner())
    expected = learner.adapt(support, labels)(query)
    learner.config = dataclasses.replace(learner.config, chunk=chunk)
    with torch.no_grad():
        torch.testing.assert_close(learner.adapt(support, labels)(query), expected)


def test_backbone_is_frozen_and_stays_in_evaluation_mode():
    learner = small_learner().train()
    assert learner.training
    assert not any(module.training for module in learner.backbone.modules())
    assert not any(parameter.requires_grad for parameter in learner.backbone.parameters())
    before = copy.deepcopy(learner.backbone.state_dict())
    support, labels, query = task()
    learner.adapt(support, labels)(query).sum().backward()
    for key, value in learner.backbone.state_dict().items():
        assert torch.equal(value, before[key])
    assert all(parameter.requires_grad for parameter in small_learner(train_backbone=True).backbone.parameters())


@pytest.mark.parametrize("adaptation", ["film", "film+ar"])
def test_every_generator_parameter_gets_a_gradient(adaptation):
    support, labels, query = task()
    learner = wide_awake(small_learner(adaptation=adaptation))
    logits = learner.adapt(support, labels)(query)
    loss = F.cross_entropy(logits, torch.tensor([0, 1, 2, 0])) + learner.generator.penalty()
    loss.backward()
    missing = [
        name for name, parameter in learner.named_parameters() if parameter.requires_grad and parameter.grad is None
    ]
    assert missing == []


def test_overfits_one_task():
    torch.manual_seed(0)
    learner = wide_awake(small_learner()).train()
    support, labels, query = task(way=4, shot=2, query=8)
    targets = torch.arange(4).repeat(2)
    query = support[targets * 2] + 0.3 * torch.rand(8, 1, 16, 16)
    optimizer = torch.optim.Adam([p for p in learner.parameters() if p.requires_grad], lr=5e-3)
    losses = []
    for _ in range(40):
        loss = F.cross_entropy(learner.adapt(support, labels)(query), targets) + learner.generator.penalty()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.5 * losses[0]


def test_copies_are_independent():
    support, labels, query = task()
    learner = wide_awake(small_learner()).eval()
    twin = copy.deepcopy(learner)
    assert torch.equal(twin.adapt(support, labels)(query), learner.adapt(support, labels)(query))
    before = learner.adapt(support, labels)(query)
    with torch.no_grad():
        for parameter in twin.parameters():
            parameter.add_(0.01)
    assert torch.equal(learner.adapt(support, labels)(query), before)
    assert not torch.equal(twin.adapt(support, labels)(query), before)


def test_auto_regression_needs_sites_in_stages():
    with pytest.raises(ValueError, match=r"no place for sites in bn1; use sites in layer1, layer2"):
        small_learner(adaptation="film+ar", sites=("bn1", "layer*.*.bn[12]"))


def test_auto_regression_over_some_stages_only():
    support, labels, query = task()
    learner = small_learner(adaptation="film+ar", sites=("layer2.*.bn2",))
    assert learner.filmed.sites.names == ("layer2.0.bn2",)
    assert learner.adapt(support, labels)(query).shape == (4, 3)
