from __future__ import annotations

import contextlib
import errno
import itertools
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from clevr.data.reader import ClevrSplit
from clevr.data.records import parse_question, parse_scene
from clevr.data.writer import Chunk, ChunkContent, ChunkStore, GenerateError, select_chunks, split_into_chunks
from fewshot_film.errors import ConfigError
from tests.clevr.data.builders import a_question, a_scene, write_clevr, write_json

SETTINGS = {"name": "test", "seed": 3}


def a_store(root: Path, num_scenes: int = 5, size: int = 2, **settings: Any) -> ChunkStore:
    return ChunkStore(root, "val", {**SETTINGS, **settings}, split_into_chunks(num_scenes, size))


def made(chunk: Chunk) -> ChunkContent:
    indices = range(chunk.start, chunk.stop)
    pictures = np.stack([np.full((3, 4, 6), index, np.uint8) for index in indices])
    scenes = [parse_scene(a_scene(index)) for index in indices]
    return ChunkContent(scenes, [parse_question(a_question(index)) for index in indices for _ in range(2)], pictures)


def go_on(store: ChunkStore) -> bool:
    """What ``clevr-film generate`` does."""
    store.begin()
    for chunk in store.chunks:
        if not store.is_done(chunk):
            store.publish(chunk, made(chunk))
    return store.finish()


def content(root: Path) -> dict[str, bytes]:
    """Every file below a folder."""
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    root = tmp_path_factory.mktemp("whole")
    assert go_on(a_store(root))
    return content(root)


def test_chunks_tile_the_split() -> None:
    assert split_into_chunks(5, 2) == [Chunk(0, 2), Chunk(2, 4), Chunk(4, 5)]
    assert len(Chunk(4, 5)) == 1


def test_a_share_is_a_range_of_chunks() -> None:
    chunks = split_into_chunks(5, 2)
    assert select_chunks(chunks, 0, None) == chunks
    assert select_chunks(chunks, 2, 4) == chunks[1:2]
    assert select_chunks(chunks, 2, 5) == chunks[1:]


@pytest.mark.parametrize(
    ("start", "stop", "message"),
    [
        (1, None, "--start 1 cuts a chunk; expected a multiple of 2 or 5"),
        (0, 3, "--stop 3 cuts a chunk; expected a multiple of 2 or 5"),
        (2, 2, "the range --start 2 --stop 2 is not within the 5 scenes"),
        (0, 6, "the range --start 0 --stop 6 is not within the 5 scenes"),
    ],
)
def test_a_share_that_does_not_fit(start: int, stop: int | None, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        select_chunks(split_into_chunks(5, 2), start, stop)


def test_the_files_are_clevrs(whole: dict[str, bytes], tmp_path: Path) -> None:
    assert sorted(whole) == [
        *(f"images/val/CLEVR_val_{index:06d}.png" for index in range(5)),
        "questions/CLEVR_val_questions.json",
        "scenes/CLEVR_val_scenes.json",
    ]
    go_on(a_store(tmp_path))
    split = ClevrSplit.open(tmp_path, "val")
    assert [scene.image_index for scene in split.scenes()] == list(range(5))
    assert [question.image_index for question in split.questions()] == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4]
    assert split.info()["generator"] == SETTINGS
    assert [split.load_image(name).getpixel((0, 0)) for name in sorted(split.images)] == [
        (index,) * 3 for index in range(5)
    ]


def test_order_of_the_chunks_does_not_matter(tmp_path: Path, whole: dict[str, bytes]) -> None:
    store = a_store(tmp_path)
    store.begin()
    for chunk in reversed(store.chunks):
        assert not store.finish()
        store.publish(chunk, made(chunk))
    assert store.finish()
    assert content(tmp_path) == whole


