from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from fewshot_film.data import SourceError, decode, open_source
from fewshot_film.data.tiered_imagenet import tiered_imagenet, tiered_imagenet_nodes, tiered_imagenet_split
from tests.data.layouts import noise, pack, png, write, write_pickle


def test_nodes_of_the_published_split() -> None:
    nodes = tiered_imagenet_nodes()
    assert {part: len(names) for part, names in nodes.items()} == {"train": 20, "val": 6, "test": 8}
    assert len({node for names in nodes.values() for node in names}) == 34
    every = [name for part in nodes.values() for names in part.values() for name in names]
    assert len(set(every)) == 608
    assert all(len(name) == 9 and name[0] == "n" and name[1:].isdigit() for name in every)
    assert "n02099601" in nodes["val"]["n02098550"]  # the golden retriever is a sporting dog


@pytest.mark.parametrize("kind", ["folder", "zip"])
def test_class_folders_as_imagenet_has_them(tmp_path: Path, kind: str) -> None:
    split = tiered_imagenet_split()
    names = [name for part in split.values() for name in part]
    files = {f"train/{name}/{name}_{n}.JPEG": b"x" for name in [*names, "n00000001"] for n in range(2)}
    root = write(tmp_path / "t", files) if kind == "folder" else pack(tmp_path / "t.zip", files)
    assert open_source("tiered-imagenet", root, "val").class_names == tuple(split["val"])
    assert len(tiered_imagenet(root)) == 2 * 608


def test_a_class_folder_that_is_missing(tmp_path: Path) -> None:
    names = tiered_imagenet_split()["val"][1:]
    root = write(tmp_path, {f"{name}/1.JPEG": b"x" for name in names})
    with pytest.raises(SourceError, match=r"1 of the 97 class folders of val are not below '.*', first 'n02099267'"):
        tiered_imagenet(root, "val")


LABELS = {"label_specific": np.array([0, 0, 1, 2]), "label_general": np.zeros(4), "label_specific_str": list("aba")}


def test_pickles_of_encoded_pictures(tmp_path: Path) -> None:
    write_pickle(tmp_path / "test_labels.pkl", LABELS)
    packed = [np.frombuffer(png(noise(n)), np.uint8).reshape(-1, 1) for n in range(4)]
    write_pickle(tmp_path / "test_images_png.pkl", packed)
    source = tiered_imagenet(tmp_path, "test")
    assert source.class_names == ("a (0)", "b", "a (2)")
    assert source.labels.tolist() == [0, 0, 1, 2]
    assert [source.load(n).tobytes() for n in range(4)] == [noise(n).tobytes() for n in range(4)]
    assert source.files[3] == "test_images_png.pkl/3"
    assert source.fingerprint() == tiered_imagenet(tmp_path, "test").fingerprint()
    assert decode(source, 8, 3).class_sizes.tolist() == [2, 1, 1]


def test_arrays_as_opencv_has_them(tmp_path: Path) -> None:
    write_pickle(tmp_path / "val_labels.pkl", LABELS)
    pictures = np.random.default_rng(0).integers(0, 256, (4, 8, 8, 3), np.uint8)
    np.savez(tmp_path / "val_images.npz", images=pictures)
    loaded = np.asarray(tiered_imagenet(tmp_path, "val").load(2))
    assert np.array_equal(loaded, pictures[2][..., [2, 1, 0]])


def test_files_that_contradict_each_other(tmp_path: Path) -> None:
    write_pickle(tmp_path / "val_labels.pkl", LABELS)
    with pytest.raises(FileNotFoundError, match=r"labels of 'val' at '.*', but neither val_images_png.pkl nor"):
        tiered_imagenet(tmp_path, "val")
    write_pickle(tmp_path / "val_labels.pkl", {**LABELS, "label_specific": np.array([0, 3])})
    with pytest.raises(SourceError, match=r"'val_labels.pkl' has labels up to 3 for 3 names"):
        tiered_imagenet(tmp_path, "val")
    write_pickle(tmp_path / "val_labels.pkl", {"labels": 1})
    with pytest.raises(SourceError, match=r"'val_labels.pkl' lacks label_specific or its names: KeyError"):
        tiered_imagenet(tmp_path, "val")
    with pytest.raises(SourceError, match="tiered-imagenet: no split 'dev'; there are train, val, test"):
        tiered_imagenet(tmp_path, "dev")
