from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from fewshot_film.data import decode
from fewshot_film.data.arrays import ArraySource
from fewshot_film.episodes import (
    EpisodeListError,
    EpisodeSampler,
    MetaDatasetSampler,
    fingerprint,
    load_episodes,
    save_episodes,
)
from tests.data.layouts import array_source
from tests.processes import result_of

SIZES = [8, 9, 10, 8, 8, 12]
IMAGES = decode(array_source(SIZES), 4, 1)


def samplers(images=IMAGES):
    return {"5-way": EpisodeSampler(images, 5, 1, 3, seed=1, split="test"), "variable": MetaDatasetSampler(images)}


def equal(one, other) -> bool:
    names = ("classes", "support", "support_labels", "query", "query_labels")
    return all(np.array_equal(getattr(one, name), getattr(other, name)) for name in names)


def test_saved_and_loaded_the_episodes_are_the_same(tmp_path: Path):
    digest = save_episodes(tmp_path / "folder" / "list.json", samplers(), 7)
    loaded = load_episodes(tmp_path / "folder" / "list.json", IMAGES)
    assert list(loaded) == ["5-way", "variable"]
    for name, sampler in samplers().items():
        assert len(loaded[name]) == 7
        assert all(equal(loaded[name].plan(index), sampler.plan(index)) for index in range(7))
        assert fingerprint(loaded[name], 7) == fingerprint(sampler, 7)
        assert torch.equal(loaded[name][3].query_images, sampler[3].query_images)
    assert json.loads((tmp_path / "folder" / "list.json").read_text())["sha256"] == digest
    assert digest == save_episodes(tmp_path / "again.json", samplers(), 7)


def test_more_pictures_in_another_order_and_size_change_nothing(tmp_path: Path, caplog):
    save_episodes(tmp_path / "list.json", samplers(), 4)
    source = array_source(SIZES)
    pictures = np.stack([np.asarray(source.load(index)) for index in range(len(source))])
    more = decode(_Renamed(source, pictures), 6, 3)
    caplog.set_level("INFO")
    loaded = load_episodes(tmp_path / "list.json", more)["5-way"]
    assert "was made of images of 4 x 4 pixels with 1 channels: their content is not compared" in caplog.text
    for index in range(4):
        one, other = samplers()["5-way"][index], loaded[index]
        assert one.query_files == other.query_files
        assert one.class_names == other.class_names
        assert torch.equal(one.support_labels, other.support_labels)


class _Renamed(ArraySource):
    """The classes in the opposite order, after one that is new."""

    def __init__(self, source, pictures):
        names = ["new", *reversed(source.class_names)]
        labels = len(source.class_names) - source.labels
        extra = np.full((1, *pictures.shape[1:]), 7, np.uint8)
        super().__init__("noise", names, np.concatenate([[0], labels]), np.concatenate([extra, pictures]))
        self.files = ["extra", *source.files]


def test_another_process_replays_them(tmp_path: Path):
    save_episodes(tmp_path / "list.json", samplers(), 5)
    assert result_of(_replayed, tmp_path / "list.json") == fingerprint(samplers()["variable"], 5)


def _replayed(file: Path) -> str:
    return fingerprint(load_episodes(file, IMAGES)["variable"], 5)


def test_it_ends(tmp_path: Path):
    save_episodes(tmp_path / "list.json", samplers(), 2)
    with pytest.raises(IndexError, match="the list has episodes 0 to 1, there is no 2"):
        load_episodes(tmp_path / "list.json", IMAGES)["5-way"][2]


def change(path: Path, **entries) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **entries}))


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ({"source": "other"}, r"was changed after it was written \(its SHA-256 differs\); download the file again"),
        ({"sha256": "0" * 64}, "was changed after it was written"),
        ({"version": 2}, "has list format 2, this version reads 1"),
        ({"format": "other"}, "is no episode list; expected one that this project wrote"),
    ],
)
def test_a_changed_file_is_refused(entries, message, tmp_path: Path):
    path = tmp_path / "list.json"
    save_episodes(path, samplers(), 2)
    change(path, **entries)
    with pytest.raises(EpisodeListError, match=message):
        load_episodes(path, IMAGES)


def test_a_file_of_another_kind(tmp_path: Path):
    (tmp_path / "list.json").write_text("{")
    with pytest.raises(EpisodeListError, match="is no episode list"):
        load_episodes(tmp_path / "list.json", IMAGES)
    with pytest.raises(FileNotFoundError):
        load_episodes(tmp_path / "nowhere.json", IMAGES)


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (decode(array_source([8, 8, 8, 8, 8, 8]), 4, 1), r"[0-9]+ of [0-9]+ .*, first '"),
        (decode(array_source(SIZES, seed=1), 4, 1), r"\d+ of \d+ differ, or are decoded otherwise, .*open the source"),
    ],
)
def test_other_pictures_are_refused(images, message, tmp_path: Path):
    save_episodes(tmp_path / "list.json", samplers(), 3)
    with pytest.raises(EpisodeListError, match=message):
        load_episodes(tmp_path / "list.json", images)


def test_a_picture_that_is_gone_or_moved(tmp_path: Path):
    save_episodes(tmp_path / "list.json", samplers(), 3)
    fewer = IMAGES.select(IMAGES.class_names[1:])
    with pytest.raises(EpisodeListError, match="are not there, first"):
        load_episodes(tmp_path / "list.json", fewer)
    source = array_source(SIZES)
    source.class_names = (*source.class_names[:4], "class 5", "class 4")
    with pytest.raises(EpisodeListError, match="lie in another class, first"):
        load_episodes(tmp_path / "list.json", decode(source, 4, 1))


def test_one_set_of_pictures_at_a_time(tmp_path: Path):
    other = decode(array_source(SIZES), 4, 1)
    mixed = {"one": EpisodeSampler(IMAGES, 2, 1, 1), "other": EpisodeSampler(other, 2, 1, 1)}
    with pytest.raises(ValueError, match="2 sets of images and 3 episodes; expected 1 and at least 1"):
        save_episodes(tmp_path / "list.json", mixed, 3)
    with pytest.raises(ValueError, match="0 sets of images"):
        save_episodes(tmp_path / "list.json", {}, 3)
    with pytest.raises(ValueError, match="1 sets of images and 0 episodes"):
        save_episodes(tmp_path / "list.json", samplers(), 0)
