from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from fewshot_film.data import ImageError, SourceError, decode, open_source
from fewshot_film.data.torchvision_sets import TorchvisionSource
from tests.data.layouts import class_files, write


class Parts:
    """A data set as torchvision makes them, from lists."""

    def __init__(self, labels: list[object], item: object = None, **attributes: object) -> None:
        self.values = labels
        self.item = item
        self.__dict__.update(attributes)

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, index: int) -> tuple[object, object]:
        picture = Image.fromarray(np.full((4, 4), index, np.uint8)) if self.item is None else self.item
        return picture, self.values[index]


def write_mnist(root: Path, sizes: dict[str, int]) -> None:
    for part, count in sizes.items():
        labels = bytes(number % 3 for number in range(count))
        pictures = np.random.default_rng(count).integers(0, 256, (count, 28, 28), np.uint8).tobytes()
        folder = root / "KMNIST" / "raw"
        write(folder, {
            f"{part}-images-idx3-ubyte": struct.pack(">IIII", 0x803, count, 28, 28) + pictures,
            f"{part}-labels-idx1-ubyte": struct.pack(">II", 0x801, count) + labels,
        })  # fmt: skip


def test_a_set_with_a_train_flag(tmp_path: Path) -> None:
    write_mnist(tmp_path, {"train": 9, "t10k": 3})
    source = open_source("torchvision:KMNIST", tmp_path)
    assert source.name == "kmnist"
    assert source.class_names == ("o", "ki", "su")
    assert len(source) == 12
    assert source.files[9] == "test/0"
    assert decode(source, 28, 1).class_sizes.tolist() == [4, 4, 4]


def test_a_set_with_splits_joins_them_and_deals_classes(tmp_path: Path) -> None:
    for seed, part in enumerate(("train", "valid", "test")):
        write(tmp_path / "country211" / part, class_files("abcde", 2, seed=100 * seed))
    source = open_source("torchvision:Country211", tmp_path)
    assert np.bincount(source.labels).tolist() == [6] * 5
    assert source.files[0] == "train/country211/train/a/0.png"
    parts = [
        open_source("torchvision:Country211", tmp_path, part, split_seed=1).class_names
        for part in ("train", "val", "test")
    ]
    assert sorted(name for names in parts for name in names) == list("abcde")
    with pytest.raises(SourceError, match=r"which classes are for 'train'\? Pass split_file=.* or split_seed"):
        open_source("torchvision:Country211", tmp_path, "train")


def test_a_set_in_one_part(tmp_path: Path) -> None:
    write(tmp_path / "eurosat" / "2750", class_files(["Forest", "River"], 3))
    assert open_source("torchvision:EuroSAT", tmp_path).class_names == ("Forest", "River")


def test_parts_by_hand() -> None:
    options = [{"size": 5, "image_size": (3, 8, 8), "num_classes": 2, "random_offset": seed} for seed in (0, 99)]
    source = open_source("torchvision:FakeData", "unused", parts=options)
    assert len(source) == 10
    assert source.files[0] == "size=5,image_size=(3, 8, 8),num_classes=2,random_offset=0/0"


def test_a_split_file(tmp_path: Path) -> None:
    write(tmp_path / "eurosat" / "2750", class_files(["Forest", "River"], 3))
    (tmp_path / "split.json").write_text('{"test": ["River"]}')
    source = open_source("torchvision:EuroSAT", tmp_path, "test", split_file=tmp_path / "split.json")
    assert source.class_names == ("River",)


def test_missing_data_say_where_and_how(tmp_path: Path) -> None:
    for name in ("EuroSAT", "Country211", "KMNIST"):
        with pytest.raises(FileNotFoundError, match=rf"{name}: torchvision finds no such .*pass download=True"):
            open_source(f"torchvision:{name}", tmp_path)


def test_unknown_sets() -> None:
    for name in ("Nothing", "utils", "VisionDataset.x"):
        with pytest.raises(SourceError, match=rf"torchvision.datasets has no '{name}'"):
            open_source(f"torchvision:{name}", "x")


def test_sets_whose_parts_have_other_classes() -> None:
    parts = [Parts([0], classes=["a"]), Parts([0], classes=["b"])]
    with pytest.raises(SourceError, match="x: its parts have different classes"):
        TorchvisionSource("x", parts, ["train", "test"])
    with pytest.raises(SourceError, match="use the source 'omniglot'"):
        open_source("torchvision:Omniglot", "x")


def test_a_set_that_cannot_be_split_by_guessing(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"EMNIST: say what its parts are with parts=\[\{\.\.\.\}, \.\.\.\]"):
        open_source("torchvision:EMNIST", tmp_path)


@pytest.mark.parametrize("attributes", [
    {}, {"targets": torch.tensor([3, 1, 3])}, {"_labels": [3, 1, 3]},
    {"samples": [("a", 3), ("b", 1), ("c", 3)]}, {"targets": [0, 0, 0]}, {"targets": ["x", "y", "z"]},
])  # fmt: skip
def test_labels_are_those_of_the_pictures_whatever_the_lists_say(attributes: dict[str, object]) -> None:
    source = TorchvisionSource("x", [Parts([3, 1, 3], **attributes)], ["all"])
    assert source.class_names == ("1", "3")
    assert source.labels.tolist() == [1, 0, 1]


def test_names_of_classes_may_be_synonyms_and_repeat() -> None:
    part = Parts([0, 1, 2], classes=[("crane",), ("heron", "egret"), ("crane",)])
    assert TorchvisionSource("x", [part], ["all"]).class_names == ("crane (0)", "heron, egret", "crane (2)")


def test_what_is_no_classification_set() -> None:
    with pytest.raises(SourceError, match="x: its labels are not one integer per image"):
        TorchvisionSource("x", [Parts([[1, 0], [0, 1]])], ["all"])


def test_what_is_no_picture() -> None:
    with pytest.raises(ImageError, match="all/0: the data set gives a Tensor in place of an image"):
        TorchvisionSource("x", [Parts([0], item=torch.zeros(3))], ["all"]).load(0)
    with pytest.raises(ImageError, match="all/0: 9 x 9 pixels are more than the limit of 80"):
        TorchvisionSource("x", [Parts([0], item=Image.new("L", (9, 9)))], ["all"]).load(0, max_pixels=80)


def test_a_picture_that_the_set_cannot_read(tmp_path: Path) -> None:
    write(tmp_path / "eurosat" / "2750", class_files(["Forest", "River"], 3))
    source = open_source("torchvision:EuroSAT", tmp_path)
    (tmp_path / "eurosat" / "2750" / "Forest" / "1.png").write_bytes(b"")
    images = decode(source, 8, 3)
    assert [file for file, _ in images.skipped] == ["all/eurosat/2750/Forest/1.png"]


def test_fingerprint_sees_other_content(tmp_path: Path) -> None:
    write(tmp_path / "eurosat" / "2750", class_files(["Forest", "River"], 3))
    before = open_source("torchvision:EuroSAT", tmp_path).fingerprint()
    assert open_source("torchvision:EuroSAT", tmp_path).fingerprint() == before
    write(tmp_path / "eurosat" / "2750", class_files(["Forest", "River"], 3, seed=70))
    assert open_source("torchvision:EuroSAT", tmp_path).fingerprint() != before


def test_frames_of_one_object_are_known_as_ordered() -> None:
    assert TorchvisionSource("x", [Parts([0])], ["all"], ordered=True).ordered
