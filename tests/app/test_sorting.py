"""A whole folder classified and sorted, without a browser."""

from __future__ import annotations

import dataclasses
import zipfile
from pathlib import Path

import pytest

from fewshot_film.app import sorting
from fewshot_film.app.sorting import Sorting, folder_name, sort_images
from fewshot_film.app.taught import TeachingError
from fewshot_film.app.teaching import Teaching
from fewshot_film.classifier import FewShotClassifier
from fewshot_film.page import Limits, UploadError
from fewshot_film.run.tables import read_csv
from tests.classifier.small import film_learner
from tests.commands.test_commands import draw_classes
from tests.data.layouts import pack


@pytest.fixture
def drawn(tmp_path: Path) -> list[list[Path]]:
    root = draw_classes(tmp_path / "drawn", 3)
    return [sorted(folder.iterdir()) for folder in sorted(root.iterdir())]


@pytest.fixture
def teaching(tmp_path: Path, drawn: list[list[Path]]) -> Teaching:
    folder = tmp_path / "visitor"
    folder.mkdir()
    made = Teaching(FewShotClassifier(film_learner(), device="cpu"), folder, Limits(files=20))
    for name, files in zip(("a", "b/c", "=d"), drawn, strict=True):
        made.add(made.add_class(name).number, files[:5])
    made.set_reject(0)
    return made


def last(steps) -> Sorting:
    *_, final = steps
    return final


def test_a_zip_is_sorted_by_the_predictions_that_single_images_get(teaching, drawn, tmp_path):
    files = {f"some/{place}{number}.png": drawn[place][number].read_bytes() for place in range(3) for number in (5, 6)}
    steps = list(sort_images(teaching, [pack(tmp_path / "query.zip", {**files, "some/bad.png": b"no image"})]))
    assert [(step.done, step.total) for step in steps] == [(0, 7), (7, 7), (7, 7)]
    found = steps[-1]
    assert len(found.troubles) == 1
    assert "bad.png" in found.troubles[0]
    for one in found.predictions:
        (tmp_path / "one.png").write_bytes(files[one.file])
        teaching.ask([tmp_path / "one.png"])
        assert one.name == teaching.verdict.name
        assert one.probability == pytest.approx(teaching.verdict.probabilities[one.name], abs=1e-4)
    rows = read_csv(found.table.read_text(encoding="utf-8"))
    assert [(row["file"], row["class"]) for row in rows] == [(one.file, one.name) for one in found.predictions]
    assert {row["class"] for row in rows} == {"a", "b/c", "=d"}
    with zipfile.ZipFile(found.archive) as archive:
        folders = {"a": "a", "b/c": "b_c", "=d": "=d"}
        assert set(archive.namelist()) == {f"{folders[one.name]}/{one.file}" for one in found.predictions}
        assert all(archive.read(f"{folders[one.name]}/{one.file}") == files[one.file] for one in found.predictions)


def test_what_is_larger_than_an_image_may_be_is_not_read(teaching, drawn, tmp_path):
    teaching.limits = dataclasses.replace(teaching.limits, file_bytes=2**16)
    bomb = pack(tmp_path / "bomb.zip", {"a.png": bytes(2**20), "b.png": drawn[0][5].read_bytes()})
    (tmp_path / "large.png").write_bytes(bytes(2**20))
    for files, told in (([bomb], "more than the limit"), ([tmp_path / "large.png", drawn[0][5]], "at most 0")):
        found = last(sort_images(teaching, files))
        assert len(found.predictions) == 1
        assert told in found.troubles[0]


def test_only_images_are_held_in_memory(teaching, drawn):
    troubles: list[str] = []
    named = iter([("bad.png", lambda: b"no image"), ("good.png", drawn[0][5].read_bytes)])
    images, contents = sorting._read(teaching, named, troubles)
    assert len(images) == len(troubles) == 1
    assert [*contents] == ["good.png"]


def test_images_of_the_same_name_stay_apart(teaching, drawn):
    found = last(sort_images(teaching, [drawn[0][5], drawn[1][5], drawn[2][5]]))
    assert [one.file for one in found.predictions] == ["5.png", "5 (2).png", "5 (3).png"]
    with zipfile.ZipFile(found.archive) as archive:
        assert len(archive.namelist()) == 3


def test_names_of_classes_as_folders():
    assert [folder_name(name) for name in ("a/b", "..", "../x", "x. ", "c:\\d", "cat 1")] == [
        "a_b",
        "_",
        "__x",
        "x_",
        "c__d",
        "cat 1",
    ]


def test_what_cannot_be_sorted_is_told(teaching, drawn, tmp_path, monkeypatch):
    with pytest.raises(UploadError, match="24 files at once"):
        last(sort_images(teaching, [file for files in drawn for file in files]))
    with pytest.raises(FileNotFoundError, match="holds some"):
        last(sort_images(teaching, [pack(tmp_path / "none.zip", {})]))
    monkeypatch.setattr(sorting, "MAX_SORTED", 2)
    with pytest.raises(TeachingError, match="sorts at most 2"):
        last(sort_images(teaching, drawn[0][:3]))
    teaching.clear()
    with pytest.raises(TeachingError, match="no classifier yet"):
        last(sort_images(teaching, drawn[0][:1]))
