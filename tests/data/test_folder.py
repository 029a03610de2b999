from __future__ import annotations

import json
import unicodedata
from pathlib import Path

import pytest

from fewshot_film.data import SourceError, decode
from fewshot_film.data.folder import folder
from tests.data.layouts import class_files, noise, pack, png, write


@pytest.mark.parametrize("kind", ["folder", "zip"])
@pytest.mark.parametrize("wrapping", ["", "pets/", "a/b/"])
def test_classes_in_any_script_wrapped_or_not(tmp_path: Path, kind: str, wrapping: str) -> None:
    names = ["ネコ", "кот", "hund mit leerzeichen", "قطة", "100%", "a.b"]
    files = class_files(names, 2, prefix=wrapping)
    root = write(tmp_path / "p", files) if kind == "folder" else pack(tmp_path / "p.zip", files)
    source = folder(root)
    assert source.class_names == tuple(sorted(names))
    assert source.name == "p"
    assert decode(source, 8, 3).class_sizes.tolist() == [2] * 6


def test_one_class_is_not_taken_for_a_wrapping_folder(tmp_path: Path) -> None:
    assert folder(write(tmp_path, class_files(["cat"], 3))).class_names == ("cat",)


def test_extensions_do_not_matter(tmp_path: Path) -> None:
    root = write(tmp_path, {"a/picture": png(noise(1)), "a/b.txt": png(noise(2), "JPEG"), "a/c.PNG": png(noise(3))})
    assert len(decode(folder(root), 8, 3)) == 3


def test_pictures_outside_class_folders_are_listed(tmp_path: Path) -> None:
    root = write(tmp_path, {**class_files("ab", 1), "stray.PNG": png(noise(9)), "readme.txt": b"x"})
    source = folder(root)
    assert source.set_aside == (("stray.PNG", "lies in no class folder"),)
    assert decode(source, 8, 3).skipped == source.set_aside


def test_deeper_folders_need_a_word(tmp_path: Path) -> None:
    root = write(tmp_path, class_files(["Latin/a", "Latin/b", "Greek/α"], 1))
    with pytest.raises(SourceError, match=r"'Greek/α/0.png' lies deeper than 1 folder.* pass depth=2 if 2 folders"):
        folder(root)
    assert folder(root, depth=2).class_names == ("Greek/α", "Latin/a", "Latin/b")


def test_class_names_are_compared_in_one_unicode_form(tmp_path: Path) -> None:
    composed, decomposed = (unicodedata.normalize(form, "é") for form in ("NFC", "NFD"))
    assert folder(write(tmp_path / "1", class_files([decomposed], 1))).class_names == (composed,)
    with pytest.raises(SourceError, match="two folders are both named 'é' in different Unicode forms"):
        folder(write(tmp_path / "2", class_files([composed, decomposed], 1)))


@pytest.mark.parametrize("files", [{}, {"a.png": b"x"}])
def test_nothing_there(tmp_path: Path, files: dict[str, bytes]) -> None:
    message = "Looked for a folder or zip with <class>/<picture>. How to get it: make one folder per class"
    with pytest.raises(FileNotFoundError, match=message):
        folder(write(tmp_path, files))
    with pytest.raises(FileNotFoundError, match=message):
        folder(tmp_path / "nothing")


def test_parts_with_classes_of_their_own_are_a_split(tmp_path: Path) -> None:
    files = {**class_files("ab", 1, prefix="train/"), **class_files("c", 1, prefix="test/", seed=9)}
    root = write(tmp_path, files)
    assert folder(root).class_names == ("a", "b", "c")
    assert folder(root, "train").class_names == ("a", "b")
    assert folder(root, "test").files == ["test/c/0.png"]
    with pytest.raises(SourceError, match="no split 'val'; there are test, train"):
        folder(root, "val")


def test_parts_that_share_classes_are_joined_and_never_a_class_split(tmp_path: Path) -> None:
    files = {**class_files("abcde", 2, prefix="train/"), **class_files("abcde", 1, prefix="test/", seed=99)}
    root = pack(tmp_path / "p.zip", files)
    assert len(folder(root)) == 15
    with pytest.raises(SourceError, match=r"class 'a' is both in .* episodes of both would share classes"):
        folder(root, "test")
    dealt = [folder(root, part, split_seed=0).class_names for part in ("train", "val", "test")]
    assert sorted(name for names in dealt for name in names) == list("abcde")
    assert [len(names) for names in dealt] == [3, 1, 1]


def test_split_file(tmp_path: Path) -> None:
    root = write(tmp_path / "p", class_files("abc", 1))
    (tmp_path / "split.json").write_text(json.dumps({"train": ["b"], "test": ["a", "c"]}))
    assert folder(root, "test", split_file=tmp_path / "split.json").class_names == ("a", "c")


def test_a_split_of_a_plain_folder_must_be_said(tmp_path: Path) -> None:
    root = write(tmp_path, class_files("abc", 1))
    with pytest.raises(SourceError, match=r"no folders train, val, test at the top; pass split_file=.* or split_seed"):
        folder(root, "train")


def test_ordered_is_handed_on(tmp_path: Path) -> None:
    source = folder(write(tmp_path, class_files("ab", 2)), ordered=True, name="film")
    assert source.name == "film"
    assert source.select("a").ordered
    assert decode(source, 8, 3).with_rotations().ordered
