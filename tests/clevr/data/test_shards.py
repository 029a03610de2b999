"""A split in shards: equal bytes whoever wrote them, and the same reader as for CLEVR's own files."""

from __future__ import annotations

import gc
import json
import shutil
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from clevr.commands.generate import run
from clevr.config.commands import GenerateConfig
from clevr.data.errors import DataError, DataNotFoundError
from clevr.data.images import StreamedImages, load_images
from clevr.data.layout import find_split, list_splits
from clevr.data.reader import ClevrSplit
from clevr.data.shards import ShardStorage
from clevr.data.survey import survey
from clevr.data.writer import GenerateError
from tests.clevr.data.builders import a_question, write_json

webdataset = pytest.importorskip("webdataset")


def a_config(out: Path, **changes: Any) -> GenerateConfig:
    settings: dict[str, Any] = {"split": "val", "scenes": 5, "width": 24, "height": 16, "chunk": 2, "workers": 1}
    return GenerateConfig(out=out, **{"shards": True, "questions_per_scene": 3, **settings, **changes})


def content(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def sharded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("sharded")
    run(a_config(root))
    return root


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("plain")
    run(a_config(root, shards=False))
    return root


def test_files_and_index(sharded: Path) -> None:
    names = [f"shards/val/val-00000{number}.tar" for number in range(3)]
    assert sorted(content(sharded)) == ["shards/val/index.json", *names]
    index = json.loads((sharded / "shards/val/index.json").read_text(encoding="utf-8"))
    assert [shard["nsamples"] for shard in index["shardlist"]] == [2, 2, 1]
    assert index["info"]["generator"]["chunk"] == 2


def test_headers_tell_neither_time_nor_user(sharded: Path) -> None:
    with tarfile.open(sharded / "shards/val/val-000000.tar") as tar:
        heads = {(one.mtime, one.uid, one.gid, one.uname, one.gname, one.mode) for one in tar}
        assert [one.name for one in tar][:3] == [
            f"CLEVR_val_000000.{part}" for part in ("png", "questions.json", "scene.json")
        ]
    assert heads == {(0, 0, 0, "", "", 0o644)}


def test_the_same_records_and_images_as_without_shards(sharded: Path, plain: Path) -> None:
    ours, theirs = ClevrSplit.open(sharded, "val"), ClevrSplit.open(plain, "val")
    assert list(ours.questions()) == list(theirs.questions())
    assert list(ours.scenes()) == list(theirs.scenes())
    assert ours.images == theirs.images
    for name in sorted(ours.images):
        assert ours.load_image(name).tobytes() == theirs.load_image(name).tobytes()
    assert (found := survey(ours)).problems == []
    assert (found.num_scenes, found.num_questions, found.num_executed) == (5, 15, 15)
    assert list_splits(sharded) == list_splits(plain) == ["val"]


def test_streamed_images_are_the_loaded_ones(sharded: Path, plain: Path, tmp_path: Path) -> None:
    names = sorted(ClevrSplit.open(plain, "val").images)
    streamed = StreamedImages(ClevrSplit.open(sharded, "val"), names, 12, 9)
    loaded = load_images(ClevrSplit.open(plain, "val"), names, 12, 9, tmp_path)
    assert streamed.shape == loaded.shape
    for numbers in ([4, 0, 3], [], [1]):
        assert np.array_equal(streamed[np.array(numbers, np.int64)], loaded[np.array(numbers, np.int64)])


def test_questions_of_clevr_humans_beside_the_shards(sharded: Path, tmp_path: Path) -> None:
    shutil.copytree(sharded, tmp_path / "data")
    write_json(tmp_path / "data" / "CLEVR-Humans-val.json", {"questions": [a_question(question="Is it so?")]})
    questions = ClevrSplit.open(tmp_path / "data", "val", humans=True).questions()
    assert [question.question for question in questions] == ["Is it so?"]


def test_a_table_is_kept_until_the_shards_change(sharded: Path, tmp_path: Path) -> None:
    split = ClevrSplit.open(sharded, "val")
    split.table(tmp_path / "cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ClevrSplit, "questions", lambda self: pytest.fail("read again"))
        assert len(split.table(tmp_path / "cache")) == 15
    run(a_config(tmp_path / "other", seed=1))
    files = [ClevrSplit.open(root, "val").files for root in (sharded, tmp_path / "other")]
    assert len({one.storage.signature(str(one.questions)) for one in files}) == 2


@pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
def test_webdataset_streams_it(sharded: Path) -> None:
    urls = f"{sharded}/shards/val/val-{{000000..000002}}.tar"
    samples = list(webdataset.WebDataset(urls, shardshuffle=False).decode("rgb8"))
    assert [sample["__key__"] for sample in samples] == [f"CLEVR_val_00000{number}" for number in range(5)]
    assert all(sample["png"].shape == (16, 24, 3) for sample in samples)
    assert [len(sample["questions.json"]) for sample in samples] == [3] * 5
    assert [sample["scene.json"]["image_index"] for sample in samples] == list(range(5))
    gc.collect()  # webdataset leaves files to the collector, which warns of them


def test_parts_in_any_order_and_machines_that_join(sharded: Path, tmp_path: Path) -> None:
    for part in (2, 0, 1):
        run(a_config(tmp_path / "one", part=part, parts=3))
    assert content(tmp_path / "one") == content(sharded)
    run(a_config(tmp_path / "a", stop=2))
    run(a_config(tmp_path / "b", start=2))
    shutil.copytree(tmp_path / "a", tmp_path / "b", dirs_exist_ok=True)
    run(a_config(tmp_path / "b"))
    assert content(tmp_path / "b") == content(sharded)


@pytest.mark.parametrize("cut", [None, 100])
def test_a_lost_or_torn_shard_is_made_again(sharded: Path, tmp_path: Path, cut: int | None) -> None:
    root = tmp_path / "world"
    shutil.copytree(sharded, root)
    victim = root / "shards/val/val-000001.tar"
    if cut is None:
        victim.unlink()
    else:
        victim.write_bytes(victim.read_bytes()[:cut])
    split = ClevrSplit.open(root, "val")
    message = r"val-000001\.tar.*run the same `clevr-film generate --shards` again"
    with pytest.raises(DataError, match=message):
        split.load_image("CLEVR_val_000002.png")
    assert split.load_image("CLEVR_val_000004.png").size == (24, 16)
    run(a_config(root))
    assert content(root) == content(sharded)


def test_other_settings_are_refused(sharded: Path, tmp_path: Path) -> None:
    for change, message in (({"seed": 1}, "seed is 0 there and 1 here"), ({"chunk": 5}, "chunk is 2 there and 5 here")):
        with pytest.raises(GenerateError, match=message):
            run(a_config(sharded, **change))
    run(a_config(tmp_path, stop=2))
    with pytest.raises(GenerateError, match="shards is True there and None here"):
        run(a_config(tmp_path, shards=False))


def test_an_unfinished_split_is_none(tmp_path: Path) -> None:
    run(a_config(tmp_path, stop=2))
    with pytest.raises(DataNotFoundError, match=r"shards/val/index\.json and the tar files"):
        find_split(tmp_path, "val")


@pytest.mark.parametrize("text", ["", "{}", '{"info": {}, "shardlist": [{"url": "a"}]}', "[]"])
def test_a_damaged_index(sharded: Path, tmp_path: Path, text: str) -> None:
    shutil.copytree(sharded, tmp_path / "world")
    (tmp_path / "world/shards/val/index.json").write_text(text, encoding="utf-8")
    with pytest.raises(DataError, match=r"index\.json: not an index of shards"):
        find_split(tmp_path / "world", "val")


def test_a_shard_that_lacks_a_part(sharded: Path, tmp_path: Path) -> None:
    shutil.copytree(sharded, tmp_path / "world")
    path = tmp_path / "world/shards/val/val-000002.tar"
    path.write_bytes(path.read_bytes().replace(b"CLEVR_val_000004.scene.json", b"CLEVR_val_000004.scent.json", 1))
    with pytest.raises(DataError, match=r"not a complete shard|lacks the scene\.json of scene 4"):
        list(ClevrSplit.open(tmp_path / "world", "val").scenes())


@pytest.mark.parametrize("name", ["CLEVR_val_000009.png", "CLEVR_train_000000.png", "other.png", "CLEVR_val_0.png"])
def test_an_image_that_is_not_there(sharded: Path, name: str) -> None:
    with pytest.raises(DataNotFoundError, match=f"{name} does not exist"):
        ClevrSplit.open(sharded, "val").load_image(name)


def test_the_storage_has_clevrs_folders(sharded: Path) -> None:
    storage = ShardStorage(sharded / "shards/val")
    assert storage.folders() == ["images", "questions", "scenes"]
    assert storage.folders("images") == ["val"]
    assert storage.files("scenes") == ["CLEVR_val_scenes.json"]
    assert storage.files() == storage.files("nowhere") == []
    assert len(storage.files("images/val")) == len(storage) == 5
