"""Evaluation: the same numbers for any number of processes, and no trace left behind."""

from __future__ import annotations

import os
import signal

import pytest
import torch

from fewshot_film.episodes import Episode, EpisodeSampler
from fewshot_film.errors import ProcessLostError
from fewshot_film.learners.evaluation import episode_accuracy, evaluate
from tests.learners.small import noisy_classes, small_learner

SAMPLER = EpisodeSampler(noisy_classes(), way=5, shot=1, query=4, seed=3, split="test")


def test_values_are_those_of_the_episodes_one_by_one():
    learner = small_learner()
    expected = [episode_accuracy(learner.eval(), SAMPLER[index]) for index in range(4)]
    assert evaluate(learner, SAMPLER, 4) == expected
    assert len(set(expected)) > 1


@pytest.mark.slow
def test_two_processes_give_the_same_numbers():
    learner = small_learner()
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
