"""Batches by number, with and without workers."""

from __future__ import annotations

import os
import signal

import pytest
import torch

from fewshot_film.errors import ProcessLostError, UserError
from fewshot_film.run.workers import loaded
from tests.run.toy import ToyBatches

# A warning of torch's, on a machine with one core.
pytestmark = pytest.mark.filterwarnings("ignore:This DataLoader will create 2 worker processes")


@pytest.mark.parametrize("num_workers", [0, 2])
def test_in_order_and_as_they_are(num_workers):
    class Plain:
        def __getitem__(self, index):
            return {"index": index, "nested": [index, (1.5, "text")]}

    before = torch.get_rng_state()
    with loaded(Plain(), range(3, 12, 4), num_workers) as batches:
        assert list(batches) == [{"index": i, "nested": [i, (1.5, "text")]} for i in (3, 7, 11)]
    assert torch.equal(torch.get_rng_state(), before)


def test_workers_make_the_same_bits():
    with loaded(ToyBatches(), range(20), 2) as batches:
        for index, batch in enumerate(batches):
            assert all(torch.equal(batch[name], value) for name, value in ToyBatches()[index].items())


@pytest.mark.parametrize("num_workers", [0, 1])
@pytest.mark.parametrize("error", [UserError("picture 3 is empty"), FileNotFoundError(2, "No such file", "a.png")])
def test_an_error_for_the_user_arrives_as_it_is(num_workers, error):
    class Bad:
        def __getitem__(self, index):
            raise error

    with loaded(Bad(), range(3), num_workers) as batches, pytest.raises(type(error)) as caught:
        next(batches)
    assert str(caught.value) == str(error)


def test_a_fault_in_a_worker_keeps_its_traceback():
    class Bad:
        def __getitem__(self, index):
            return {}["missing"]

    with loaded(Bad(), range(3), 1) as batches, pytest.raises(KeyError, match="in __getitem__"):
        next(batches)


def test_nothing_is_forked_without_workers_or_batches():
    class Who:
        def __getitem__(self, index):
            return os.getpid()

    with loaded(Who(), range(2), 0) as batches:
        assert set(batches) == {os.getpid()}
    with loaded(Who(), range(0), 2) as batches:
        assert list(batches) == []


def test_other_runtime_errors_pass():
    class Bad:
        def __getitem__(self, index):
            raise RuntimeError("something else")

    with pytest.raises(RuntimeError, match="something else"), loaded(Bad(), range(1), 0) as batches:
        next(batches)


class Suicidal:
    """The worker dies while it makes batch 5."""

    def __getitem__(self, index):
        if index == 5:
            os.kill(os.getpid(), signal.SIGKILL)
        return torch.ones(3)


# what torch does when a read fails, opening files to see whether there are too many, may leave one to be collected
@pytest.mark.filterwarnings("ignore:Exception ignored in.*FileIO:pytest.PytestUnraisableExceptionWarning")
def test_a_dead_worker_is_told():
    message = r"a data loading process died \(.*\); start the same command again with --resume"
    with pytest.raises(ProcessLostError, match=message), loaded(Suicidal(), range(20), 1) as batches:
        list(batches)