def test_shares_of_two_machines_join(tmp_path: Path, whole: dict[str, bytes]) -> None:
    for machine, some in (("a", slice(0, 1)), ("b", slice(1, None))):
        store = a_store(tmp_path / machine)
        store.begin()
        for chunk in store.chunks[some]:
            store.publish(chunk, made(chunk))
        assert not store.finish()
        shutil.copytree(tmp_path / machine, tmp_path / "joined", dirs_exist_ok=True)
    joined = a_store(tmp_path / "joined")
    joined.begin()
    assert all(joined.is_done(chunk) for chunk in joined.chunks)
    assert joined.finish()
    assert content(tmp_path / "joined") == whole


def test_shares_of_different_settings_do_not_join(tmp_path: Path) -> None:
    for seed in (3, 4):
        store = a_store(tmp_path / str(seed), seed=seed)
        store.begin()
        chunk = store.chunks[seed - 3]
        store.publish(chunk, made(chunk))
        shutil.copytree(tmp_path / str(seed), tmp_path / "joined", dirs_exist_ok=True)
    joined = a_store(tmp_path / "joined", seed=4)
    joined.begin()
    joined.publish(joined.chunks[2], made(joined.chunks[2]))
    message = r"part-000000-000002\.jsonl was made with different settings: seed is 3 there and 4 here"
    with pytest.raises(GenerateError, match=message):
        joined.finish()
    assert not joined.is_merged


def test_another_machine_merges_in_the_same_moment(
    tmp_path: Path, whole: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    stores = [a_store(tmp_path), a_store(tmp_path)]
    stores[0].begin()
    for chunk in stores[0].chunks:
        stores[0].publish(chunk, made(chunk))
    is_open, overtaken = Path.open, []

    def be_late(path: Path, *args: Any, **more: Any) -> Any:
        if path.name.startswith("part-") and not overtaken:
            overtaken.append(path)
            assert stores[1].finish()
            assert not path.exists()
        return is_open(path, *args, **more)

    monkeypatch.setattr(Path, "open", be_late)
    assert stores[0].finish()
    monkeypatch.undo()
    assert overtaken
    assert content(tmp_path) == whole


def test_a_lost_file_of_scenes_is_made_again(tmp_path: Path, whole: dict[str, bytes]) -> None:
    go_on(a_store(tmp_path))
    (tmp_path / "scenes" / "CLEVR_val_scenes.json").unlink()
    assert go_on(a_store(tmp_path))
    assert content(tmp_path) == whole


class Killed(BaseException):
    """The process ends here."""


class Killer:
    """Ends the process at one of its steps on the disk, before or after it is taken."""

    def __init__(self, patch: pytest.MonkeyPatch, step: int, after: bool) -> None:
        self.left, self.after, self.dead = step, after, False
        for owner, name in ((Path, "replace"), (Path, "mkdir"), (Path, "write_bytes"), (shutil, "rmtree")):
            patch.setattr(owner, name, self._wrapped(getattr(owner, name)))
        unlink = Path.unlink
        patch.setattr(Path, "unlink", lambda *args, **more: None if self.dead else unlink(*args, **more))

    def _wrapped(self, function: Any) -> Any:
        def call(*args: Any, **more: Any) -> Any:
            self.left -= 1
            ends_here = self.left == 0
            if ends_here and not self.after:
                self._die()
            result = function(*args, **more)
            if ends_here:
                self._die()
            return result

        return call

    def _die(self) -> None:
        self.dead = True
        raise Killed


@pytest.mark.parametrize("after", [False, True])
def test_killed_at_any_step_and_restarted(tmp_path: Path, whole: dict[str, bytes], after: bool) -> None:
    for step in itertools.count(1):
        root = tmp_path / str(step)
        with pytest.MonkeyPatch.context() as patch:
            killer = Killer(patch, step, after)
            with contextlib.suppress(Killed):
                go_on(a_store(root))
        assert go_on(a_store(root))
        assert content(root) == whole, step
        if not killer.dead:
            break
    assert step > 20


def test_killed_while_the_parts_are_removed(tmp_path: Path, whole: dict[str, bytes]) -> None:
    def lose_a_part(path: Path, ignore_errors: bool) -> None:
        next(path.glob("part-*")).unlink()
        raise Killed

    store = a_store(tmp_path)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shutil, "rmtree", lose_a_part)
        with pytest.raises(Killed):
            go_on(store)
    assert go_on(a_store(tmp_path))
    assert content(tmp_path) == whole


