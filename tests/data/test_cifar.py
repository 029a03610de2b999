from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest

from fewshot_film.data import SourceError, decode
from fewshot_film.data.cifar import cifar100, cifar_fs, cifar_fs_split, fc100, fc100_split
from tests.data.layouts import class_files, pack, write, write_pickle

NAMES = sorted(name for names in cifar_fs_split().values() for name in names)


def write_python(folder: Path) -> np.ndarray:
    """The layout that torchvision leaves, with one training and one test image a class."""
    data = np.random.default_rng(0).integers(0, 256, (200, 3072), np.uint8)
    write_pickle(folder / "meta", {"fine_label_names": NAMES, "coarse_label_names": []})
    for place, part in enumerate(("train", "test")):
        files = [f"{name}_s_{place}.png" for name in NAMES]
        content = {"data": data[100 * place :][:100], "fine_labels": list(range(100)), "filenames": files}
        write_pickle(folder / part, content)
    return data


@pytest.mark.parametrize("below", ["cifar-100-python", ""])
def test_as_torchvision_leaves_it(tmp_path: Path, below: str, caplog: pytest.LogCaptureFixture) -> None:
    data = write_python(tmp_path / below)
    with caplog.at_level(logging.WARNING):
        source = cifar100(tmp_path)
    assert "100 classes have not the 600 images of CIFAR-100, 'apple' has 2" in caplog.text
    assert len(source) == 200
    assert source.files[0] == "train/apple_s_0.png"
    assert source.files[100] == "test/apple_s_1.png"
    expected = data[101].reshape(3, 32, 32)
    np.testing.assert_array_equal(np.asarray(source.load(101)).transpose(2, 0, 1), expected)
    assert decode(source, 32, 3).class_sizes.tolist() == [2] * 100


@pytest.mark.parametrize("prefix", ["", "cifar-100/"])
def test_as_pictures(tmp_path: Path, prefix: str) -> None:
    files = {
        **class_files(NAMES, 2, prefix=f"{prefix}train/"),
        **class_files(NAMES, 1, prefix=f"{prefix}test/", seed=500),
    }
    source = cifar100(pack(tmp_path / "c.zip", files))
    assert source.class_names == tuple(NAMES)
    assert np.bincount(source.labels).tolist() == [3] * 100
    assert cifar100(write(tmp_path / "flat", class_files(NAMES, 1))).class_names == tuple(NAMES)


def test_splits(tmp_path: Path) -> None:
    root = pack(tmp_path / "c.zip", class_files(NAMES, 1))
    for opener, split in ((cifar_fs, cifar_fs_split()), (fc100, fc100_split())):
        for part, names in split.items():
            assert opener(root, part).class_names == tuple(names)
        assert len(opener(root).class_names) == 100
    assert (cifar_fs(root).name, fc100(root).name) == ("cifar-fs", "fc100")
    with pytest.raises(SourceError, match="cifar-fs: no split 'base'; there are test, train, val"):
        cifar_fs(root, "base")


def test_not_there_or_another_set(tmp_path: Path) -> None:
    message = r"cifar-fs: no data at .*cifar-100-python/.*download=True"
    with pytest.raises(FileNotFoundError, match=message):
        cifar_fs(tmp_path / "none")
    with pytest.raises(FileNotFoundError, match=message):
        cifar_fs(write(tmp_path / "p", class_files(["apple", "pear"], 1)))


def test_files_of_another_set_by_the_same_names(tmp_path: Path) -> None:
    for name in ("train", "test", "meta"):
        write_pickle(tmp_path / name, {"fine_label_names": NAMES})
    with pytest.raises(SourceError, match=r"cifar-100: .* does not hold CIFAR-100's files \(KeyError\('data'\)\)"):
        cifar100(tmp_path)


@pytest.mark.slow
def test_the_real_one(shared_data: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        source = cifar_fs(shared_data / "cifar-100.zip", "test")
    assert caplog.text == ""
    assert np.bincount(source.labels).tolist() == [600] * 20
