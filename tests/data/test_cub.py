from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from fewshot_film.data import SourceError, decode, open_source
from fewshot_film.data.cub import cub, cub_part
from tests.data.layouts import noise, pack, png, write

NAMES = [f"{number:03d}.Bird_{number}" for number in range(1, 201)]


def files(prefix: str = "CUB_200_2011/images/") -> dict[str, bytes]:
    return {f"{prefix}{name}/Bird_{n}.jpg": b"x" for name in NAMES for n in range(2)}


def test_parts_follow_chens_rule() -> None:
    """Of the sorted folders numbered from 0: even ones, those that leave 1 divided by 4, those that leave 3."""
    parts = {part: [n for n in range(200) if cub_part(n + 1) == part] for part in ("train", "val", "test")}
    assert parts["train"] == [n for n in range(200) if n % 2 == 0]
    assert parts["val"] == [n for n in range(200) if n % 4 == 1]
    assert parts["test"] == [n for n in range(200) if n % 4 == 3]
    assert Counter(cub_part(n) for n in range(1, 201)) == {"train": 100, "val": 50, "test": 50}


@pytest.mark.parametrize("kind", ["folder", "zip"])
@pytest.mark.parametrize("prefix", ["CUB_200_2011/images/", "images/", ""])
def test_layouts(tmp_path: Path, kind: str, prefix: str) -> None:
    beside = {"CUB_200_2011/README": b"x", **{f"segmentations/{NAMES[0]}/Bird_{n}.png": b"x" for n in range(2)}}
    every = {**files(prefix), **beside}
    root = write(tmp_path / "c", every) if kind == "folder" else pack(tmp_path / "c.zip", every)
    assert open_source("cub", root).class_names == tuple(NAMES)
    assert len(cub(root)) == 400
    assert cub(root, "train").class_names == tuple(NAMES[::2])
    assert cub(root, "val").class_names == tuple(NAMES[1::4])
    assert cub(root, "test").class_names == tuple(NAMES[3::4])


def test_pictures_are_read(tmp_path: Path) -> None:
    birds = {f"CUB_200_2011/images/{NAMES[3]}/Bird_{n}.jpg": png(noise(n), "JPEG") for n in (0, 1)}
    root = write(tmp_path, files() | birds)
    assert decode(cub(root, "test").select([NAMES[3]]), 8, 3).class_sizes.tolist() == [2]


def test_what_is_missing(tmp_path: Path) -> None:
    write(tmp_path / "c", {name: data for name, data in files().items() if "Bird_17/" not in name})
    with pytest.raises(SourceError, match=r"cub: 1 of the 200 species' folders are not below '.*', first number 017"):
        cub(tmp_path / "c", "test")
    with pytest.raises(FileNotFoundError, match=r"folders 001.<species> to 200.<species> with JPEG images"):
        cub(write(tmp_path / "other", {"a/b.jpg": b"x"}))
    with pytest.raises(SourceError, match="cub: no split 'novel'; there are train, val, test"):
        cub(write(tmp_path / "d", files()), "novel")
