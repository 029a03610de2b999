"""Checkpoints: whole or refused."""

from __future__ import annotations

import os
import pickle
import random
from dataclasses import replace
from pathlib import Path
from typing import IO

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fewshot_film.errors import CheckpointError
from fewshot_film.run.checkpoint import (
    Checkpoint,
    differences,
    load_checkpoint,
    load_weights,
    save_checkpoint,
)
from fewshot_film.run.progress import Progress
from tests.run.toy import make_toy


@pytest.fixture(scope="module")
def example() -> Checkpoint:
    toy = make_toy()
    optimizer = torch.optim.Adam(toy.parameters())
    toy({"x": torch.ones(8, 4), "y": torch.ones(8)})["loss"].backward()
    optimizer.step()
    progress = Progress(step=3, best=0.5, best_step=2, window={"loss": 1.25}, window_steps=1)
    return Checkpoint({"loop": {"steps": 5}, "note": None}, progress, toy.state_dict(), optimizer.state_dict())


@pytest.fixture(scope="module")
def written(example, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("written") / "last.ckpt"
    save_checkpoint(path, example)
    return path


def test_comes_back_as_it_was(example, written):
    found = load_checkpoint(written)
    assert found.config == example.config
    assert found.progress == example.progress
    assert all(torch.equal(found.module[name], value) for name, value in example.module.items())
    for index, state in example.optimizer["state"].items():
        assert all(torch.equal(found.optimizer["state"][index][name], value) for name, value in state.items())


def test_is_an_ordinary_torch_file(written):
    assert torch.load(written, weights_only=True)["format"] == "fewshot-film checkpoint"


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_one_flipped_byte_anywhere_is_noticed(data, written, tmp_path):
    content = bytearray(written.read_bytes())
    position = data.draw(st.integers(0, len(content) - 1))
    content[position] ^= data.draw(st.integers(1, 255))
    damaged = tmp_path / "damaged.ckpt"
    damaged.write_bytes(content)
    with pytest.raises(CheckpointError, match=r"is damaged: its checksum does not match|was cut short"):
        load_checkpoint(damaged)


@pytest.mark.parametrize("share", [0.0, 0.001, 0.1, 0.5, 0.9, 0.999])
def test_a_cut_file_is_noticed(share, written, tmp_path):
    content = written.read_bytes()
    cut = tmp_path / "cut.ckpt"
    cut.write_bytes(content[: int(share * len(content))])
    with pytest.raises(CheckpointError, match=r"cut.ckpt was cut short, or is not a checkpoint"):
        load_checkpoint(cut)


def test_a_longer_file_is_noticed(written, tmp_path):
    longer = tmp_path / "longer.ckpt"
    longer.write_bytes(written.read_bytes() + b"x")
    with pytest.raises(CheckpointError, match="cut short, or is not a checkpoint"):
        load_checkpoint(longer)


def test_no_file(tmp_path):
    with pytest.raises(CheckpointError, match=r"no checkpoint .*last.ckpt; expected a file that a training run wrote"):
        load_checkpoint(tmp_path / "last.ckpt")


def sealed(path: Path, content: object) -> Path:
    """A file with a right seal around any content, as somebody malicious would make it."""
    save = torch.save
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch, "save", lambda _, file: save(content, file))
        save_checkpoint(path, Checkpoint({}, Progress(), {}, {}))
    return path


class Malicious:
    """Makes a file when it is unpickled."""

    def __init__(self, proof: Path) -> None:
        self.proof = proof

    def __reduce__(self):
        return os.mkdir, (str(self.proof),)


def test_a_malicious_pickle_is_not_run(tmp_path):
    proof = tmp_path / "proof"
    path = sealed(tmp_path / "evil.ckpt", {"format": "fewshot-film checkpoint", "module": Malicious(proof)})
    with pytest.raises(CheckpointError, match="more than tensors and plain values, so it was not loaded and nothing"):
        load_checkpoint(path)
    assert not proof.exists()
    torch.load(path, weights_only=False)
    assert proof.exists(), "the file was not malicious after all"


def test_a_plain_pickle_is_not_run(tmp_path):
    proof = tmp_path / "proof"
    path = tmp_path / "evil.ckpt"
    path.write_bytes(pickle.dumps(Malicious(proof)) + b"." * 200)
    with pytest.raises(CheckpointError, match="is not a checkpoint"):
        load_checkpoint(path)
    assert not proof.exists()


@pytest.mark.parametrize("content", [{"state_dict": {}}, [1, 2], torch.ones(3)])
def test_something_else(content, tmp_path):
    with pytest.raises(CheckpointError, match="is not a training checkpoint; expected one that this project wrote"):
        load_checkpoint(sealed(tmp_path / "other.ckpt", content))


def test_another_version(tmp_path):
    path = sealed(tmp_path / "old.ckpt", {"format": "fewshot-film checkpoint", "version": 0})
    with pytest.raises(CheckpointError, match="has checkpoint format 0, this version reads 1; use the version"):
        load_checkpoint(path)


