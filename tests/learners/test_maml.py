"""MAML, ANIL and Meta-SGD: one step by hand, gradients of gradients, what may change and what may not."""

from __future__ import annotations

import copy
import dataclasses

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from fewshot_film.config.learners import ANILConfig, GradientConfig, MAMLConfig, MetaSGDConfig
from fewshot_film.data import decode, open_source
from fewshot_film.episodes import EpisodeSampler
from fewshot_film.errors import ConfigError
from fewshot_film.learners import MetaSGD, SupportError, build_learner, evaluate
from fewshot_film.learners.maml import TaskNorm
from fewshot_film.learners.objectives import MetaTraining
from tests.extras import needs_learn2learn
from tests.learners.small import SMALL
from tests.reference import maml as reference

pytestmark = needs_learn2learn

CONFIGS: dict[str, GradientConfig] = {
    "maml": MAMLConfig(),
    "maml, own starts": MAMLConfig(way=3),
    "maml, running": MAMLConfig(statistics="running"),
    "maml, transductive": MAMLConfig(statistics="transductive"),
    "maml, film and head": MAMLConfig(inner="film+head"),
    "maml, film": MAMLConfig(inner="film", way=3),
    "maml, film from the identity": MAMLConfig(inner="film+head", film_start="identity", train_backbone=False, way=3),
    "anil": ANILConfig(),
    "meta-sgd": MetaSGDConfig(),
    "meta-sgd, film": MetaSGDConfig(inner="film", way=3),
}


def small(config: GradientConfig, **settings) -> GradientConfig:
    return dataclasses.replace(config, backbone=SMALL.backbone, inner_steps=2, **settings)


def build(config: GradientConfig, **settings):
    torch.manual_seed(0)
    return build_learner(small(config, **settings))


def task(dtype=torch.float32):
    generator = torch.Generator().manual_seed(1)
    images = torch.rand(10, 1, 16, 16, generator=generator, dtype=dtype)
    labels = torch.arange(3).repeat_interleave(2)
    return images[:6], labels, images[6:], torch.tensor([0, 1, 2, 1])


class Pixels(nn.Module):
    """A body without weights: with a head on it the network is linear."""

    feature_dim = 4

    def forward(self, images):
        return images.flatten(1)


