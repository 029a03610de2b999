from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fewshot_film.data.cifar import cifar_fs_split, fc100_split
from fewshot_film.data.errors import SourceError
from fewshot_film.data.glyphs import glyph_split
from fewshot_film.data.mini_imagenet import mini_imagenet_split
from fewshot_film.data.omniglot import vinyals_split
from fewshot_film.data.splits import check_disjoint, published, read_split, seeded_split, take_part
from fewshot_film.data.tiered_imagenet import tiered_imagenet_split
from tests.data.layouts import array_source

NAMES = [f"class {number}" for number in range(25)]


@pytest.mark.parametrize(("split", "sizes"), [
    (vinyals_split(), {"train": 1028, "val": 172, "test": 423}),
    (cifar_fs_split(), {"train": 64, "val": 16, "test": 20}),
    (fc100_split(), {"train": 60, "val": 20, "test": 20}),
    (glyph_split(), {"train": 990, "val": 168, "test": 203}),
    (mini_imagenet_split(), {"train": 64, "val": 16, "test": 20}),
    (tiered_imagenet_split(), {"train": 351, "val": 97, "test": 160}),
])  # fmt: skip
def test_published_splits_have_their_sizes_and_share_no_class(
    split: dict[str, list[str]], sizes: dict[str, int]
) -> None:
    assert {part: len(set(names)) for part, names in split.items()} == sizes
    check_disjoint(split, "x")


def test_fc100_covers_the_classes_of_cifar_fs() -> None:
    assert {n for names in fc100_split().values() for n in names} == {
        n for names in cifar_fs_split().values() for n in names
    }
    assert {len(names) for names in published("cifar-100-superclasses").values()} == {5}
    assert "wolf" in fc100_split()["val"]
    assert "woman" in fc100_split()["test"]


@given(st.permutations(NAMES), st.integers(0, 5))
def test_seeded_split_ignores_the_order_of_names(names: list[str], seed: int) -> None:
    split = seeded_split(names, seed=seed)
    assert split == seeded_split(NAMES, seed=seed)
    assert [len(split[part]) for part in ("train", "val", "test")] == [16, 4, 5]
    assert sorted(n for part in split.values() for n in part) == sorted(NAMES)


def test_seeded_split_depends_on_the_seed_and_is_pinned() -> None:
    assert seeded_split(NAMES, seed=1) != seeded_split(NAMES, seed=2)
    assert seeded_split(["a", "b", "c", "d"], fractions=(0.5, 0.25, 0.25)) == {
        "train": ["b", "c"], "val": ["d"], "test": ["a"]
    }  # fmt: skip


@pytest.mark.parametrize("fractions", [(0.5, 0.5, 0.5), (1.5, -0.5, 0.0)])
def test_fractions_must_be_shares(fractions: tuple[float, float, float]) -> None:
    with pytest.raises(ValueError, match="fractions must be three shares that sum to 1"):
        seeded_split(NAMES, fractions=fractions)


def test_read_split(tmp_path: Path) -> None:
    path = tmp_path / "split.json"
    path.write_text(json.dumps({"train": ["a", "ネコ"], "test": ["b"]}), "utf-8")
    assert read_split(path) == {"train": ["a", "ネコ"], "test": ["b"]}


@pytest.mark.parametrize(("text", "message"), [
    ("{", "is not JSON"),
    ("[]", "expected {'train'"),
    ('{"train": "a"}', "expected {'train'"),
    ('{"train": [1]}', "expected {'train'"),
    ('{"train": ["a", "b"], "test": ["b"]}', "class 'b' is both in 'train' and in 'test'"),
])  # fmt: skip
def test_split_files_that_make_no_sense(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "split.json"
    path.write_text(text)
    with pytest.raises(SourceError, match=message):
        read_split(path)


def test_no_split_file(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"no split file at .*: expected JSON"):
        read_split(tmp_path / "none.json")


def test_take_part() -> None:
    source = array_source([1, 2, 3])
    assert take_part(source, {"test": ["class 2", "class 0"]}, "test").labels.tolist() == [0, 0, 0, 1]
    with pytest.raises(SourceError, match="noise: no split 'val'; there are test, train"):
        take_part(source, {"train": [], "test": []}, "val")
    with pytest.raises(SourceError, match="1 of 1 requested classes do not exist: 'class 9'"):
        take_part(source, {"test": ["class 9"]}, "test")
