from __future__ import annotations

import json
import logging
import os
import pickle
import signal
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from fewshot_film.data import ImageError, SourceError, decode
from fewshot_film.data.folder import folder
from fewshot_film.data.image_set import ImageSet
from fewshot_film.data.source import ImageSource
from tests.data.layouts import array_source, class_files, noise, pack, png, write
from tests.processes import CONTEXT

BAD = {"a/empty.png": b"", "a/notes.txt": b"not a picture", "b/cut.png": png(noise(9, (64, 64)))[:300]}


def small(source: ImageSource, cache_dir: Path | None = None, **options: object) -> ImageSet:
    return decode(source, 8, 3, cache_dir, **options)


def pixels(images: ImageSet) -> torch.Tensor:
    return images.get(np.arange(len(images)))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return write(tmp_path / "pictures", class_files("ab", 3))


def test_pixels_labels_and_files(root: Path) -> None:
    images = small(folder(root))
    assert images.files == ["a/0.png", "a/1.png", "a/2.png", "b/0.png", "b/1.png", "b/2.png"]
    assert images.labels.tolist() == [0, 0, 0, 1, 1, 1]
    assert images.class_names == ("a", "b")
    expected = np.stack([np.asarray(noise(number)).transpose(2, 0, 1) for number in range(6)])
    np.testing.assert_array_equal(pixels(images).numpy(), expected)
    assert (images.name, images.num_channels, images.image_size) == ("pictures", 3, 8)