class TestLinearModelByHand:
    SUPPORT = np.random.default_rng(0).random((6, 4))
    QUERY = np.random.default_rng(1).random((5, 4))
    LABELS = np.array([0, 1, 2, 0, 1, 2])
    TARGETS = np.array([2, 0, 1, 1, 0])

    def learner(self, config: GradientConfig):
        torch.manual_seed(0)
        settings = {"inner_steps": 1, "inner_lr": 0.7, "way": 3, "statistics": "running"}
        learner = build_learner(dataclasses.replace(config, **settings), Pixels()).double()
        if isinstance(learner, MetaSGD):
            for rate in learner.rates:
                nn.init.constant_(rate, 0.7)  # in double precision
        weight, bias = learner.head_start.weight, learner.head_start.bias
        return learner, weight.detach().numpy().copy(), bias.detach().numpy().copy()

    def meta_loss(self, learner):
        support, query = (torch.from_numpy(rows).view(-1, 1, 2, 2) for rows in (self.SUPPORT, self.QUERY))
        logits = learner.adapt(support, torch.from_numpy(self.LABELS))(query)
        return logits, F.cross_entropy(logits, torch.from_numpy(self.TARGETS))

    def by_hand(self, weight, bias, weight_rate=0.7, bias_rate=0.7) -> float:
        adapted = reference.after_one_step(weight, bias, weight_rate, bias_rate, self.SUPPORT, self.LABELS)
        return reference.loss(*adapted, self.QUERY, self.TARGETS)

    @pytest.mark.parametrize("config", [MAMLConfig(), ANILConfig(), MetaSGDConfig()], ids=lambda config: config.method)
    def test_logits_and_second_order_gradients(self, config):
        learner, weight, bias = self.learner(config)
        logits, loss = self.meta_loss(learner)
        adapted = reference.after_one_step(weight, bias, 0.7, 0.7, self.SUPPORT, self.LABELS)
        np.testing.assert_allclose(logits.detach(), self.QUERY @ adapted[0].T + adapted[1], rtol=1e-12)
        loss.backward()
        assert loss.item() == pytest.approx(self.by_hand(weight, bias), rel=1e-12)
        for found, expected in (
            (learner.head_start.weight, reference.slope(lambda other: self.by_hand(other, bias), weight)),
            (learner.head_start.bias, reference.slope(lambda other: self.by_hand(weight, other), bias)),
        ):
            np.testing.assert_allclose(found.grad, expected, rtol=1e-7, atol=1e-10)

    def test_first_order_takes_the_gradient_at_the_adapted_weights(self):
        learner, weight, bias = self.learner(MAMLConfig(first_order=True))
        self.meta_loss(learner)[1].backward()
        adapted = reference.after_one_step(weight, bias, 0.7, 0.7, self.SUPPORT, self.LABELS)
        expected = reference.gradient(*adapted, self.QUERY, self.TARGETS)
        np.testing.assert_allclose(learner.head_start.weight.grad, expected[0], rtol=1e-10, atol=1e-12)
        np.testing.assert_allclose(learner.head_start.bias.grad, expected[1], rtol=1e-10, atol=1e-12)

    def test_rates_of_meta_sgd_are_learned(self):
        learner, weight, bias = self.learner(MetaSGDConfig())
        self.meta_loss(learner)[1].backward()
        by_hand = (
            reference.slope(lambda rate: self.by_hand(weight, bias, weight_rate=rate), np.full((3, 4), 0.7)),
            reference.slope(lambda rate: self.by_hand(weight, bias, bias_rate=rate), np.full(3, 0.7)),
        )
        for rate, expected in zip(learner.rates, by_hand, strict=True):
            np.testing.assert_allclose(rate.grad, expected, rtol=1e-7, atol=1e-10)


@pytest.mark.parametrize("name", CONFIGS)
def test_gradients_through_the_network_are_those_of_differences(name):
    learner = build(CONFIGS[name]).double()
    support, labels, query, targets = task(torch.double)

    def loss():
        return F.cross_entropy(learner.adapt(support, labels)(query), targets)

    loss().backward()
    trained = [parameter for parameter in learner.parameters() if parameter.requires_grad]
    generator = torch.Generator().manual_seed(2)
    directions = [torch.randn(each.shape, generator=generator, dtype=torch.double) for each in trained]
    expected = sum(float((each.grad * way).sum()) for each, way in zip(trained, directions, strict=True))

    def shifted(step: float) -> float:
        with torch.no_grad():
            for each, way in zip(trained, directions, strict=True):
                each.add_(way, alpha=step)
            value = float(loss())
            for each, way in zip(trained, directions, strict=True):
                each.sub_(way, alpha=step)
        return value

    # ReLU has kinks: a step small enough to meet none
    assert (shifted(1e-7) - shifted(-1e-7)) / 2e-7 == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("name", ["maml", "anil"])
@pytest.mark.parametrize("channels", [1, 3])
def test_support_and_query_images_are_laid_out_alike(name, channels):
    """Grey ones too: by pixel or by plane, other kernels run, and round otherwise."""
    backbone = dataclasses.replace(SMALL.backbone, channels=channels)
    learner = build_learner(dataclasses.replace(CONFIGS[name], backbone=backbone))
    layouts = set()
    learner.backbone.conv1.register_forward_hook(lambda _, inputs, found: layouts.add(found.stride()[1:]))
    images = torch.rand(3, channels, 16, 16)
    learner.adapt(images, torch.arange(3))(images)
    assert len(layouts) == 1


@pytest.mark.parametrize("name", CONFIGS)
def test_every_weight_to_be_trained_gets_a_gradient(name):
    learner = build(CONFIGS[name])
    support, labels, query, targets = task()
    F.cross_entropy(learner.adapt(support, labels)(query), targets).backward()
    for key, parameter in learner.named_parameters():
        assert (parameter.grad is not None and bool(parameter.grad.any())) == parameter.requires_grad, key


