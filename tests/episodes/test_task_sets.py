"""Episodes as a learn2learn task set, and a learn2learn task set as episodes."""

from __future__ import annotations

import random
from itertools import islice

import numpy as np
import pytest
import torch
from torch.utils.data import Dataset, TensorDataset

from fewshot_film.data.errors import SourceError
from fewshot_film.episodes import EpisodeSampler
from fewshot_film.episodes.task_sets import TaskSet, TaskSetEpisodes
from fewshot_film.extras import learn2learn
from tests.extras import needs_learn2learn
from tests.learners.small import noisy_classes

SAMPLER = EpisodeSampler(noisy_classes(), way=3, shot=2, query=3, seed=4)


def numbered(num_classes: int = 6, per_class: int = 5) -> TensorDataset:
    """Image ``i`` has the value ``i / 100`` everywhere; labels are 10, 11, and so on."""
    count = num_classes * per_class
    images = (torch.arange(count) / 100).view(-1, 1, 1, 1).expand(-1, 1, 4, 4)
    return TensorDataset(images, 10 + torch.arange(count) // per_class)


def library_taskset(dataset: Dataset, *, way=3, items=4, num_tasks=-1, replacement=False, remap=True):
    data = learn2learn().data
    meta = data.MetaDataset(dataset)
    transforms = [
        data.transforms.NWays(meta, way),
        data.transforms.KShots(meta, items, replacement=replacement),
        data.transforms.LoadData(meta),
        *([data.transforms.RemapLabels(meta)] if remap else []),
    ]
    return data.Taskset(meta, transforms, num_tasks)


def same(left, right) -> bool:
    return torch.equal(left.support_images, right.support_images) and torch.equal(left.query_images, right.query_images)


class TestEpisodesAsTaskSet:
    @needs_learn2learn
    def test_their_partition_finds_support_and_query(self):
        data, labels = TaskSet(SAMPLER)[5]
        (support, support_labels), (query, query_labels) = learn2learn().data.partition_task(data, labels, shots=2)
        assert torch.equal(support, SAMPLER[5].support_images)
        assert torch.equal(support_labels, SAMPLER[5].support_labels)
        assert torch.equal(query, SAMPLER[5].query_images)
        assert torch.equal(query_labels, SAMPLER[5].query_labels)

    @needs_learn2learn
    def test_their_training_loop_learns_from_it(self):
        torch.manual_seed(0)
        library = learn2learn()
        model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(256, 3))
        maml = library.algorithms.MAML(model, lr=0.05)
        right = []
        for data, labels in TaskSet(SAMPLER, num_tasks=8):
            (support, support_labels), (query, query_labels) = library.data.partition_task(data, labels, shots=2)
            fast = maml.clone()
            for _ in range(5):
                fast.adapt(torch.nn.functional.cross_entropy(fast(support), support_labels))
            right.append(library.utils.accuracy(fast(query), query_labels).item())
        assert np.mean(right) > 0.8  # chance is 1/3

    def test_a_number_a_task(self):
        tasks = TaskSet(SAMPLER, num_tasks=3)
        assert len(tasks) == len(list(tasks)) == len(list(tasks)) == 3
        for index, (data, labels) in enumerate(tasks):
            assert torch.equal(data, tasks[index][0])
            assert labels.tolist() == [0] * 5 + [1] * 5 + [2] * 5
        with pytest.raises(IndexError, match="there is no task 3; expected one of 0 to 2"):
            tasks[3]

    def test_sampling_draws_from_all_tasks(self):
        tasks = TaskSet(SAMPLER, num_tasks=2)
        drawn = {float(tasks.sample()[0].sum()) for _ in range(30)}
        assert drawn == {float(data.sum()) for data, _ in tasks}

    def test_without_an_end(self):
        tasks = TaskSet(SAMPLER)
        assert len(tasks) == 1
        for data, expected in zip(islice(tasks, 3), (tasks.sample(), tasks.sample(), tasks.sample()), strict=True):
            assert torch.equal(data[0], expected[0])

    @pytest.mark.parametrize("number", [0, -2])
    def test_numbers_out_of_range(self, number):
        with pytest.raises(ValueError, match=f"num_tasks is {number}; expected at least 1, or -1"):
            TaskSet(SAMPLER, number)


