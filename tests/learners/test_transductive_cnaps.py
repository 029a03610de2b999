"""Transductive CNAPS: its refinement against loops, and what it may and may not depend on."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from torch import nn

from fewshot_film.config.learners import TransductiveCNAPSConfig
from fewshot_film.errors import ConfigError
from fewshot_film.learners.transductive_cnaps import TaskEncoder, TransductiveCNAPS, refine
from tests.learners.small import SMALL
from tests.reference import refinement as reference

CONFIG = TransductiveCNAPSConfig(backbone=SMALL.backbone, set_encoder_layers=2, code_dim=8)


def task(shots: list[int], num_queries: int, dim: int, spread: float = 1.0):
    rng = np.random.default_rng(len(shots) + dim)
    members = np.repeat(np.arange(len(shots)), shots)
    centres = rng.normal(size=(len(shots), dim))
    support = centres[members] + spread * rng.normal(size=(len(members), dim))
    queries = centres[rng.integers(len(shots), size=num_queries)] + spread * rng.normal(size=(num_queries, dim))
    return support, members, queries


def learner(**settings) -> TransductiveCNAPS:
    torch.manual_seed(0)
    found = TransductiveCNAPS(dataclasses.replace(CONFIG, **settings))
    if found.generator is not None:
        with torch.no_grad():
            for name, parameter in found.generator.named_parameters():
                if "regulariser" in name:
                    parameter.normal_(std=0.2)
    return found


class Pixels(nn.Module):
    """The features are the pixels."""

    feature_dim = 3

    def forward(self, images):
        return images.flatten(1)


@pytest.mark.parametrize("dim", [3, 60])  # in feature space, and in the span of the images
@pytest.mark.parametrize("shots", [[2, 3, 1], [1, 1], [4]])
def test_refinement_equals_loops(shots, dim):
    support, members, queries = task(shots, 9, dim)
    expected = reference.refine(support, members, queries, 4, 4)
    assert len(expected) == 5
    inputs = (torch.tensor(support), torch.tensor(members), torch.tensor(queries), torch.tensor(expected[0]))
    for steps in (1, 4):
        found = refine(*inputs, steps, steps)
        np.testing.assert_allclose(found.numpy(), expected[steps], rtol=1e-9, atol=1e-9)
    single = refine(*(x.float() if x.is_floating_point() else x for x in inputs), 2, 2)
    assert single.dtype == torch.float32
    np.testing.assert_allclose(single.numpy(), expected[2], rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("dim", [3, 60])
def test_refinement_of_features_too_large_for_float32(dim):
    support, members, queries = (np.asarray(each) for each in task([2, 3, 1], 9, dim))
    support, queries = (np.float32(1e5 * each).astype(np.float64) for each in (support, queries))
    first = torch.zeros(9, 3)
    expected = refine(*map(torch.tensor, (support, members, queries)), first.double(), 2, 2)
    single = refine(torch.tensor(support).float(), torch.tensor(members), torch.tensor(queries).float(), first, 2, 2)
    np.testing.assert_allclose(single.numpy(), expected.numpy(), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize(("min_steps", "max_steps"), [(1, 6), (3, 6), (2, 2)])
def test_refinement_ends_when_labels_settle(min_steps, max_steps):
    support, members, queries = task([2, 2, 2], 12, 4, spread=1.5)
    expected = reference.refine(support, members, queries, max_steps, min_steps)
    found = refine(
        *map(torch.tensor, (support, members, queries, expected[0])), min_steps=min_steps, max_steps=max_steps
    )
    np.testing.assert_allclose(found.numpy(), expected[-1], rtol=1e-9, atol=1e-9)
    assert len(expected) - 1 < 6 or max_steps == 2


@pytest.mark.parametrize("training", [True, False])
def test_whole_learner_on_pixels(training):
    """Without FiLM and with pixels for features it is the reference; in training it is not refined."""
    support, members, queries = task([2, 3], 7, 3)
    config = dataclasses.replace(CONFIG, adaptation="none")
    found = TransductiveCNAPS(config, Pixels()).train(training)
    images = [torch.tensor(part).view(-1, 1, 1, 3) for part in (support, queries)]
    logits = found.adapt(images[0], torch.tensor(members))(images[1])
    expected = reference.refine(support, members, queries, 4, 2)
    np.testing.assert_allclose(logits.numpy(), expected[0 if training else -1], rtol=1e-9, atol=1e-9)


def test_it_looks_at_the_queries():
    support, labels = torch.rand(6, 1, 16, 16), torch.tensor([0, 1, 2, 0, 1, 2])
    query, others = torch.rand(2, 1, 16, 16), torch.rand(5, 1, 16, 16) ** 2
    found = learner().eval()
    assert found.transductive
    with torch.no_grad():
        adapted = found.adapt(support, labels)
        alone = adapted(query)
        together = adapted(torch.cat([query, others]))
        order = torch.tensor([6, 2, 0, 3, 5, 1, 4])
        permuted = adapted(torch.cat([query, others])[order])
    assert not torch.allclose(together[:2], alone)
    torch.testing.assert_close(permuted, together[order], rtol=1e-4, atol=1e-4)


def test_published_task_encoder():
    """Two LSTM layers of 64 on the balanced support mean, then on the query mean."""
    encoder = TaskEncoder(64)
    assert sum(parameter.numel() for parameter in encoder.parameters()) == 2 * 4 * (64 * 64 * 2 + 64 * 2)
    support, query = torch.rand(64), torch.rand(64)
    _, state = encoder.lstm(support[None, None])
    expected, _ = encoder.lstm(query[None, None], state)
    torch.testing.assert_close(encoder(support, query), expected[0])


def test_code_is_balanced_over_classes():
    """A class counts once, however many images it has."""
    found = learner().eval()
    picture, other, query = torch.rand(1, 1, 16, 16), torch.rand(1, 1, 16, 16), torch.rand(3, 1, 16, 16)
    seen = []
    found.task_encoder.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    found.adapt(torch.cat([picture, other, other]), torch.tensor([0, 1, 1]))(query)
    vectors = found.set_encoder.vectors(found.backbone.normalize(torch.cat([picture, other, other])))
    torch.testing.assert_close(seen[0], (vectors[0] + vectors[1:].mean(0)) / 2)


@pytest.mark.parametrize("adaptation", ["film", "film+ar"])
def test_every_parameter_gets_a_gradient(adaptation):
    found = learner(adaptation=adaptation).train()
    logits = found.adapt(torch.rand(4, 1, 16, 16), torch.tensor([0, 1, 0, 1]))(torch.rand(3, 1, 16, 16))
    torch.nn.functional.cross_entropy(logits, torch.tensor([0, 1, 1])).backward()
    assert [name for name, value in found.named_parameters() if value.requires_grad and value.grad is None] == []


def test_no_queries():
    empty = torch.zeros(0, 3)
    assert refine(torch.rand(2, 3), torch.tensor([0, 1]), empty, torch.zeros(0, 2), 1, 4).shape == (0, 2)
    adapted = learner(adaptation="film").eval().adapt(torch.rand(3, 1, 16, 16), torch.tensor([0, 1, 1]))
    assert adapted(torch.rand(0, 1, 16, 16)).shape == (0, 2)


def test_settings_out_of_range():
    with pytest.raises(ConfigError, match=r"learner.refinements is -1; expected at least 0"):
        dataclasses.replace(CONFIG, refinements=-1)
