from __future__ import annotations

from pathlib import Path

import pytest

from fewshot_film.data import SourceError, decode
from fewshot_film.data.omniglot import omniglot, vinyals_split
from tests.data.layouts import class_files, pack, write

CHARACTERS = ["Greek/character01", "Greek/character02", "Latin/character01"]
FILES = {
    **class_files(CHARACTERS, 2, prefix="images_background/"),
    **class_files(["Tibetan/character01"], 2, prefix="images_evaluation/", seed=50),
}
LATER = {f"omniglot-py/{name}": data for name, data in FILES.items()}


@pytest.mark.parametrize("files", [FILES, LATER, {**LATER, "omniglot-py/images_background.zip": b"x"}])
@pytest.mark.parametrize("kind", ["folder", "zip"])
def test_layouts(tmp_path: Path, files: dict[str, bytes], kind: str) -> None:
    root = write(tmp_path / "o", files) if kind == "folder" else pack(tmp_path / "o.zip", files)
    source = omniglot(root)
    assert source.class_names == (*CHARACTERS, "Tibetan/character01")
    assert omniglot(root, "background").class_names == tuple(CHARACTERS)
    assert omniglot(root, "evaluation").class_names == ("Tibetan/character01",)
    assert source.load(0).size == (8, 8)
    assert dict(source.groups.groups)["Greek"] == ("Greek/character01", "Greek/character02")
    assert source.groups.kind == "members"


def test_vinyals_split_takes_its_characters_in_order(tmp_path: Path) -> None:
    split = vinyals_split()
    half = dict.fromkeys(("Greek/character01",), "images_background/")
    every = [name for names in split.values() for name in names]
    files = {f"{half.get(name, 'images_evaluation/')}{name}/0.png": b"x" for name in every}
    root = pack(tmp_path / "o.zip", files)
    for part, names in split.items():
        assert omniglot(root, part).class_names == tuple(names)


def test_a_split_needs_its_characters(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="omniglot: 1025 of 1028 requested classes do not exist"):
        omniglot(pack(tmp_path / "o.zip", FILES), "train")
    with pytest.raises(SourceError, match="omniglot: no split 'training'; there are test, train, val"):
        omniglot(pack(tmp_path / "o.zip", FILES), "training")


@pytest.mark.parametrize("files", [{}, class_files(CHARACTERS, 1, prefix="images_background/")])
def test_nothing_there_or_only_half(tmp_path: Path, files: dict[str, bytes]) -> None:
    message = r"omniglot: no data at .*images_background/<alphabet>.*download=True"
    with pytest.raises(FileNotFoundError, match=message):
        omniglot(write(tmp_path / "o", files) if files else tmp_path / "none")


def test_pictures_at_another_depth(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"'images_background/x.png' does not lie at images_background/<alphabet>"):
        omniglot(pack(tmp_path / "o.zip", {**FILES, "images_background/x.png": b"x"}))


def test_the_real_one(shared_data: Path) -> None:
    source = omniglot(shared_data / "omniglot.zip")
    assert len(source.class_names) == 1623
    assert len(source) == 32460
    sizes = {part: len(omniglot(shared_data / "omniglot.zip", part)) for part in ("train", "val", "test")}
    assert sizes == {"train": 20560, "val": 3440, "test": 8460}


def test_the_one_picture_that_the_real_one_has_twice(shared_data: Path) -> None:
    source = omniglot(shared_data / "omniglot.zip", "train").select(["Braille/character01"])
    images = decode(source, 105, 1)
    assert [tuple(file[-6:-4] for file in pair) for pair in images.duplicates] == [("19", "03")]
    assert images.class_sizes.tolist() == [19]
