"""Ways to train that the record does not use, each against its formula."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from benchmarks import idea_trainings, ideas
from benchmarks.idea_trainings import AVERAGED_OVER, AlternatingBatches, Averaged, Distilled, GrowingBatches, Mixed
from fewshot_film.config.backbone import BackboneConfig
from fewshot_film.config.data import AugmentConfig
from fewshot_film.data import ImageSet
from fewshot_film.data.batches import LabelledBatch, LabelledBatches
from fewshot_film.learners.networks import build_backbone
from fewshot_film.learners.objectives import Pretraining
from tests.learners.small import noisy_classes

CLASSES = 3


def a_batch(count: int = 6) -> LabelledBatch:
    drawn = torch.Generator().manual_seed(1)
    images = torch.rand(count, 3, 16, 16, generator=drawn)
    return LabelledBatch(images, torch.arange(count) % CLASSES)


def a_backbone(seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return build_backbone(BackboneConfig(name="whitened-vgg", width=4, blocks=(3, 3), image_size=16))


@pytest.fixture(scope="module")
def images() -> ImageSet:
    return noisy_classes(per_class=20)


def test_the_average_takes_in_a_hundredth_of_every_step() -> None:
    module = Averaged(a_backbone(), CLASSES)
    start = {name: value.clone() for name, value in module.backbone.state_dict().items()}
    trained = [{name: value.clone() for name, value in start.items()}]
    optimizer = torch.optim.SGD(module.parameters(), 0.1)
    for _ in range(3):
        optimizer.zero_grad()
        module(a_batch())["loss"].backward()
        optimizer.step()
        trained.append({name: value.clone() for name, value in module.trained.state_dict().items()})
    module(a_batch())  # takes in what the last step made
    for name, value in module.backbone.state_dict().items():
        expected = start[name].double()
        if value.is_floating_point():
            for step in trained:
                expected = expected + (step[name].double() - expected) / AVERAGED_OVER
        torch.testing.assert_close(value.double(), expected, atol=1e-6, rtol=1e-5)
    assert not any(weight.requires_grad for weight in module.backbone.parameters())
    assert not torch.equal(trained[-1]["layer1.0.conv1.weight"], start["layer1.0.conv1.weight"])
    assert module.trained.get_submodule("conv1").weight.requires_grad is False  # type: ignore[union-attr]


def test_every_image_is_mirrored_in_every_second_epoch(images: ImageSet) -> None:
    batches = AlternatingBatches(images, 20, AugmentConfig(), 0)
    per_epoch = len(images) // 20
    mirrored: list[dict[int, bool]] = []
    for epoch in range(3):
        found: dict[int, bool] = {}
        for number in range(epoch * per_epoch, (epoch + 1) * per_epoch):
            which, chosen = batches.chosen(number)
            assert which == epoch
            for index, seen in zip(chosen.tolist(), batches[number].images, strict=True):
                own = images.get(np.array([index])).float()[0] / 255
                assert torch.equal(seen, own) or torch.equal(seen, own.flip(-1))
                found[index] = not torch.equal(seen, own)
        mirrored.append(found)
    assert 0 < sum(mirrored[0].values()) < len(images)
    assert mirrored[0] == {index: not was for index, was in mirrored[1].items()} == mirrored[2]


def test_images_are_small_in_the_first_batches(images: ImageSet) -> None:
    batches = GrowingBatches(images, 10, AugmentConfig(flip=True), 0, small_until=2)
    plain = LabelledBatches(images, 10, AugmentConfig(flip=True), 0)
    for number in range(4):
        batch, whole = batches[number], plain[number]
        assert torch.equal(batch.labels, whole.labels)
        if number >= 2:
            assert torch.equal(batch.images, whole.images)
            continue
        assert batch.images.shape == (10, images.get(np.arange(1)).shape[1], 24, 24)
        torch.testing.assert_close(batch.images.mean((2, 3)), whole.images.mean((2, 3)), atol=0.02, rtol=0)


def test_half_of_the_loss_is_the_teachers() -> None:
    teacher, batch = Pretraining(a_backbone(1), CLASSES, label_smoothing=0.1), a_batch()
    module = Distilled(a_backbone(), CLASSES, label_smoothing=0.1, teacher=teacher)
    assert not teacher.training
    found = module(batch)["loss"]
    with torch.no_grad():
        logits, taught = module.logits(batch.images).double(), teacher.logits(batch.images).double()
    own, of_teacher = (values.div(4).softmax(1) for values in (logits, taught))
    soft = 16 * (of_teacher * (of_teacher.log() - own.log())).sum(1).mean()
    hard = -(0.9 * logits.log_softmax(1)[torch.arange(6), batch.labels] + 0.1 * logits.log_softmax(1).mean(1)).mean()
    assert found.item() == pytest.approx(float(hard + soft) / 2, rel=1e-5)
    assert {name.split(".")[0] for name in module.state_dict()} == {"backbone", "classifier"}


@pytest.mark.parametrize("place", range(3))
def test_maps_and_labels_are_mixed_in_the_same_shares(place: int, monkeypatch: pytest.MonkeyPatch) -> None:
    module, batch = Mixed(a_backbone(), CLASSES), a_batch()
    backbone = module.backbone
    monkeypatch.setattr(idea_trainings.torch, "randint", lambda *_: torch.tensor(place))
    torch.manual_seed(7)
    share = float(torch.distributions.Beta(2.0, 2.0).sample())
    partner = torch.randperm(6)
    torch.manual_seed(7)
    found = module(batch)["loss"].item()
    x = batch.images.contiguous(memory_format=torch.channels_last)
    steps = [*backbone.stem_modules(), *(backbone.get_submodule(name) for name in backbone.stage_names)]
    mixed_before = [0, 3, 4][place]
    with torch.no_grad():
        for number, step in enumerate(steps):
            if number == mixed_before:
                x = share * x + (1 - share) * x[partner]
            x = step(x)
        logits = module.classifier(backbone.feature_norms["layer2"](x.mean((2, 3))))
    own, others = (
        -logits.log_softmax(1)[torch.arange(6), labels].mean() for labels in (batch.labels, batch.labels[partner])
    )
    assert found == pytest.approx(float(share * own + (1 - share) * others), rel=1e-4)
    assert not any(part._forward_pre_hooks for part in module.modules())


def test_every_idea_can_be_trained_for_a_few_steps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the command itself, on images of this test; the teacher is the run beside it."""
    sets = noisy_classes(per_class=20)
    monkeypatch.setattr(idea_trainings.pretrain, "open_training", lambda *_: (sets, sets))
    (tmp_path / "cifar-100").mkdir()
    config = ideas.IdeasConfig(root=str(tmp_path / "cifar-100"), runs=str(tmp_path), steps=10, width=4, episodes=2)
    for idea in ideas.IDEAS:
        if idea.title == ideas.SECOND or idea.way:
            folder = ideas._folder(idea, config)
            assert ideas.train(idea, folder, config) == 0
            assert (folder / "model" / "model.safetensors").is_file()
    assert (tmp_path / idea_trainings.TEACHER).is_dir()