def test_weights_of_another_network(written):
    with pytest.raises(CheckpointError) as caught:
        load_weights(make_toy(width=8, norm=False), written)
    assert "is of another network: with unknown layers.1.weight, layers.1.bias, layers.1.running_mean" in str(
        caught.value
    )
    assert "layers.0.weight is (16, 4), expected (8, 4)" in str(caught.value)
    toy = make_toy()
    toy.extra = torch.nn.Linear(1, 1)
    with pytest.raises(CheckpointError, match=r"without extra\.weight, extra\.bias"):
        load_weights(toy, written)


def test_weights_come_back(written, example):
    toy = make_toy(seed=1)
    assert load_weights(toy, written) == example.progress
    assert all(torch.equal(toy.state_dict()[name], value) for name, value in example.module.items())


def test_an_error_while_writing_leaves_the_old_file(written, example, tmp_path, monkeypatch):
    path = tmp_path / "last.ckpt"
    save_checkpoint(path, example)
    before = path.read_bytes()

    def end_halfway(_: object, file: IO[bytes]) -> None:
        file.write(before[: len(before) // 2])
        raise ZeroDivisionError

    monkeypatch.setattr(torch, "save", end_halfway)
    with pytest.raises(ZeroDivisionError):
        save_checkpoint(path, replace(example, config={}))
    assert path.read_bytes() == before
    assert [entry.name for entry in tmp_path.iterdir()] == ["last.ckpt"]


@pytest.mark.parametrize("numbers", [10, 1_000_000])
def test_a_full_disk_leaves_the_old_file(numbers, example, tmp_path, full_disk):
    path = tmp_path / "last.ckpt"
    save_checkpoint(path, example)
    larger = replace(example, module={"weight": torch.zeros(numbers)})
    message = r"last.ckpt could not be written: File too large; the previous file is unchanged. Fix the cause"
    with full_disk(1000), pytest.raises(CheckpointError, match=message):
        save_checkpoint(path, larger)
    assert load_checkpoint(path).progress == example.progress
    assert [entry.name for entry in tmp_path.iterdir()] == ["last.ckpt"]


def test_saving_twice_gives_the_same_tensors_from_any_state(example, tmp_path):
    draw = random.Random(0)
    for number in range(3):
        progress = Progress(step=draw.randrange(1000), seconds=draw.random())
        path = tmp_path / f"{number}.ckpt"
        save_checkpoint(path, replace(example, progress=progress))
        assert load_checkpoint(path).progress == progress


def test_differences_name_both_values():
    old = {
        "loop": {"schedule": "cosine", "steps": 5, "num_workers": 0},
        "data": {"root": "a", "size": 84},
        "gone": 1,
    }
    new = {
        "loop": {"schedule": "cosine", "steps": 6, "num_workers": 4},
        "data": {"root": "b", "size": 32},
        "new": None,
    }
    assert differences(old, new) == [
        "data.root: 'a' -> 'b'",
        "data.size: 84 -> 32",
        "gone: 1 -> 'not set'",
        "loop.steps: 5 -> 6",
        "new: 'not set' -> None",
    ]
    assert "data.root: 'a' -> 'b'" not in differences(old, new, {"data.root"})


def test_steps_may_differ_where_the_learning_rate_is_constant():
    old = {"loop": {"schedule": "constant", "steps": 5}}
    assert differences(old, {"loop": {"schedule": "constant", "steps": 6}}) == []
    assert differences(old, {"loop": {"schedule": "cosine", "steps": 5}}) == ["loop.schedule: 'constant' -> 'cosine'"]


def test_the_end_may_be_moved_until_the_cooldown_begins():
    old = {"loop": {"schedule": "constant", "steps": 10, "cooldown_steps": 4}}
    new = {"loop": {"schedule": "constant", "steps": 20, "cooldown_steps": 5}}
    assert differences(old, new, step=6) == []
    assert differences(old, new, step=7) == ["loop.cooldown_steps: 4 -> 5", "loop.steps: 10 -> 20"]
    assert differences(new, old, step=7) == ["loop.cooldown_steps: 5 -> 4", "loop.steps: 20 -> 10"]


def test_settings_that_an_earlier_version_did_not_have_count_as_their_defaults():
    assert differences({"a": 1}, {"a": 1, "b": {"c": 2}}, defaults={"b": {"c": 2}}) == []
    assert differences({"a": 1}, {"a": 1, "b": {"c": 3}}, defaults={"b": {"c": 2}}) == ["b.c: 2 -> 3"]
    assert differences({"b": {"d": 1}}, {"b": {"c": 2, "d": 1}}, defaults={"b": {"c": 2, "d": 0}}) == []


def test_a_part_that_is_null_by_default():
    """What a checkpoint has beats the default, also where one is null and the other has settings of its own."""
    assert differences({"part": {"x": 1}}, {"part": {"x": 1}}, defaults={"part": None}) == []
    assert differences({}, {"part": None}, defaults={"part": None}) == []
    assert differences({}, {"part": {"x": 1}}, defaults={"part": None}) == [
        "part: None -> 'not set'",
        "part.x: 'not set' -> 1",
    ]