@pytest.mark.parametrize("name", CONFIGS)
def test_without_gradients_outside_it_adapts_all_the_same(name):
    learner = build(CONFIGS[name])
    support, labels, query, _ = task()
    expected = learner.adapt(support, labels)(query).detach()
    with torch.no_grad():
        torch.testing.assert_close(learner.adapt(support, labels)(query), expected)
    with torch.inference_mode():
        logits = learner.adapt(support.clone(), labels.clone())(query)
        torch.testing.assert_close(logits, expected)
        assert logits.is_inference()


@pytest.mark.parametrize("name", [name for name in CONFIGS if "transductive" not in name])
def test_queries_do_not_see_each_other(name):
    learner = build(CONFIGS[name])
    support, labels, query, _ = task()
    adapted = learner.adapt(support, labels)
    assert not learner.transductive
    torch.testing.assert_close(torch.cat([adapted(picture[None]) for picture in query]), adapted(query))


@pytest.mark.parametrize("name", CONFIGS)
def test_a_task_leaves_the_learner_and_other_tasks_as_they_are(name):
    learner = build(CONFIGS[name])
    before = copy.deepcopy(learner.state_dict())
    support, labels, query, _ = task()
    adapted = learner.adapt(support, labels)
    expected = adapted(query).detach()
    learner.adapt(1 - support, labels)(query).sum().backward()
    assert torch.equal(adapted(query), expected)
    assert all(module.frozen_stats is None for module in learner.modules() if isinstance(module, TaskNorm))
    for key, value in learner.state_dict().items():
        assert torch.equal(value, before[key]), key


@pytest.mark.parametrize("name", ["maml, own starts", "anil"])
def test_columns_follow_the_sorted_labels(name):
    learner = build(CONFIGS[name])
    support, labels, query, _ = task()
    expected = learner.adapt(support, labels)(query)
    for others in (torch.tensor([-4, 3, 8]), torch.tensor([1, 2, 3])):
        assert torch.equal(learner.adapt(support, others[labels])(query), expected)


def test_transductive_queries_do():
    learner = build(MAMLConfig(statistics="transductive"))
    support, labels, query, _ = task()
    adapted = learner.adapt(support, labels)
    assert learner.transductive
    assert not torch.allclose(adapted(query[:2]), adapted(query)[:2], atol=1e-3)


@pytest.mark.parametrize("chunk", [1, 3])
def test_chunks_change_nothing(chunk):
    support, labels, query, _ = task()
    with torch.no_grad():
        expected = build(MAMLConfig()).adapt(support, labels)(query)
        torch.testing.assert_close(build(MAMLConfig(), chunk=chunk).adapt(support, labels)(query), expected)


def test_anil_leaves_the_body_untouched():
    support, labels, _, _ = task()
    many = torch.rand(40, 1, 16, 16)

    def distance_from_a_linear_head(config: GradientConfig) -> float:
        """How far the logits are from linear in the features (16 and a constant) that the body had before."""
        learner = build(config, inner_lr=1.0, statistics="running").double()
        with torch.no_grad():
            logits = learner.adapt(support.double(), labels)(many.double())
            design = torch.cat([learner.backbone(many.double()), torch.ones(40, 1).double()], 1)
            return float((logits - design @ torch.linalg.lstsq(design, logits).solution).abs().max())

    assert distance_from_a_linear_head(ANILConfig()) < 1e-10
    assert distance_from_a_linear_head(MAMLConfig()) > 1e-6


def test_film_leaves_the_body_untouched():
    learner = build(MAMLConfig(inner="film+head"), inner_lr=1.0)
    support, labels, _, _ = task()
    network = learner.adapt(support, labels).network
    for (name, found), expected in zip(network.body.named_parameters(), learner.backbone.parameters(), strict=True):
        assert torch.equal(found, expected), name
    assert set(dict(network.named_parameters())) == {"film.flat", "head.weight", "head.bias"}
    assert not torch.allclose(network.film.flat, learner.film_start, atol=1e-4)


