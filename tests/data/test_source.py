from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from fewshot_film.data.arrays import ArraySource
from fewshot_film.data.errors import SourceError
from fewshot_film.data.folder import folder
from fewshot_film.data.source import ImageSource
from fewshot_film.images import ImageError
from tests.data.layouts import array_source, class_files, noise, pack, png, write


def test_select_keeps_pictures_with_their_classes(tmp_path: Path) -> None:
    source = folder(write(tmp_path, class_files("abc", 2)))
    chosen = source.select(["c", "a"])
    assert chosen.class_names == ("c", "a")
    assert chosen.files == ["c/0.png", "c/1.png", "a/0.png", "a/1.png"]
    assert chosen.labels.tolist() == [0, 0, 1, 1]
    np.testing.assert_array_equal(np.asarray(chosen.load(2)), np.asarray(noise(0)))
    assert repr(chosen).startswith("SelectedSource('")


def test_select_refuses_unknown_and_repeated_classes() -> None:
    with pytest.raises(SourceError, match="noise: 1 of 1 requested classes do not exist: 'x'; it has 2 classes"):
        array_source([1, 1]).select(["x"])
    with pytest.raises(SourceError, match="noise: classes requested twice: 'class 0'"):
        array_source([1, 1]).select(["class 0", "class 0"])


def test_fingerprint_changes_with_anything_that_changes_pictures(tmp_path: Path) -> None:
    files = class_files("ab", 2)
    root = write(tmp_path / "p", files)
    prints = [folder(root).fingerprint()]
    assert folder(root).fingerprint() == prints[0]
    prints.append(folder(root).select("b").fingerprint())
    prints.append(folder(root).select("ba").fingerprint())
    os.utime(root / "a" / "0.png", ns=(5, 5))
    prints.append(folder(root).fingerprint())
    (root / "b" / "0.png").rename(root / "b" / "7.png")
    prints.append(folder(root).fingerprint())
    prints.append(folder(write(tmp_path / "q", files)).fingerprint())
    prints.append(folder(pack(tmp_path / "p.zip", files)).fingerprint())
    prints.append(folder(pack(tmp_path / "q.zip", {**files, "a/0.png": png(noise(9))})).fingerprint())
    assert len(set(prints)) == len(prints)


def test_a_zip_has_its_fingerprint_wherever_it_lies(tmp_path: Path) -> None:
    files = class_files("ab", 2)
    one, two = pack(tmp_path / "p.zip", files), pack(tmp_path / "elsewhere" / "p.zip", files)
    assert folder(one).fingerprint() == folder(two).fingerprint()


def test_array_source() -> None:
    source = array_source([2, 1], side=5)
    assert source.files == ["0", "1", "2"]
    assert source.load(2).size == (5, 5)
    assert source.stamp(0) != source.stamp(1)
    with pytest.raises(ImageError, match="0: 5 x 5 pixels are more than the limit of 24"):
        source.load(0, max_pixels=24)


@pytest.mark.parametrize("pictures", [np.zeros((2, 4, 4)), np.zeros((2, 4, 4, 4), np.uint8)])
def test_array_source_refuses_other_arrays(pictures: np.ndarray) -> None:
    with pytest.raises(SourceError, match=r"x: images are \w+ of shape .*; expected uint8 of shape \(N, H, W\)"):
        ArraySource("x", ["a"], np.zeros(2), pictures)


def test_labels_files_and_names_must_fit() -> None:
    with pytest.raises(SourceError, match="x: 3 labels for 2 images"):
        ArraySource("x", ["a"], np.zeros(3), np.zeros((2, 4, 4), np.uint8))
    with pytest.raises(SourceError, match="x: class names repeat: 'a'"):
        ArraySource("x", ["a", "a"], np.zeros(2), np.zeros((2, 4, 4), np.uint8))


def test_contract_of_every_source_here(tmp_path: Path) -> None:
    sources: list[ImageSource] = [
        folder(write(tmp_path / "p", class_files("ab", 2))),
        array_source([2, 2]),
        array_source([2, 2]).select(["class 1"]),
    ]
    for source in sources:
        assert len(source) == len(source.labels) == len(source.files) == len(set(source.files))
        assert source.labels.dtype == np.int64
        assert set(source.labels.tolist()) == set(range(len(source.class_names)))
        assert not source.ordered
        assert source.load(0).size[0] > 0
