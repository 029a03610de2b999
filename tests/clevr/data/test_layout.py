from __future__ import annotations

import re
from pathlib import Path

import pytest

from clevr.data.errors import DataNotFoundError
from clevr.data.layout import find_split, list_splits
from clevr.data.naming import image_filename
from clevr.data.reader import ClevrSplit
from tests.clevr.data.builders import a_question, a_scene, pack, write_clevr, write_json, write_picture


def write_wild(folder: Path) -> Path:
    write_json(folder / "CLEVR_questions.json", {"questions": [a_question(split="new")]})
    write_json(folder / "CLEVR_scenes.json", {"scenes": [a_scene(split="new")]})
    write_picture(folder / "images" / "CLEVR_new_000000.png")
    return folder


def test_image_filename() -> None:
    assert image_filename("trainA", 12) == "CLEVR_trainA_000012.png"


@pytest.mark.parametrize("split", ["train", "trainA", "valB", "test"])
def test_finds_clevrs_own_layout(tmp_path: Path, split: str) -> None:
    files = find_split(write_clevr(tmp_path, split), split)
    assert files.questions == f"questions/CLEVR_{split}_questions.json"
    assert files.scenes == f"scenes/CLEVR_{split}_scenes.json"
    assert files.images == f"images/{split}"
    assert list_splits(tmp_path) == [split]


def test_parts_may_be_missing(tmp_path: Path) -> None:
    write_json(tmp_path / "questions/CLEVR_test_questions.json", {"questions": []})
    files = find_split(tmp_path, "test")
    assert files.scenes is None
    assert files.images is None


def test_looks_into_the_one_folder_around_the_data(tmp_path: Path) -> None:
    write_clevr(tmp_path / "CLEVR_v1.0")
    assert find_split(tmp_path, "val").images == "CLEVR_v1.0/images/val"
    assert list_splits(tmp_path) == ["val"]


def test_finds_split_folders_of_the_wild(tmp_path: Path) -> None:
    for split in ("train", "val"):
        write_wild(tmp_path / split)
    assert find_split(tmp_path, "val").questions == "val/CLEVR_questions.json"
    assert list_splits(tmp_path) == ["train", "val"]


def test_one_split_folder_is_one_split(tmp_path: Path) -> None:
    write_wild(tmp_path / "train")
    assert list_splits(tmp_path) == ["train"]


def test_finds_what_the_public_generator_writes(tmp_path: Path) -> None:
    assert find_split(write_wild(tmp_path), "new").images == "images"
    assert list_splits(tmp_path) == ["new"]


def test_finds_the_same_in_a_zip(tmp_path: Path) -> None:
    archive = pack(write_clevr(tmp_path / "root"), tmp_path / "root.zip", prefix="CLEVR_v1.0/")
    assert find_split(archive, "val").questions == "CLEVR_v1.0/questions/CLEVR_val_questions.json"
    assert list_splits(archive) == ["val"]


@pytest.mark.parametrize("place", [".", "questions", "CLEVR-Humans", "../CLEVR-Humans"])
def test_finds_the_questions_of_clevr_humans(tmp_path: Path, place: str) -> None:
    root = write_clevr(tmp_path / "root")
    name = "CLEVR-Humans-val.json"
    write_json(root / place / name, {"questions": []})
    files = find_split(root, "val", humans=True)
    assert files.questions is not None
    found = files.storage_of(files.questions).label(files.questions)
    assert Path(found).resolve() == (root / place / name).resolve()
    assert files.images is not None
    assert files.storage_of(files.images) is files.storage


@pytest.mark.parametrize("prefix", [None, "", "CLEVR-Humans/"])
def test_finds_the_questions_of_clevr_humans_beside_a_zip(tmp_path: Path, prefix: str | None) -> None:
    archive = pack(write_clevr(tmp_path / "root"), tmp_path / "CLEVR_v1.0.zip", prefix="CLEVR_v1.0/")
    humans = tmp_path / ("CLEVR-Humans" if prefix is None else "unpacked")
    record = a_question(question="Is the cube shiny?", answer="yes")
    write_json(humans / "CLEVR-Humans-val.json", {"questions": [record]})
    if prefix is not None:
        pack(humans, tmp_path / "CLEVR-Humans.zip", prefix)
    split = ClevrSplit.open(archive, "val", humans=True)
    assert list(split.table(tmp_path / "cache").texts) == ["Is the cube shiny?"]
    assert len(split.images) == 2


def test_no_questions_of_clevr_humans(tmp_path: Path) -> None:
    message = f"no CLEVR-Humans-val.json for {tmp_path}; looked in it, in questions/ and CLEVR-Humans/ there"
    with pytest.raises(DataNotFoundError, match=re.escape(message)):
        find_split(write_clevr(tmp_path), "val", humans=True)


def test_no_such_split(tmp_path: Path) -> None:
    write_clevr(tmp_path, "train")
    with pytest.raises(DataNotFoundError) as caught:
        find_split(tmp_path, "val")
    message = str(caught.value)
    assert f"no split 'val' in {tmp_path}; splits there: train. Looked for one of:" in message
    assert "images/val/, scenes/CLEVR_val_scenes.json" in message
    assert "https://cs.stanford.edu/people/jcjohns/clevr/" in message
    assert "clevr-film generate" in message


def test_nothing_there(tmp_path: Path) -> None:
    with pytest.raises(DataNotFoundError, match="splits there: none"):
        find_split(tmp_path, "val")