def test_film_starts_at_the_identity():
    for start in ("learned", "identity"):
        learner = build(MAMLConfig(inner="film+head", film_start=start))
        for gamma, beta in learner.filmed.sites.split(learner.film_start).values():
            assert bool((gamma == 1).all())
            assert bool((beta == 0).all())
        assert ("film_start" in learner.state_dict()) == (start == "learned")


def test_the_batch_norm_of_a_task_is_that_of_its_support_set():
    norm = nn.BatchNorm2d(3).double()
    nn.init.normal_(norm.weight)
    nn.init.normal_(norm.bias)
    expected = copy.deepcopy(norm).train()
    norm.__class__ = TaskNorm
    x, y = torch.randn(4, 3, 5, 5).double(), torch.randn(2, 3, 5, 5).double()
    torch.testing.assert_close(norm(x), expected(x))
    norm.freeze = True
    norm(x)
    together = (y - x.mean((0, 2, 3), keepdim=True)) / (x.var((0, 2, 3), correction=0, keepdim=True) + 1e-5).sqrt()
    scale, shift = (each.view(1, 3, 1, 1) for each in (norm.weight, norm.bias))
    torch.testing.assert_close(norm(y), together * scale + shift)
    assert torch.equal(norm.running_mean, torch.zeros(3).double())


def test_more_steps_where_it_counts():
    learner = build(MAMLConfig(), test_steps=7)
    support, labels, _, _ = task()

    def support_loss():
        with torch.no_grad():
            return float(F.cross_entropy(learner.adapt(support, labels)(support), labels))

    trained = support_loss()
    learner.eval()
    assert support_loss() < trained


@pytest.mark.parametrize("name", ["maml", "meta-sgd, film"])
def test_overfits_one_task(name):
    learner = build(CONFIGS[name]).train()
    support, labels, query, targets = task()
    optimizer = torch.optim.Adam([each for each in learner.parameters() if each.requires_grad], lr=2e-2)
    losses = []
    for _ in range(15):
        loss = F.cross_entropy(learner.adapt(support, labels)(query), targets)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.5 * losses[0]


def test_learns_to_tell_glyphs_apart():
    source = open_source("glyphs", split="train")
    images = decode(source.select(source.class_names[:12]), image_size=16, channels=1)
    episodes = EpisodeSampler(images, way=5, shot=1, query=5)
    module = MetaTraining(build(ANILConfig(), inner_lr=0.3)).train()
    before = np.mean(evaluate(module.learner, episodes, 40))
    optimizer = torch.optim.Adam(module.parameters(), lr=5e-3)
    for index in range(40):
        optimizer.zero_grad()
        module(episodes[index])["loss"].backward()
        optimizer.step()
    after = np.mean(evaluate(module.learner, episodes, 40))
    assert after > 0.4  # chance is 0.2
    assert after > before + 0.08


@pytest.mark.parametrize(
    ("support", "labels", "way", "message"),
    [
        (0, [], 0, "0 support images and 0 labels; expected as many, at least 1"),
        (3, [0, 1], 0, "3 support images and 2 labels"),
        (2, [0, 1], 3, r"has 2 classes; expected 3, as many as the head has learned starts for: .* learner\.way 0"),
    ],
)
def test_bad_support_is_refused(support, labels, way, message):
    with pytest.raises(SupportError, match=message):
        build(MAMLConfig(way=way)).adapt(torch.rand(support, 1, 16, 16), torch.tensor(labels, dtype=torch.long))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"inner_steps": 0}, "learner.inner_steps is 0; expected at least 1"),
        ({"test_steps": -1}, "learner.test_steps is -1; expected at least 0"),
        ({"inner_lr": 0.0}, r"learner.inner_lr is 0\.0; expected above 0"),
        ({"way": 1}, "learner.way is 1; expected 0, or at least 2"),
        ({"inner": "film"}, "learner.way is 0; expected at least 2 where inner is film: nothing else tells"),
        ({"train_backbone": False}, "learner.train_backbone is False; expected true where inner is all"),
    ],
)
def test_settings_out_of_range(settings, message):
    with pytest.raises(ConfigError, match=message):
        MAMLConfig(**settings)