class TestTaskSetAsEpisodes:
    def test_there_and_back(self):
        episodes = TaskSetEpisodes(TaskSet(SAMPLER), shot=2, name="noisy")
        for index in (0, 7):
            assert same(episodes[index], SAMPLER[index])
            assert torch.equal(episodes[index].query_labels, SAMPLER[index].query_labels)

    @needs_learn2learn
    @pytest.mark.parametrize("num_tasks", [-1, 20])
    def test_an_episode_is_a_function_of_its_number(self, num_tasks):
        first = TaskSetEpisodes(library_taskset(numbered(), num_tasks=num_tasks), shot=1, seed=3, split="val")
        second = TaskSetEpisodes(library_taskset(numbered(), num_tasks=num_tasks), shot=1, seed=3, split="val")
        random.seed(5)
        state, torch_state = random.getstate(), torch.get_rng_state()
        forward = [first[index] for index in range(4)]
        assert random.getstate() == state
        assert torch.equal(torch.get_rng_state(), torch_state)
        random.seed(99)
        backward = [second[index] for index in (3, 2, 1, 0)][::-1]
        for left, right in zip(forward, backward, strict=True):
            assert same(left, right)
            assert left.support_files == right.support_files
        assert not same(forward[0], forward[1])
        other_split = TaskSetEpisodes(first.taskset, shot=1, seed=3, split="test")
        assert not same(other_split[0], forward[0])

    @needs_learn2learn
    @pytest.mark.parametrize("remap", [True, False])
    def test_support_and_query_are_the_items_of_a_class(self, remap):
        episode = TaskSetEpisodes(library_taskset(numbered(), remap=remap), shot=3)[2]
        assert episode.way == 3
        assert episode.support_labels.tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2]
        assert episode.query_labels.tolist() == [0, 1, 2]
        for images, labels, files in (
            (episode.support_images, episode.support_labels, episode.support_files),
            (episode.query_images, episode.query_labels, episode.query_files),
        ):
            numbers = (100 * images[:, 0, 0, 0]).round().long()
            assert files == tuple(f"learn2learn/{number}" for number in numbers.tolist())
            classes = numbers // 5
            assert all(len(classes[labels == label].unique()) == 1 for label in range(3))
        if not remap:
            assert all(int(name) >= 10 for name in episode.class_names)
        assert not set(episode.support_files) & set(episode.query_files)

    @needs_learn2learn
    def test_bytes_become_shares(self):
        images = torch.arange(40, dtype=torch.uint8).view(-1, 1, 1, 1).expand(-1, 1, 4, 4)
        episode = TaskSetEpisodes(library_taskset(TensorDataset(images, torch.arange(40) // 5)), shot=1)[0]
        assert episode.query_images.dtype == torch.float32
        assert float(episode.query_images.max()) <= 39 / 255

    @needs_learn2learn
    def test_other_values_need_a_function(self):
        dataset = TensorDataset(torch.randn(30, 1, 4, 4), torch.arange(30) // 5)
        with pytest.raises(SourceError, match=r"float32 of shape \(12, 1, 4, 4\) from -\d.*give a function to_images"):
            TaskSetEpisodes(library_taskset(dataset), shot=1)[0]
        episodes = TaskSetEpisodes(library_taskset(dataset), shot=1, to_images=torch.sigmoid)
        assert 0 < float(episodes[0].query_images.min()) < float(episodes[0].query_images.max()) < 1

    @needs_learn2learn
    def test_nothing_left_for_query(self):
        with pytest.raises(SourceError, match=r"a class has 4 images in a task, of which 4 .* expected at least 5"):
            TaskSetEpisodes(library_taskset(numbered()), shot=4)[0]

    @needs_learn2learn
    def test_one_picture_in_support_and_query(self):
        drawn = library_taskset(numbered(per_class=2), items=6, replacement=True)
        with pytest.raises(SourceError, match=r"holds one item twice.*draw without replacement"):
            TaskSetEpisodes(drawn, shot=3)[0]

    def test_numbers_out_of_range(self):
        with pytest.raises(ValueError, match="shot is 0; expected at least 1"):
            TaskSetEpisodes(TaskSet(SAMPLER), shot=0)
        with pytest.raises(IndexError, match="numbered from 0, got -1"):
            TaskSetEpisodes(TaskSet(SAMPLER), shot=1)[-1]


@needs_learn2learn
@pytest.mark.parametrize(("settings", "message"), [
    ({"way": 9}, "no task can be drawn: the data set has 6 classes, and NWays asks for 9; lower it, or add classes"),
    ({"items": 6}, "KShots asks for 6 images of a class, and class 10 has 5, .*class 15 has 5; lower it"),
])  # fmt: skip
def test_a_task_set_with_too_little_says_what_is_missing(settings: dict[str, int], message: str) -> None:
    with pytest.raises(SourceError, match=message):
        TaskSetEpisodes(library_taskset(numbered(), **settings), shot=1)[0]
