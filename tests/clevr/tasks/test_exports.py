"""Tasks as gyms, PyTorch and Hugging Face read them."""

from __future__ import annotations

import json
import sys

import pytest
import torch
from torch.utils.data import DataLoader

from clevr.tasks import TaskDataset, TaskError, TaskStream, create_dataset, make, to_hugging_face
from fewshot_film.extras import MissingExtraError

SMALL = {"width": 32, "height": 24}


@pytest.fixture(scope="module")
def dataset() -> TaskDataset:
    return create_dataset("matching", size=5, seed=3, difficulty=1, **SMALL)


def test_entries_are_what_gyms_have(dataset: TaskDataset):
    entries = list(dataset)
    assert len(entries) == len(dataset) == 5
    for index, entry in enumerate(entries):
        item = dataset.series[index]
        assert entry.keys() == {"question", "answer", "image", "metadata"}
        assert (entry["question"], entry["answer"]) == (item.prompt, item.answer)
        assert (entry["metadata"]["source_dataset"], entry["metadata"]["source_index"]) == ("matching", index)
        assert torch.equal(entry["image"], item.image)


def test_answers_are_scored_even_after_json(dataset: TaskDataset):
    entry = dataset[2]
    read = json.loads(json.dumps({key: value for key, value in entry.items() if key != "image"}))
    other = {"first": "second", "second": "first"}[entry["answer"]]
    for one in (entry, read):
        assert dataset.score_answer(f"It must be the {entry['answer']} image.", one) == 1.0
        assert dataset.score_answer(other, one) == 0.0
        assert dataset.score_answer(None, one) == 0.0


def test_a_loader_makes_batches(dataset: TaskDataset):
    batches = list(DataLoader(dataset, batch_size=3, collate_fn=dataset.collate))
    assert [len(batch["question"]) for batch in batches] == [3, 2]
    assert batches[0]["image"].shape == (3, 3, 24, 72)
    assert torch.equal(batches[1]["image"][1], dataset[4]["image"])


@pytest.mark.parametrize("num_workers", [0, 2])
def test_workers_and_processes_share_a_stream(num_workers: int):
    series = make("counting", difficulty=1, size=11, **SMALL)
    seen = []
    for rank in range(2):
        loader = DataLoader(
            TaskStream(series, rank=rank, world_size=2),
            batch_size=None,
            num_workers=num_workers,
            multiprocessing_context="spawn" if num_workers else None,
        )
        seen += [entry["metadata"]["source_index"] for entry in loader]
    assert sorted(seen) == list(range(11))


def test_a_stream_may_be_endless():
    stream = iter(TaskStream(make("counting", difficulty=1, **SMALL), rank=1, world_size=3))
    assert [next(stream)["metadata"]["source_index"] for _ in range(3)] == [1, 4, 7]


@pytest.mark.parametrize(("rank", "world_size"), [(2, 2), (-1, 2), (0, 0)])
def test_a_rank_that_is_none_is_refused(rank: int, world_size: int):
    with pytest.raises(TaskError, match=f"rank {rank} of {world_size} processes; expected 0 <= rank < world_size"):
        TaskStream(make("counting"), rank=rank, world_size=world_size)


def test_an_endless_series_is_no_map():
    with pytest.raises(
        TaskError, match=r"an endless series has no length; give make\(..., size=...\), or use TaskStream"
    ):
        TaskDataset(make("counting"))


def test_without_the_library_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(MissingExtraError, match=r"needs the extra `datasets` .*pip install 'fewshot-film\[datasets\]'"):
        to_hugging_face(make("counting"))


def test_a_hugging_face_stream():
    pytest.importorskip("datasets", reason="DATASETS IS NOT INSTALLED: the stream of Hugging Face goes untested")
    series = make("counting", difficulty=1, size=7, **SMALL)
    rows = list(to_hugging_face(series, num_shards=3))
    indices = [json.loads(row["metadata"])["source_index"] for row in rows]
    assert sorted(indices) == list(range(7))
    row, item = rows[indices.index(4)], series[4]
    assert (row["question"], row["answer"], row["answer_type"]) == (item.prompt, item.answer, "number")
    assert row["image"].size == (32, 24)
    endless = to_hugging_face(make("counting", difficulty=1, **SMALL), num_shards=2)
    assert len(list(endless.take(5))) == 5
