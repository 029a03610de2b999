from __future__ import annotations

import json
import logging
import shutil
import unicodedata
from pathlib import Path

import pytest

from fewshot_film.data import SourceError, decode
from fewshot_film.data.folder import folder
from fewshot_film.run.tables import csv_text
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
    assert source.set_aside == (("stray.PNG", "is not in a class folder"),)
    assert decode(source, 8, 3).skipped == source.set_aside


@pytest.mark.parametrize("kind", ["folder", "zip"])
def test_sub_folders_are_part_of_their_class(tmp_path: Path, kind: str, caplog: pytest.LogCaptureFixture) -> None:
    files = class_files(["Latin/a", "Latin/b", "Latin", "Greek/α/β"], 1)
    root = write(tmp_path / "p", files) if kind == "folder" else pack(tmp_path / "p.zip", files)
    with caplog.at_level(logging.WARNING):
        source = folder(root)
    assert source.class_names == ("Greek", "Latin")
    assert source.labels.tolist() == [0, 1, 1, 1]
    note = "images in subfolders of a class folder belong to that class: 'Greek' (1), 'Latin' (2)"
    assert source.notes == (note,)
    assert f"p: {note}" in caplog.text
    assert "depth" not in caplog.text  # a setting that most callers do not have


def test_more_folders_may_make_the_name_of_a_class(tmp_path: Path) -> None:
    root = write(tmp_path, class_files(["Latin/a", "Latin/b", "Greek/α", "Greek/α/old"], 1))
    assert folder(root, depth=2).class_names == ("Greek/α", "Latin/a", "Latin/b")


def test_sub_folders_in_parts(tmp_path: Path) -> None:
    files = {**class_files(["a", "b/c"], 1, prefix="train/"), **class_files(["d/e"], 1, prefix="test/", seed=9)}
    root = write(tmp_path, files)
    assert folder(root).class_names == ("a", "b", "d")
    assert folder(root, "train").class_names == ("a", "b")


@pytest.mark.parametrize("kind", ["folder", "zip"])
@pytest.mark.parametrize("wrapping", ["", "pets/"])
def test_empty_class_folders_are_listed(tmp_path: Path, kind: str, wrapping: str) -> None:
    root = write(tmp_path / "p", class_files("ab", 1, prefix=wrapping))
    (root / wrapping / "c").mkdir()
    (root / wrapping / "d" / "e").mkdir(parents=True)
    (root / wrapping / "__MACOSX").mkdir()
    if kind == "zip":
        root = Path(shutil.make_archive(str(tmp_path / "z"), "zip", root))
    expected = [(f"{wrapping}{name}/", "is an empty class folder") for name in "cd"]
    assert list(folder(root).set_aside) == expected


@pytest.mark.parametrize("kind", ["folder", "zip"])
@pytest.mark.parametrize("prefix", ["", "photos/", "images/"])
@pytest.mark.parametrize("head", ["file,label\n", "filename,class\n", "", "Image;Category\n", "bild,tier\n"])
def test_a_csv_labels_a_flat_folder(tmp_path: Path, kind: str, prefix: str, head: str) -> None:
    files = {f"{prefix}{number}.png": png(noise(number)) for number in range(4)}
    lines = [f"{number}.png,{'cat' if number % 2 else 'dog'}" for number in range(4)]
    table = (head + "\n".join(lines)).replace(",", ";" if ";" in head else ",")
    files[f"{'' if prefix == 'images/' else prefix}labels.csv"] = table.encode("utf-8-sig")
    source = folder(write(tmp_path / "p", files) if kind == "folder" else pack(tmp_path / "p.zip", files))
    assert source.class_names == ("cat", "dog")
    assert [(source.class_names[label], file[-5]) for label, file in zip(source.labels, source.files, strict=True)] == [
        ("cat", "1"), ("cat", "3"), ("dog", "0"), ("dog", "2"),
    ]  # fmt: skip
    assert source.set_aside == ()
    assert len(decode(source, 8, 3)) == 4


def test_a_csv_that_is_safe_in_a_spreadsheet_labels_the_same_images(tmp_path: Path) -> None:
    table = csv_text(("file", "class"), [("=1.png", "-a"), ("'b.png", "'=b")])
    source = folder(write(tmp_path, {"=1.png": png(noise(0)), "'b.png": png(noise(1)), "labels.csv": table.encode()}))
    assert sorted(zip(source.files, (source.class_names[label] for label in source.labels), strict=True)) == [
        ("'b.png", "'=b"),
        ("=1.png", "-a"),
    ]


