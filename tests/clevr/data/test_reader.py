from __future__ import annotations

import gc
import json
import re
import struct
from pathlib import Path

import pytest
from PIL import Image

from clevr.data.errors import DataError, DataNotFoundError
from clevr.data.reader import ClevrSplit, read_questions
from tests.clevr.data.builders import a_question, a_scene, pack, write_clevr, write_json


@pytest.fixture(params=["folder", "zip"])
def root(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    folder = write_clevr(tmp_path / "set", num_scenes=3)
    return folder if request.param == "folder" else pack(folder, tmp_path / "set.zip")


def test_reads_questions_scenes_and_pictures(root: Path) -> None:
    split = ClevrSplit.open(root, "val")
    assert [question.to_json() for question in split.questions()] == [a_question(index) for index in range(3)]
    assert [json.loads(json.dumps(scene.to_json())) for scene in split.scenes()] == [a_scene(i) for i in range(3)]
    assert split.images == {f"CLEVR_val_{index:06d}.png" for index in range(3)}
    picture = split.load_image("CLEVR_val_000002.png")
    assert (picture.mode, picture.size) == ("RGB", (12, 8))
    assert split.info() == {"split": "val", "version": "1.0"}
    assert str(root) in repr(split)


def test_leaves_no_file_open_when_reading_stops_early(root: Path) -> None:
    split = ClevrSplit.open(root, "val")
    next(split.questions())
    split.info()
    gc.collect()  # an unclosed file would be a warning, and so an error


def test_cached_table_is_made_once_per_content(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root, cache = write_clevr(tmp_path / "set"), tmp_path / "cache"
    split = ClevrSplit.open(root, "val")
    assert list(split.table().texts) == list(split.table(cache).texts)
    with monkeypatch.context() as patch:
        patch.setattr(ClevrSplit, "questions", lambda self: pytest.fail("read again"))
        assert len(split.table(cache)) == 2
    write_json(root / "questions/CLEVR_val_questions.json", {"questions": [a_question(question="Another text?")]})
    assert list(split.table(cache).texts) == ["Another text?"]


def test_question_about_a_picture_that_is_not_there(tmp_path: Path) -> None:
    root = write_clevr(tmp_path)
    (root / "images/val/CLEVR_val_000001.png").unlink()
    file = root / "questions/CLEVR_val_questions.json"
    message = f"{file}, record 1 of 'questions': asks about CLEVR_val_000001.png, which is not in {root}/images/val"
    with pytest.raises(DataError, match=re.escape(message)):
        list(ClevrSplit.open(root, "val").questions())


def test_hidden_files_are_no_pictures(tmp_path: Path) -> None:
    root = write_clevr(tmp_path)
    (root / "images/val/.DS_Store").write_bytes(b"what a file manager notes down")
    assert ClevrSplit.open(root, "val").images == {"CLEVR_val_000000.png", "CLEVR_val_000001.png"}


def test_without_pictures_none_is_missed(tmp_path: Path) -> None:
    write_json(tmp_path / "questions/CLEVR_val_questions.json", {"questions": [a_question()]})
    split = ClevrSplit.open(tmp_path, "val")
    assert len(list(split.questions())) == 1
    with pytest.raises(DataNotFoundError, match=r"the split 'val' of .* has no images. Get CLEVR v1\.0"):
        split.load_image("CLEVR_val_000000.png")
    with pytest.raises(DataNotFoundError, match=r"the split 'val' of .* has no scenes"):
        split.scenes()


def test_truncated_files_name_file_and_position(root: Path, tmp_path: Path) -> None:
    folder = write_clevr(tmp_path / "cut", num_scenes=3)
    file = folder / "questions/CLEVR_val_questions.json"
    text = file.read_text(encoding="utf-8")
    file.write_text(text[: text.index("CLEVR_val_000002")], encoding="utf-8")
    with pytest.raises(
        DataError, match=re.escape(f"{file}, record 2 of 'questions', character ") + r"\d+: .*cut short"
    ):
        list(ClevrSplit.open(folder, "val").questions())


def test_damaged_picture(tmp_path: Path) -> None:
    root = write_clevr(tmp_path)
    path = root / "images/val/CLEVR_val_000000.png"
    path.write_bytes(path.read_bytes()[:45])
    split = ClevrSplit.open(root, "val")
    with pytest.raises(DataError, match=re.escape(f"{path}: not a complete image")):
        split.load_image(path.name)
    path.write_bytes(b"text")
    with pytest.raises(DataError, match=re.escape(f"{path}: not a complete image")):
        split.load_image(path.name)
    path.unlink()
    with pytest.raises(DataNotFoundError, match=re.escape(f"{path} does not exist; Get CLEVR v1.0")):
        split.load_image(path.name)


@pytest.mark.parametrize("error", [struct.error("short"), KeyError(3), Image.DecompressionBombError("too large")])
def test_whatever_pillow_raises_names_the_picture(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    split = ClevrSplit.open(write_clevr(tmp_path), "val")
    monkeypatch.setattr(Image.Image, "convert", fail)
    with pytest.raises(DataError, match=r"CLEVR_val_000000\.png: not a complete image"):
        split.load_image("CLEVR_val_000000.png")


def test_reads_one_file_of_questions(tmp_path: Path) -> None:
    path = write_json(tmp_path / "a.json", [a_question()])
    assert [question.answer for question in read_questions(path)] == ["1"]
    with pytest.raises(DataNotFoundError, match=r"b\.json does not exist; expected a JSON file of questions"):
        read_questions(tmp_path / "b.json")


def test_clevr_humans_questions_belong_to_clevrs_pictures(tmp_path: Path) -> None:
    root = write_clevr(tmp_path)
    record = {
        "image_index": 1,
        "image_filename": "CLEVR_val_000001.png",
        "split": "val",
        "question": "Is there more than one ball?",
        "answer": "No",
    }
    write_json(root / "CLEVR-Humans/CLEVR-Humans-val.json", {"questions": [record]})
    split = ClevrSplit.open(root, "val", humans=True)
    (question,) = split.questions()
    assert (question.answer, question.program) == ("no", None)
    assert question.image_filename in split.images
