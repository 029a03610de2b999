from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from fewshot_film.data import SourceError
from fewshot_film.data.mini_imagenet import mini_imagenet, mini_imagenet_split
from tests.data.layouts import noise, pack, png, write, write_pickle

CLASSES = {"train": ["n01", "n02"], "val": ["n03"], "test": ["n04"]}


def list_files(pictures_at: str) -> dict[str, bytes]:
    """Lists and images, two a class; ``{}`` in ``pictures_at`` stands for the class."""
    files: dict[str, bytes] = {}
    for seed, (part, names) in enumerate(CLASSES.items()):
        rows = [(f"{name}000{number}.jpg", name) for name in names for number in range(2)]
        files[f"{part}.csv"] = ("filename,label\n" + "".join(f"{a},{b}\n" for a, b in rows)).encode()
        for number, (file, name) in enumerate(rows):
            files[pictures_at.format(name) + file] = png(noise(10 * seed + number), "JPEG")
    return files


def write_pickles(root: Path, val: str = "validation") -> None:
    for seed, (part, names) in enumerate(CLASSES.items()):
        data = np.random.default_rng(seed).integers(0, 256, (2 * len(names), 84, 84, 3), np.uint8)
        classes = {name: [2 * place, 2 * place + 1] for place, name in enumerate(names)}
        name = val if part == "val" else part
        write_pickle(root / f"mini-imagenet-cache-{name}.pkl", {"image_data": data, "class_dict": classes})


@pytest.mark.parametrize("pictures_at", ["images/", "", "images/{}/"])
@pytest.mark.parametrize("kind", ["folder", "zip"])
def test_lists_with_pictures(tmp_path: Path, pictures_at: str, kind: str) -> None:
    files = list_files(pictures_at)
    root = write(tmp_path / "m", files) if kind == "folder" else pack(tmp_path / "m.zip", files)
    for part, names in CLASSES.items():
        source = mini_imagenet(root, part)
        assert source.class_names == tuple(names)
        assert np.bincount(source.labels).tolist() == [2] * len(names)
    assert mini_imagenet(root).class_names == ("n01", "n02", "n03", "n04")
    assert mini_imagenet(root, "test").load(0).size == (8, 8)


@pytest.mark.parametrize("val", ["validation", "val"])
def test_pickles(tmp_path: Path, val: str) -> None:
    write_pickles(tmp_path, val)
    for part, names in CLASSES.items():
        assert mini_imagenet(tmp_path, part).class_names == tuple(names)
    source = mini_imagenet(tmp_path)
    assert source.labels.tolist() == [0, 0, 1, 1, 2, 2, 3, 3]
    expected = np.random.default_rng(1).integers(0, 256, (2, 84, 84, 3), np.uint8)
    np.testing.assert_array_equal(np.asarray(source.load(5)), expected[1])
    assert source.files[4] == f"mini-imagenet-cache-{val}.pkl/0"


@pytest.mark.parametrize("kind", ["folder", "zip"])
def test_class_folders_of_the_published_split(tmp_path: Path, kind: str) -> None:
    split = mini_imagenet_split()
    names = [name for part in split.values() for name in part]
    files = {f"any/where/{name}/{name}_1.JPEG": b"x" for name in [*names, "n00000001"]}
    root = write(tmp_path / "m", files) if kind == "folder" else pack(tmp_path / "m.zip", files)
    for part, class_names in split.items():
        assert mini_imagenet(root, part).class_names == tuple(sorted(class_names))
    assert len(mini_imagenet(root)) == 100


def test_wordnet_ids_of_the_published_split() -> None:
    split = mini_imagenet_split()
    assert all(len(name) == 9 and name[0] == "n" and name[1:].isdigit() for part in split.values() for name in part)
    assert (split["train"][0], split["val"][0], split["test"][0]) == ("n01532829", "n01855672", "n01930112")


def test_not_there(tmp_path: Path) -> None:
    message = r"mini-imagenet: no data at .*train.csv beside the images, or mini-imagenet-cache-train.pkl"
    with pytest.raises(FileNotFoundError, match=message):
        mini_imagenet(tmp_path, "train")
    with pytest.raises(FileNotFoundError, match="mini-imagenet: no data at"):
        mini_imagenet(tmp_path / "none")
    with pytest.raises(SourceError, match="mini-imagenet: no split 'base'; there are train, val, test"):
        mini_imagenet(tmp_path, "base")


def test_pictures_missing_from_the_lists(tmp_path: Path) -> None:
    files = list_files("images/")
    del files["images/n020001.jpg"]
    with pytest.raises(SourceError, match=r"1 of 4 images named in train.csv are not below .*'n020001.jpg'"):
        mini_imagenet(write(tmp_path, files), "train")


def test_two_pictures_by_one_name(tmp_path: Path) -> None:
    files = list_files("images/")
    files["other/n010000.jpg"] = b"x"
    with pytest.raises(SourceError, match=r"images 'images/n010000.jpg' and 'other/n010000.jpg' have the same"):
        mini_imagenet(write(tmp_path, files), "train")


def test_lists_and_pickles_of_another_form(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"'train.csv' has not the columns filename,label"):
        mini_imagenet(write(tmp_path / "1", {"train.csv": b"a,b\n1,2\n"}), "train")
    write_pickle(tmp_path / "2" / "mini-imagenet-cache-test.pkl", {"image_data": np.zeros((1, 84, 84, 3))})
    with pytest.raises(SourceError, match="lacks image_data or class_dict: KeyError"):
        mini_imagenet(tmp_path / "2", "test")
    content = {"image_data": np.zeros((2, 84, 84, 3), np.uint8), "class_dict": {"n01": [0]}}
    write_pickle(tmp_path / "3" / "mini-imagenet-cache-test.pkl", content)
    with pytest.raises(SourceError, match="has 1 image of no class"):
        mini_imagenet(tmp_path / "3", "test")