def test_a_csv_may_name_absolute_paths(tmp_path: Path) -> None:
    root = write(tmp_path / "data", {"x/a.png": png(noise(0)), "x/b.png": png(noise(1)), "c.png": png(noise(2))})
    (tmp_path / "link").symlink_to(root)
    lines = ["file,label", f"{root}/x/a.png,1", f"{tmp_path}/link/x/b.png,2", f"{tmp_path}/elsewhere/c.png,1"]
    (root / "labels.csv").write_text("\n".join(lines), encoding="utf-8")
    source = folder(tmp_path / "link")
    assert source.files == ["x/a.png", "x/b.png"]
    assert dict(source.set_aside)["labels.csv, line 4"].endswith("elsewhere/c.png', which is not there")


def test_what_a_csv_leaves_out_is_listed(tmp_path: Path) -> None:
    files = {f"{name}.png": png(noise(seed)) for seed, name in enumerate("abcdef")}
    table = "file,label\na.png,x\nb.png,y\nb.png,y\nc.png,x\nc.png,y\nd.png,\ngone.png,x\nf.png\n"
    source = folder(write(tmp_path, {**files, "labels.csv": table.encode()}))
    assert source.files == ["a.png", "b.png"]
    assert dict(source.set_aside) == {
        "labels.csv, line 4": "names 'b.png' a second time",
        "c.png": "has two labels in labels.csv, 'x' and 'y'",
        "d.png": "has an empty label in labels.csv",
        "labels.csv, line 8": "names 'gone.png', which is not there",
        "labels.csv, line 9": "has 1 column, too few for a file and a label",
        "e.png": "is not listed in labels.csv",
        "f.png": "is not listed in labels.csv",
    }
    assert decode(source, 8, 3).skipped == source.set_aside


@pytest.mark.parametrize(("table", "message"), [
    (b"x,y,z\n1,2,3\n", "labels.csv: its first line is 'x,y,z'; expected the headings 'file,label'"),
    (b"file,label\nb.png,x\n", "labels.csv: no line leads to an image; labels.csv, line 2: names 'b.png'"),
    ("file,label\na.png,größe\n".encode("latin-1"), "labels.csv: is not UTF-8"),
    (b"", "labels.csv: the file is empty"),
    (b"file,label\n", "labels.csv: no line leads to an image; there is none below the headings"),
])  # fmt: skip
def test_a_csv_that_cannot_be_used(tmp_path: Path, table: bytes, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        folder(write(tmp_path, {"a.png": png(noise(1)), "labels.csv": table}))


def test_of_several_csvs_the_one_with_the_labels_must_be_known(tmp_path: Path) -> None:
    table = b"file,label\na.png,x\n"
    root = write(tmp_path, {"a.png": png(noise(1)), "1.csv": table, "2.csv": table})
    with pytest.raises(SourceError, match=r"1.csv, 2.csv: rename the CSV with the labels to labels.csv"):
        folder(root)
    assert folder(write(root, {"labels.csv": table})).class_names == ("x",)


def test_class_folders_come_before_a_csv(tmp_path: Path) -> None:
    assert folder(write(tmp_path, {**class_files("ab", 1), "labels.csv": b"x"})).class_names == ("a", "b")


def test_loose_images_say_what_was_expected_and_seen(tmp_path: Path) -> None:
    root = write(tmp_path, {f"{number}.jpg": png(noise(number), "JPEG") for number in range(5)})
    with pytest.raises(FileNotFoundError, match=r"or with images and a labels.csv \(file,label\)") as caught:
        folder(root)
    assert str(caught.value).endswith("Found 5 images outside class folders: 0.jpg, 1.jpg, 2.jpg, ...")


def test_class_names_are_compared_in_one_unicode_form(tmp_path: Path) -> None:
    composed, decomposed = (unicodedata.normalize(form, "é") for form in ("NFC", "NFD"))
    assert folder(write(tmp_path / "1", class_files([decomposed], 1))).class_names == (composed,)
    with pytest.raises(SourceError, match="two folders are both named 'é' in different Unicode forms"):
        folder(write(tmp_path / "2", class_files([composed, decomposed], 1)))


@pytest.mark.parametrize("files", [{}, {"a.png": b"x"}])
def test_nothing_there(tmp_path: Path, files: dict[str, bytes]) -> None:
    message = "Looked for a folder or zip with <class>/<image>, or .* How to get it: make one folder per class"
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