@pytest.mark.parametrize("kind", ["folder", "zip"])
def test_cache_is_equal_to_memory_and_is_read_the_second_time(
    tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = {**class_files("ab", 3), **BAD}
    root = write(tmp_path / "p", files) if kind == "folder" else pack(tmp_path / "p.zip", files)
    memory, first = small(folder(root)), small(folder(root), tmp_path / "cache")
    monkeypatch.setattr("fewshot_film.data.decoding.to_array", None)
    second = small(folder(root), tmp_path / "cache")
    for images in (first, second):
        assert torch.equal(pixels(images), pixels(memory))
        assert images.files == memory.files
        assert images.skipped == memory.skipped
        np.testing.assert_array_equal(images.digests, memory.digests)


def test_bad_pictures_are_skipped_listed_and_logged_once(root: Path, caplog: pytest.LogCaptureFixture) -> None:
    write(root, BAD)
    with caplog.at_level(logging.WARNING):
        images = small(folder(root))
    assert dict(images.skipped) == {
        "a/empty.png": "the file is empty (0 bytes)",
        "a/notes.txt": "is not an image (no known format)",
        "b/cut.png": images.skipped[2][1],
    }
    assert "is damaged or cut short" in images.skipped[2][1]
    assert images.class_sizes.tolist() == [3, 3]
    assert [record.message for record in caplog.records] == [
        "pictures: skipped 3 of 9 images:\n  " + "\n  ".join(f"{file}: {reason}" for file, reason in images.skipped)
    ]


@pytest.mark.parametrize("cached", [False, True])
def test_on_bad_raise(root: Path, tmp_path: Path, cached: bool) -> None:
    write(root, BAD)
    cache_dir = tmp_path / "cache" if cached else None
    small(folder(root), cache_dir)
    with pytest.raises(ImageError, match=r"a/empty.png: the file is empty"):
        small(folder(root), cache_dir, on_bad="raise")


def test_no_picture_at_all(tmp_path: Path) -> None:
    write(tmp_path / "p", {"a/1.txt": b"x", "a/2.txt": b""})
    for cache_dir in (None, tmp_path / "cache", tmp_path / "cache"):
        with pytest.raises(SourceError, match=r"p: none of 2 files is a usable image; a/1.txt: is not an image"):
            small(folder(tmp_path / "p"), cache_dir)


def test_duplicates_in_a_class_are_dropped_and_listed(root: Path, caplog: pytest.LogCaptureFixture) -> None:
    write(root, {"a/again.bmp": png(noise(1), "BMP")})
    with caplog.at_level(logging.WARNING):
        images = small(folder(root))
    assert images.duplicates == (("a/again.bmp", "a/1.png"),)
    assert "a/again.bmp" not in images.files
    assert images.class_sizes.tolist() == [3, 3]
    assert "1 image equals another one in the same class: 'a/again.bmp' and 'a/1.png' (dropped)" in caplog.text


def test_duplicates_can_be_kept_or_refused(root: Path) -> None:
    write(root, {"a/again.png": png(noise(1))})
    kept = small(folder(root), on_duplicate="keep")
    assert kept.class_sizes.tolist() == [4, 3]
    assert kept.duplicates == (("a/again.png", "a/1.png"),)
    with pytest.raises(SourceError, match=r"in the same class: 'a/again.png' and 'a/1.png'; remove one"):
        small(folder(root), on_duplicate="raise")


def test_equal_pictures_in_two_classes_are_listed_or_refused(root: Path, caplog: pytest.LogCaptureFixture) -> None:
    write(root, {"b/again.png": png(noise(1))})
    images = small(folder(root))
    assert images.conflicts == (("b/again.png", "a/1.png"),)
    assert images.class_sizes.tolist() == [3, 4]
    told = "1 image equals another one in another class: 'b/again.png' and 'a/1.png'"
    assert f"{told} (kept: remove the one whose class is wrong)" in caplog.text
    with pytest.raises(SourceError, match=told):
        small(folder(root), on_duplicate="raise")


def test_classes_without_a_usable_image_are_named(root: Path, caplog: pytest.LogCaptureFixture) -> None:
    write(root, {"phone/1.jpg": b"", "phone/2.jpg": b"no image"})
    images = small(folder(root))
    assert set(images.labels.tolist()) == {0, 1}
    assert "1 class without any usable image: 'phone'" in caplog.text


def test_a_changed_picture_or_setting_is_another_cache(root: Path, tmp_path: Path) -> None:
    cache_dir = tmp_path / "cache"
    before = pixels(small(folder(root), cache_dir))
    write(root, {"a/0.png": png(noise(77))})
    after = pixels(small(folder(root), cache_dir))
    assert not torch.equal(before, after)
    assert torch.equal(before[1:], after[1:])
    assert decode(folder(root), 4, 1, cache_dir).get(np.arange(6)).shape == (6, 1, 4, 4)
    assert decode(folder(root), 8, 3, cache_dir, resize="pad").image_size == 8
    assert len([path for path in cache_dir.iterdir() if path.is_dir()]) == 4


def test_a_damaged_cache_is_written_again(root: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    before = pixels(small(folder(root), tmp_path / "cache"))
    file = next((tmp_path / "cache").glob("*/pixels.u8"))
    file.write_bytes(file.read_bytes()[:-5])
    with caplog.at_level(logging.WARNING):
        assert torch.equal(pixels(small(folder(root), tmp_path / "cache")), before)
    assert "is damaged and is written again" in caplog.text


def test_without_locks_the_cache_still_works(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError("no locks on this file system")

    monkeypatch.setattr("fcntl.flock", refuse)
    assert torch.equal(pixels(small(folder(root), tmp_path / "cache")), pixels(small(folder(root))))


def test_a_full_disk_is_an_error_and_leaves_nothing(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("fewshot_film.data.cache.os.fsync", full)
    with pytest.raises(OSError, match="No space left"):
        small(folder(root), tmp_path / "cache")
    assert [path for path in (tmp_path / "cache").iterdir() if path.is_dir()] == []


class SlowSource(ImageSource):
    """Takes 20 ms an image, and notes in a folder which process decoded."""

    def __init__(self, notes: Path) -> None:
        self.inner = array_source([20, 20])
        self.marks = notes
        super().__init__("slow", self.inner.class_names, self.inner.labels, self.inner.files)

    def load(self, index: int, **options: object) -> object:
        (self.marks / str(os.getpid())).touch()
        time.sleep(0.02)
        return self.inner.load(index)

    def stamp(self, index: int) -> str:
        return self.inner.stamp(index)

    identity = "slow"


def decode_and_leave(notes: Path, cache_dir: Path) -> None:
    os._exit(0 if len(decode(SlowSource(notes), 4, 1, cache_dir)) == 40 else 1)


@pytest.fixture
def notes(tmp_path: Path) -> Path:
    (tmp_path / "notes").mkdir()
    return tmp_path / "notes"


def test_of_two_processes_one_decodes_and_one_waits(notes: Path, tmp_path: Path) -> None:
    children = [CONTEXT.Process(target=decode_and_leave, args=(notes, tmp_path / "cache")) for _ in range(2)]
    for child in children:
        child.start()
    for child in children:
        child.join(300)
    assert [child.exitcode for child in children] == [0, 0]
    assert len(list(notes.iterdir())) == 1


def test_a_killed_process_leaves_nothing_that_looks_like_a_cache(notes: Path, tmp_path: Path) -> None:
    cache_dir = tmp_path / "cache"
    child = CONTEXT.Process(target=decode_and_leave, args=(notes, cache_dir))
    child.start()
    while not list(notes.iterdir()):
        time.sleep(0.01)
    os.kill(child.pid or 0, signal.SIGKILL)
    child.join(300)
    assert list(cache_dir.glob(".*tmp-*"))
    assert len(decode(SlowSource(notes), 4, 1, cache_dir)) == 40
    assert not list(cache_dir.glob(".*tmp-*"))


def test_a_cached_set_travels_as_its_path(root: Path, tmp_path: Path) -> None:
    source = array_source([50, 50], side=32)
    images = decode(source, 32, 3, tmp_path / "cache")
    data = pickle.dumps(images)
    assert len(data) < 20_000 < len(pickle.dumps(decode(source, 32, 3)))
    assert torch.equal(pixels(pickle.loads(data)), pixels(images))


def test_the_index_file_can_be_read_by_people(root: Path, tmp_path: Path) -> None:
    write(root, BAD)
    small(folder(root), tmp_path / "cache")
    index = json.loads(next((tmp_path / "cache").glob("pictures-8-*/index.json")).read_text())
    assert index["skipped"][0] == ["a/empty.png", "the file is empty (0 bytes)"]


@pytest.mark.parametrize(("options", "message"), [
    ({"on_bad": "ignore"}, "on_bad must be one of skip, raise, got 'ignore'"),
    ({"on_duplicate": "no"}, "on_duplicate must be one of drop, raise, keep, got 'no'"),
    ({"resize": "zoom"}, "resize must be one of"),
])  # fmt: skip
def test_settings_without_meaning(root: Path, options: dict[str, str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        small(folder(root), **options)


def test_up_to_ten_files_are_listed_each_with_its_reason(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    files = {f"a/{number:02}.txt": b"x" if number % 2 else b"" for number in range(12)}
    root = write(tmp_path / "p", {**class_files("ab", 1), **files, "loose.png": b"x"})
    with caplog.at_level(logging.WARNING):
        decode(folder(root), 8, 3)
    for text in (
        "not used (1):\n  loose.png: is not in a class folder",
        "p: skipped 12 of 14 images:\n  a/00.txt: the file is empty (0 bytes)\n  a/01.txt: is not an image",
        "... and 2 more",
    ):
        assert text in caplog.text
    assert "a/10.txt" not in caplog.text
