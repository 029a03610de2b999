"""FiT: its heads against normal densities, its small tasks, and what fine-tuning may and may not touch."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from fewshot_film.config.learners import FiTConfig
from fewshot_film.errors import ConfigError
from fewshot_film.learners.fit import START, TASK_SIZE, FiT, SmallTasks, naive_bayes_head
from fewshot_film.learners.support import SupportError
from tests.learners.small import SMALL
from tests.reference import heads as reference

LABELS = np.array([7, 3, 7, 7, 3, 9])
CONFIG = FiTConfig(backbone=SMALL.backbone, steps=3)


def learner(**settings) -> FiT:
    torch.manual_seed(0)
    return FiT(dataclasses.replace(CONFIG, **settings))


def random_task(way: int = 3, shot: int = 4):
    generator = torch.Generator().manual_seed(1)
    labels = torch.arange(way).repeat(shot)
    centres = torch.rand(way, 1, 16, 16, generator=generator)
    noise = torch.rand(len(labels), 1, 16, 16, generator=generator)
    return 0.5 * centres[labels] + 0.5 * noise, labels


@pytest.mark.parametrize("dim", [3, 20])
@pytest.mark.parametrize("weights", [(0.5, 0.5, 1.0), (0.3, 0.0, 2.0), (-1.0, 0.7, 0.2)])
@pytest.mark.parametrize("kind", ["qda", "lda"])
def test_naive_bayes_is_a_normal_density(kind, weights, dim):
    rng = np.random.default_rng(dim)
    support, queries = rng.normal(size=(6, dim)) + LABELS[:, None], rng.normal(size=(4, dim))
    weights = weights[1:] if kind == "lda" else weights
    matrices = reference.fit_matrices(kind, support, LABELS, weights)
    expected = reference.normal_logits(support, LABELS, queries, matrices)
    values = [torch.tensor(weight, dtype=torch.double) for weight in weights]
    found = naive_bayes_head(torch.tensor(support), torch.tensor(LABELS), kind, values)(torch.tensor(queries)).numpy()
    centred = [logits - logits.mean(1, keepdims=True) for logits in (found, expected)]
    np.testing.assert_allclose(*centred, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("kind", START)
def test_gradcheck(kind):
    torch.manual_seed(0)
    support, queries = torch.randn(6, 4, dtype=torch.double), torch.randn(2, 4, dtype=torch.double)
    weights = [torch.tensor(value, dtype=torch.double, requires_grad=True) for value in START[kind]]

    def logits(support, queries, *weights):
        return naive_bayes_head(support, torch.tensor(LABELS), kind, weights)(queries)

    inputs = (support.requires_grad_(), queries.requires_grad_(), *weights)
    assert torch.autograd.gradcheck(logits, inputs, fast_mode=True)


@pytest.mark.parametrize("kind", START)
def test_without_a_step_it_is_the_plain_head(kind):
    images, labels = random_task()
    model = learner(head=kind, steps=0)
    found = model.adapt(images, labels)
    weights = [torch.tensor(value) for value in START[kind]]
    features = model.backbone(images)
    torch.testing.assert_close(found(images), naive_bayes_head(features, labels, kind, weights)(features))


@pytest.mark.parametrize("kind", START)
def test_one_step_is_adam_on_the_drawn_task(kind):
    """The first step of Adam moves every value by the learning rate against the sign of its gradient."""
    images, labels = random_task()
    model = learner(head=kind, steps=1, learning_rate=0.01)
    adapted = model.adapt(images, labels)
    task = SmallTasks(labels, TASK_SIZE, torch.Generator().manual_seed(0)).draw()
    flat = model.filmed.sites.flatten(model.filmed.sites.identity()).requires_grad_()
    weights = [torch.tensor(value, requires_grad=True) for value in START[kind]]
    modulations = model.filmed.sites.split(flat)
    support, query = (model.filmed(images[part], modulations) for part in (task.support, task.query))
    head = naive_bayes_head(support, task.support_labels, kind, weights)
    F.cross_entropy(head(query), task.query_labels).backward()
    moved = model.filmed.sites.flatten(adapted.modulations) - flat.detach()
    clear = flat.grad.abs() > 1e-4
    assert clear.float().mean() > 0.5
    torch.testing.assert_close(moved[clear], -0.01 * flat.grad[clear].sign(), rtol=1e-2, atol=1e-6)
    for weight, after in zip(weights, adapted.weights, strict=True):
        torch.testing.assert_close(after - weight.detach(), -0.01 * weight.grad.sign(), rtol=1e-2, atol=1e-6)


def test_it_learns_its_task():
    images, labels = random_task(shot=3)
    models = [learner(head="prototypes", steps=steps, learning_rate=0.1) for steps in (0, 12)]
    losses = [F.cross_entropy(model.adapt(images, labels)(images), labels) for model in models]
    assert losses[1] < 0.8 * losses[0]


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode, torch.enable_grad])
def test_same_classifier_in_any_mode(mode):
    images, labels = random_task()
    model = learner()
    expected = model.adapt(images, labels)(images)
    state = torch.get_rng_state()
    with mode():
        found = model.adapt(images.clone(), labels.clone())(images)
    assert torch.equal(found, expected)
    assert torch.equal(torch.get_rng_state(), state)


def test_the_backbone_is_left_alone():
    images, labels = random_task()
    model = learner()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    model.adapt(images, labels)(images)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(parameter.grad is None and not parameter.requires_grad for parameter in model.parameters())
    assert not any(module.training for module in model.train().backbone.modules())


def test_names_of_classes_do_not_matter():
    images, labels = random_task()
    plain = learner().adapt(images, labels)(images)
    renamed = learner().adapt(images, torch.tensor([40, -3, 7])[labels])(images)
    torch.testing.assert_close(renamed, plain[:, [1, 2, 0]])


def test_small_tasks_keep_halves_apart():
    members = torch.tensor([0] * 5 + [1] * 2 + [2] + [3] * 4 + [4] * 3 + [5] * 6)
    tasks = SmallTasks(members, 10, torch.Generator().manual_seed(0))
    support, query, ways = set(), set(), set()
    for _ in range(60):
        task = tasks.draw()
        assert set(task.query_labels.tolist()) <= set(task.support_labels.tolist())
        assert len(task.query) > 0
        ways.add(len(set(task.support_labels.tolist())))
        for indices, labels in ((task.support, task.support_labels), (task.query, task.query_labels)):
            for label in labels.unique():
                assert len(members[indices[labels == label]].unique()) == 1
        support |= set(task.support.tolist())
        query |= set(task.query.tolist())
    assert not support & query
    assert support | query == set(range(len(members)))
    assert torch.bincount(members[list(support)]).tolist() == [3, 1, 1, 2, 2, 3]
    assert ways == {5, 6}


def test_a_single_image_per_class_serves_for_both():
    task = SmallTasks(torch.arange(4), 100, torch.Generator()).draw()
    assert sorted(task.support.tolist()) == sorted(task.query.tolist()) == [0, 1, 2, 3]


def test_bad_support_is_refused():
    with pytest.raises(SupportError, match="the support set is empty"):
        learner().adapt(torch.zeros(0, 1, 16, 16), torch.zeros(0, dtype=torch.long))
    with pytest.raises(SupportError, match=r"labels \(2,\) do not fit"):
        learner().adapt(torch.zeros(3, 1, 16, 16), torch.tensor([0, 1]))


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [("steps", -1, "at least 0"), ("learning_rate", 0.0, "above 0")],
)
def test_settings_out_of_range(name, value, expected):
    with pytest.raises(ConfigError, match=f"learner.{name} is {value}; expected {expected}"):
        dataclasses.replace(CONFIG, **{name: value})
