"""Evaluation: the same numbers for any number of processes, and no trace left behind."""

from __future__ import annotations

import dataclasses
import os
import signal
from collections import Counter

import numpy as np
import pytest
import torch

from fewshot_film.data import ImageSet
from fewshot_film.episodes import Episode, EpisodeSampler
from fewshot_film.errors import ProcessLostError
from fewshot_film.learners import CONFIGS, DN4, LEARNERS, PrototypicalNetworks, SimpleShot, evaluation
from fewshot_film.learners.evaluation import episode_accuracy, evaluate, evaluate_rows
from fewshot_film.learners.film_learner import FilmFeatures
from fewshot_film.learners.learner import FixedFeatures, Learner
from fewshot_film.learners.task_runners import CachedFeatures, FullLearner, features_of_set, is_head_on_features
from tests.learners.small import noisy_classes, small_learner

SAMPLER = EpisodeSampler(noisy_classes(), way=5, shot=1, query=4, seed=3, split="test")


def test_values_are_those_of_the_episodes_one_by_one():
    learner = small_learner()
    expected = [episode_accuracy(learner.eval(), SAMPLER[index]) for index in range(4)]
    assert evaluate(learner, SAMPLER, 4) == expected
    assert len(set(expected)) > 1


def counted_images(monkeypatch: pytest.MonkeyPatch) -> Counter[int]:
    """How often each image was fetched since."""
    found: Counter[int] = Counter()
    get = ImageSet.get

    def counting(images: ImageSet, numbers: np.ndarray) -> torch.Tensor:
        found.update(numbers.tolist())
        return get(images, numbers)

    monkeypatch.setattr(ImageSet, "get", counting)
    return found


ON_FEATURES = sorted(
    name for name in CONFIGS if issubclass(LEARNERS[CONFIGS[name]], FixedFeatures | FilmFeatures) and name != "deep-emd"
)


@pytest.mark.parametrize("method", ON_FEATURES)
def test_logits_on_cached_features_are_those_of_the_whole_learner(method: str):
    """Every head on a backbone without FiLM; transductive ones solve several episodes at once."""
    few = {"adaptation": "none", "steps": 20, "epochs": 5}
    settings = {name: value for name, value in few.items() if hasattr(CONFIGS[method](), name)}
    learner = LEARNERS[CONFIGS[method]](CONFIGS[method](**settings), small_learner().backbone).eval()
    assert is_head_on_features(learner)
    cpu, plans = torch.device("cpu"), [SAMPLER.plan(index) for index in range(3)]
    cached = CachedFeatures(learner, features_of_set(learner, SAMPLER.images, cpu))
    whole = FullLearner(learner, SAMPLER.images, cpu)
    for plan, together, expected in zip(plans, cached.logits_of(plans), whole.logits_of(plans), strict=True):
        torch.testing.assert_close(cached.logits(plan), expected, atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(together.softmax(1), expected.softmax(1), atol=1e-4, rtol=0)


@pytest.mark.parametrize("base", [PrototypicalNetworks, SimpleShot])
@pytest.mark.parametrize("method", ["adapt", "forward"])
def test_a_subclass_with_a_way_of_its_own_is_evaluated_by_it(base: type, method: str):
    """It was measured by the head of the class above: the accuracies were not its own, without a word."""

    def first_class(self: Learner, *args: object) -> object:
        def logits(images: torch.Tensor) -> torch.Tensor:
            return -torch.arange(5.0).expand(len(images), 5)

        return logits if method == "adapt" else logits(args[0].query_images)

    learner = type("Mine", (base,), {method: first_class})(backbone=small_learner().backbone)
    assert evaluate(learner, SAMPLER, 4) == pytest.approx([0.2] * 4)


def test_the_features_of_an_image_are_computed_once_for_all_rows(monkeypatch: pytest.MonkeyPatch):
    learner = PrototypicalNetworks(backbone=small_learner().backbone)
    rows = {f"{shot}-shot": (EpisodeSampler(SAMPLER.images, 5, shot, 4), 6) for shot in (1, 3)}
    expected = {
        name: [episode_accuracy(learner.eval(), sampler[index]) for index in range(count)]
        for name, (sampler, count) in rows.items()
    }
    plans = [sampler.plan(index) for sampler, count in rows.values() for index in range(count)]
    used = {number for plan in plans for number in (*plan.support.tolist(), *plan.query.tolist())}
    fetched = counted_images(monkeypatch)
    assert dict(evaluate_rows(learner, rows)) == expected
    assert fetched == Counter(used)


def test_episodes_that_are_more_than_their_plans_are_taken_as_they_are():
    """Those of a class of one's own, here one that blackens every query."""

    class Dark(EpisodeSampler):
        def __getitem__(self, index: int) -> Episode:
            episode = super().__getitem__(index)
            return dataclasses.replace(episode, query_images=torch.zeros_like(episode.query_images))

    dark = Dark(SAMPLER.images, way=5, shot=1, query=4)
    assert evaluate(PrototypicalNetworks(backbone=small_learner().backbone), dark, 3) == pytest.approx([0.2] * 3)


def test_maps_that_would_take_too_much_memory_are_computed_anew(monkeypatch: pytest.MonkeyPatch):
    learner = DN4(backbone=small_learner().backbone)
    expected = evaluate(learner, SAMPLER, 3)
    monkeypatch.setattr(evaluation, "MAX_CACHED", 1)
    fetched = counted_images(monkeypatch)
    assert evaluate(learner, SAMPLER, 3) == expected
    assert max(fetched.values()) > 1


def test_maps_take_no_more_memory_with_more_processes(monkeypatch: pytest.MonkeyPatch):
    learner = DN4(backbone=small_learner().backbone)
    cpu, rows = torch.device("cpu"), [(SAMPLER, 2)]
    kept = evaluation._cached_features(learner, rows, evaluation._Spread(cpu, 1, False))
    assert kept is not None
    monkeypatch.setattr(evaluation, "MAX_CACHED", kept.features.nbytes)
    assert evaluation._cached_features(learner, rows, evaluation._Spread(cpu, 1, False)) is not None
    assert evaluation._cached_features(learner, rows, evaluation._Spread(cpu, 2, False)) is None


@pytest.mark.slow
@pytest.mark.parametrize("make", [small_learner, lambda: PrototypicalNetworks(backbone=small_learner().backbone)])
def test_two_processes_give_the_same_numbers(make):
    learner = make()
    assert evaluate(learner, SAMPLER, 6, processes=2) == evaluate(learner, SAMPLER, 6, processes=1)


class Deadly:
    """Episodes of which one ends its process, as the system does for want of memory."""

    def __getitem__(self, index: int) -> Episode:
        if index == 2:
            os.kill(os.getpid(), signal.SIGKILL)
        return SAMPLER[index]


@pytest.mark.slow  # tests/run/test_workers.py has the quick one
def test_a_killed_process_is_told():
    with pytest.raises(ProcessLostError, match="a worker process died"):
        evaluate(small_learner(), Deadly(), 4, processes=2)


def test_mode_threads_and_random_state_are_left_as_they_were():
    learner = small_learner().train()
    threads, state = torch.get_num_threads(), torch.get_rng_state()
    evaluate(learner, SAMPLER, 2)
    assert learner.training
    assert torch.get_num_threads() == threads
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize(("episodes", "processes"), [(0, 1), (1, -1)])
def test_numbers_out_of_range_are_refused(episodes, processes):
    with pytest.raises(ValueError, match=rf"num_episodes is {episodes} and processes {processes}; expected at least 1"):
        evaluate(small_learner(), SAMPLER, episodes, processes=processes)