@pytest.mark.parametrize("merged", [False, True])
@pytest.mark.parametrize("cut", [None, 0, 20])
def test_a_lost_or_torn_picture_is_made_again(
    tmp_path: Path, whole: dict[str, bytes], merged: bool, cut: int | None
) -> None:
    store = a_store(tmp_path)
    store.begin()
    for chunk in store.chunks if merged else store.chunks[:2]:
        store.publish(chunk, made(chunk))
    assert store.finish() == merged
    victim = tmp_path / "images/val/CLEVR_val_000002.png"
    if cut is None:
        victim.unlink()
    else:
        victim.write_bytes(victim.read_bytes()[:cut])
    store = a_store(tmp_path)
    store.begin()
    assert [store.is_done(chunk) for chunk in store.chunks] == [True, False, merged]
    assert go_on(store)
    assert content(tmp_path) == whole


def test_a_finished_set_is_left_alone(tmp_path: Path, whole: dict[str, bytes]) -> None:
    go_on(a_store(tmp_path))
    times = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*") if path.is_file()}
    assert go_on(a_store(tmp_path))
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*") if path.is_file()} == times


@pytest.mark.parametrize("merged", [False, True])
def test_another_seed_is_refused(tmp_path: Path, merged: bool) -> None:
    store = a_store(tmp_path)
    store.begin()
    if merged:
        go_on(store)
    before = content(tmp_path)
    where = tmp_path / ("scenes/CLEVR_val_scenes.json" if merged else ".generate/val/info.json")
    message = f"{where} was made with different settings: seed is 3 there and 4 here; width is None there and 8 here"
    with pytest.raises(GenerateError, match=re.escape(message)):
        a_store(tmp_path, seed=4, width=8).begin()
    assert content(tmp_path) == before


def test_another_date_is_refused(tmp_path: Path) -> None:
    a_store(tmp_path).begin()
    other = ChunkStore(tmp_path, "val", SETTINGS, split_into_chunks(5, 2), date="today")
    with pytest.raises(GenerateError, match="date is '' there and 'today' here"):
        other.begin()


def test_other_splits_may_lie_beside_it(tmp_path: Path) -> None:
    write_clevr(tmp_path, "test")
    assert go_on(a_store(tmp_path))


def test_a_set_of_another_origin_is_refused(tmp_path: Path) -> None:
    write_clevr(tmp_path)
    with pytest.raises(GenerateError, match=r"CLEVR_val_scenes\.json was not made by this program; choose another"):
        a_store(tmp_path).begin()
    write_json(tmp_path / "scenes/CLEVR_val_scenes.json", "x")
    with pytest.raises(GenerateError, match=r"expected a JSON object.*Choose another --out"):
        a_store(tmp_path).begin()


def test_a_full_disk(tmp_path: Path, whole: dict[str, bytes], monkeypatch: pytest.MonkeyPatch) -> None:
    store = a_store(tmp_path)

    def full(path: Path, data: bytes) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", full)
        message = f"cannot write to {tmp_path}: No space left on device. Free some space or fix the permissions"
        with pytest.raises(GenerateError, match=re.escape(message)):
            go_on(store)
    assert go_on(store)
    assert content(tmp_path) == whole


def test_a_folder_that_cannot_be_written_to(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x", encoding="utf-8")
    message = f"cannot write to {tmp_path / 'file'}: Not a directory ({tmp_path / 'file' / 'images'}"
    with pytest.raises(GenerateError, match=re.escape(message)):
        a_store(tmp_path / "file").begin()
