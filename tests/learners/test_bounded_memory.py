"""Gradients in bounded memory: exact ones are those of all images at once, LITE's are right on average."""

from __future__ import annotations

import dataclasses
import itertools

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from fewshot_film.config.learners import LearnerConfig, PrototypesConfig
from fewshot_film.config.memory import MemoryConfig
from fewshot_film.episodes import Episode, EpisodeSampler
from fewshot_film.errors import ConfigError
from fewshot_film.learners import PrototypicalNetworks, film_learner
from fewshot_film.learners.bounded_memory import activation_bytes, draw_subset, in_chunks, through_subset
from fewshot_film.learners.film_learner import FilmLearner
from fewshot_film.learners.learner import Learner
from fewshot_film.learners.objectives import MetaTraining
from fewshot_film.learners.set_encoder import SetEncoder
from tests.learners.small import SMALL, noisy_classes, small_learner
from tests.learners.test_simple_cnaps import wide_awake

EPISODE = EpisodeSampler(noisy_classes(), way=3, shot=2, query=3)[0]


def gradients(learner: FilmLearner, memory: MemoryConfig | None, dtype=torch.double) -> dict[str, torch.Tensor]:
    """Gradient of one episode's loss by every parameter, and the loss."""
    module = MetaTraining(learner, memory).to(dtype).train()
    episode = EPISODE if dtype is torch.float32 else _double(EPISODE)
    module.zero_grad()
    logits = learner(episode)
    loss = F.cross_entropy(logits, episode.query_labels) + learner.penalty(episode)
    loss.backward()
    found = {name: each.grad.clone() for name, each in learner.named_parameters() if each.grad is not None}
    return found | {"loss": loss.detach()}


def _double(episode: Episode) -> Episode:
    images = {"support_images": episode.support_images.double(), "query_images": episode.query_images.double()}
    return dataclasses.replace(episode, **images)


def learner_of(adaptation: str, *, train_backbone: bool = False) -> FilmLearner:
    learner = small_learner(adaptation=adaptation, train_backbone=train_backbone)
    return learner if adaptation == "none" else wide_awake(learner)


@pytest.mark.parametrize("chunk", [1, 4, 100])
@pytest.mark.parametrize(
    ("adaptation", "train_backbone"), [("film", False), ("film", True), ("film+ar", False), ("none", True)]
)
def test_exact_equals_full(adaptation, train_backbone, chunk):
    learner = learner_of(adaptation, train_backbone=train_backbone)
    full = gradients(learner, None)
    exact = gradients(learner, MemoryConfig("exact", chunk=chunk))
    assert full.keys() == exact.keys()
    assert len(full) > 10
    for name, expected in full.items():
        torch.testing.assert_close(exact[name], expected, rtol=1e-10, atol=1e-12, msg=name)


def test_exact_equals_full_in_single_precision():
    learner = learner_of("film")
    full = gradients(learner, None, torch.float32)
    exact = gradients(learner, MemoryConfig("exact", chunk=4), torch.float32)
    scale = max(float(value.abs().max()) for name, value in full.items() if name != "loss")
    for name, expected in full.items():
        torch.testing.assert_close(exact[name], expected, rtol=1e-4, atol=1e-6 * max(scale, 1), msg=name)


def test_lite_is_unbiased(monkeypatch):
    """The mean over every subset of the support set is the exact gradient."""
    learner = learner_of("film", train_backbone=True)
    full = gradients(learner, None)
    subsets = list(itertools.combinations(range(6), 2))
    found = []
    for subset in subsets:
        monkeypatch.setattr(film_learner, "draw_subset", lambda *_, chosen=subset: torch.tensor(chosen))
        found.append(gradients(learner, MemoryConfig("lite", lite_support=2)))
    for name, expected in full.items():
        estimates = torch.stack([each[name] for each in found])
        torch.testing.assert_close(estimates.mean(0), expected, rtol=1e-9, atol=1e-12, msg=name)
        if name != "loss" and expected.any():
            assert float(estimates.std(0).max()) > 0, name


def test_lite_with_all_of_the_support_is_exact():
    learner = learner_of("film")
    full, lite = gradients(learner, None), gradients(learner, MemoryConfig("lite", lite_support=6))
    for name, expected in full.items():
        assert torch.equal(lite[name], expected), name


