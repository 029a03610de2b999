from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest

from fewshot_film.data import ImageSet, SourceError, decode
from fewshot_film.data.arrays import ArraySource
from fewshot_film.data.cifar import cifar_fs, fc100
from fewshot_film.data.image_set import JoinedSet
from fewshot_film.data.leaks import LeakError, check_no_leaks, find_leaks, known_duplicates

PICTURES = np.random.default_rng(0).integers(0, 256, (20, 4, 4), np.uint8)


def a_set(name: str, classes: str, numbers: list[int], prefix: str = "") -> ImageSet:
    """Two images a class, by their numbers."""
    labels = np.repeat(np.arange(len(classes)), 2)
    files = [f"{prefix}{number}.png" for number in numbers]
    return decode(ArraySource(name, list(classes), labels, PICTURES[numbers], files), 4, 1, on_duplicate="keep")


TRAIN = a_set("x", "ab", [0, 1, 2, 3], "train/")


def test_nothing_shared() -> None:
    found = check_no_leaks(TRAIN, a_set("x", "cd", [4, 5, 6, 7]))
    assert not found
    assert found.counts == {"classes": 0, "images": 0, "allowed": 0}


def test_a_class_by_name_of_the_same_source() -> None:
    with pytest.raises(LeakError, match=r"x and x, which is trained on: 1 class in both, first 'x:b'. Take them"):
        check_no_leaks(TRAIN, a_set("x", "bc", [4, 5, 6, 7]))
    assert not check_no_leaks(TRAIN, a_set("y", "bc", [4, 5, 6, 7]))


def test_a_picture_by_content() -> None:
    test = a_set("y", "cd", [4, 2, 6, 2], "test/")
    message = "2 images in both, first 'test/2.png', which equals 'train/2.png'"
    with pytest.raises(LeakError, match=message):
        check_no_leaks(TRAIN, test)
    assert isinstance(LeakError(""), SourceError)
    assert find_leaks(TRAIN, test).images == (("test/2.png", "train/2.png"), ("test/2.png", "train/2.png"))


def test_what_is_allowed_is_listed() -> None:
    test = a_set("y", "cd", [4, 2, 6, 3], "test/")
    found = find_leaks(TRAIN, test, allow=["test/2.png"])
    assert found.allowed == (("test/2.png", "train/2.png"),)
    assert found.images == (("test/3.png", "train/3.png"),)
    assert not check_no_leaks(TRAIN, test, allow=["test/2.png", "test/3.png"])


def test_reporting_instead(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        found = check_no_leaks(TRAIN, a_set("x", "bc", [4, 2, 6, 7]), on_leak="report")
    assert found.counts == {"classes": 1, "images": 1, "allowed": 0}
    assert "1 class in both, first 'x:b' and 1 image in both, first '2.png'" in caplog.text


def test_turned_pictures_count_once() -> None:
    test = a_set("y", "cd", [4, 2, 6, 7]).with_rotations()
    found = find_leaks(TRAIN.with_rotations(), test)
    assert found.images == (("2.png", "train/2.png"),)
    only_turned = test.select(["c/rot090", "d/rot090"])
    assert find_leaks(TRAIN, only_turned).images == (("2.png#rot090", "train/2.png"),)


def test_joined_sets_are_compared_part_by_part() -> None:
    train = JoinedSet([TRAIN, a_set("y", "cd", [4, 5, 6, 7])])
    test = JoinedSet([a_set("x", "cd", [8, 9, 10, 11]), a_set("y", "ce", [12, 0, 14, 15], "test/")])
    found = find_leaks(train, test)
    assert found.classes == ("y:c",)
    assert found.images == (("test/0.png", "train/0.png"),)


def test_known_pairs_of_cifar_100_are_allowed_by_their_names() -> None:
    assert len(known_duplicates()) == 17
    assert frozenset(["baby_s_000222.png"]) in known_duplicates()
    assert frozenset(["whale_s_001463.png", "shark_s_002211.png"]) in known_duplicates()

    def of_name(name: str, file: str) -> ImageSet:
        return decode(ArraySource("cifar-fs", [name], np.zeros(1, np.int64), PICTURES[:1], [file]), 4, 1)

    whale, shark = of_name("whale", "train/whale/whale_s_001463.png"), of_name("shark", "test/shark_s_002211.png")
    assert find_leaks(whale, shark.with_rotations()).counts == {"classes": 0, "images": 0, "allowed": 1}
    other = of_name("shark", "test/shark_s_000001.png")
    assert find_leaks(whale, other).counts == {"classes": 0, "images": 1, "allowed": 0}


def test_sets_must_be_decoded_alike_and_settings_have_a_meaning() -> None:
    other = decode(ArraySource("z", ["q"], np.zeros(1, np.int64), PICTURES[:1]), 8, 3)
    with pytest.raises(ValueError, match=r"x has images of \(1, 4, 4\), z of \(3, 8, 8\); equal images can only"):
        find_leaks(TRAIN, other)
    with pytest.raises(ValueError, match="on_leak must be one of raise, report, got 'ignore'"):
        check_no_leaks(TRAIN, TRAIN, on_leak="ignore")  # type: ignore[arg-type]


@pytest.mark.slow
def test_the_real_cifar_sets_share_nothing_but_what_is_known(shared_data: Path, tmp_path: Path) -> None:
    for opener, counts in ((cifar_fs, [8, 6, 1]), (fc100, [2, 1, 0])):
        train, val, test = (
            decode(opener(shared_data / "cifar-100.zip", part), 32, 3, tmp_path) for part in ("train", "val", "test")
        )
        found = [find_leaks(*pair).counts for pair in ((train, val), (train, test), (val, test))]
        assert [each["classes"] for each in found] == [each["images"] for each in found] == [0, 0, 0]
        assert [each["allowed"] for each in found] == counts