def test_subsets_are_drawn_evenly():
    torch.manual_seed(0)
    counts = torch.zeros(5)
    for _ in range(600):
        subset = draw_subset(5, 2, torch.device("cpu"))
        assert len(subset.unique()) == 2
        counts[subset] += 1
    assert (counts / 600 - 0.4).abs().max() < 0.08  # four standard deviations
    assert sorted(draw_subset(3, 40, torch.device("cpu")).tolist()) == [0, 1, 2]


def test_gradient_through_a_subset_by_hand():
    x = torch.tensor([[1.0], [2.0], [3.0], [4.0]], requires_grad=True)
    out = through_subset(lambda rows: rows**2, x, torch.tensor([3, 1]), chunk=1)
    assert out.tolist() == [[1.0], [4.0], [9.0], [16.0]]
    out.sum().backward()
    assert x.grad.tolist() == [[0.0], [2 * 2 * 2.0], [0.0], [2 * 2 * 4.0]]


def test_activations_are_not_kept():
    network = nn.Sequential(*(module for _ in range(5) for module in (nn.Linear(8, 8), nn.Tanh())))
    x = torch.randn(40, 8)
    kept = activation_bytes(network, x)
    assert kept == 5 * x.nbytes  # every tanh's output; the last is the result
    assert activation_bytes(lambda rows: in_chunks(network, rows, 4), x) == 0


@pytest.mark.parametrize("chunk", [1, 3, 4, 9])
def test_set_encoder_in_chunks_has_the_statistics_of_the_set(chunk):
    torch.manual_seed(0)
    encoder = SetEncoder(channels=1, dim=4, num_layers=2).double()
    for parameter in encoder.parameters():
        nn.init.normal_(parameter, std=0.5)
    images = torch.rand(9, 1, 8, 8, dtype=torch.double)
    images[:3] += 5  # chunks that differ much from each other
    expected = encoder(images)
    expected.square().sum().backward()
    gradients_of_all = [parameter.grad.clone() for parameter in encoder.parameters()]
    encoder.zero_grad()
    code = encoder(images, chunk)
    code.square().sum().backward()
    torch.testing.assert_close(code, expected, rtol=1e-10, atol=1e-12)
    for parameter, gradient in zip(encoder.parameters(), gradients_of_all, strict=True):
        torch.testing.assert_close(parameter.grad, gradient, rtol=1e-9, atol=1e-11)


def test_a_budget_decides_the_chunk():
    learner = small_learner()
    small, large = learner.images_within(1), learner.images_within(4)
    assert 1 <= small < large <= 4 * small + 4
    MetaTraining(learner, MemoryConfig("exact", budget_mib=4))
    assert learner.gradient_chunk == large
    MetaTraining(learner, MemoryConfig())
    assert learner.gradient_chunk is None


def test_the_budget_holds():
    """What autograd keeps of the largest chunk is about half of the budget: the other half is for gradients."""
    learner = small_learner()
    images = torch.rand(learner.images_within(2), 1, 16, 16).contiguous(memory_format=torch.channels_last)
    modulations = learner.modulations(images)
    kept = activation_bytes(lambda rows: learner.features(rows, modulations), images)
    kept = max(kept, activation_bytes(learner.set_encoder, images))
    assert 0.8 * 2**20 <= kept <= 1.05 * 2**20


def test_a_budget_below_one_image():
    learner = PrototypicalNetworks(PrototypesConfig(train_backbone=True))
    with pytest.raises(ConfigError, match=r"memory.budget_mib is 1; expected at least \d+, which the activations"):
        MetaTraining(learner, MemoryConfig("exact", budget_mib=1))


def test_other_learners_need_full_memory():
    class Other(Learner):
        def adapt(self, support_images, support_labels): ...

    learner = Other(LearnerConfig("other", backbone=SMALL.backbone))
    MetaTraining(learner, MemoryConfig())
    with pytest.raises(ConfigError, match=r"memory.mode is exact; expected full for other"):
        MetaTraining(learner, MemoryConfig("exact"))


@pytest.mark.parametrize(("name", "value", "least"), [("chunk", 0, 1), ("budget_mib", -1, 0), ("lite_support", 0, 1)])
def test_settings_out_of_range(name, value, least):
    with pytest.raises(ConfigError, match=f"memory.{name} is {value}; expected at least {least}"):
        MemoryConfig(**{name: value})
