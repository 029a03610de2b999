from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fewshot_film.commands.classify import MAX_LINES, Named, draw, screenful
from fewshot_film.commands.queries import Queries, truths
from fewshot_film.data import open_source
from tests.commands.pictures import fewshot_film, place  # noqa: F401 - a fixture

KNOWN = ("class 00", "class 01", "class 02")


@pytest.fixture
def folders(place: Path, tmp_path: Path) -> tuple[Path, Path]:  # noqa: F811
    """Three classes of six images to learn from, and the other two images of each to ask about."""
    support, query = tmp_path / "support", tmp_path / "query"
    for name in KNOWN:
        shutil.copytree(place / "labelled" / name, support / name)
        (query / name).mkdir(parents=True)
        for number in (6, 7):
            (support / name / f"{number}.png").rename(query / name / f"{number}.png")
    return support, query


def classify(place: Path, support: Path, query: Path, *words: object) -> int:  # noqa: F811
    return fewshot_film("classify", "--model", place / "model", "--support", support, "--query", query, *words)


def rows(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader((path / "predictions.csv").read_text().splitlines()))


def test_pictures_are_named_scored_and_drawn(place: Path, folders, tmp_path: Path, capsys):  # noqa: F811
    out = tmp_path / "out"
    assert classify(place, *folders, "--out", out) == 0
    found = rows(out)
    assert [row["file"] for row in found] == [f"{name}/{number}.png" for name in KNOWN for number in (6, 7)]
    assert [row["truth"] for row in found] == [name for name in KNOWN for _ in range(2)]
    right = sum(row["class"] == row["truth"] for row in found)
    assert right >= 4
    assert [row["right"] for row in found].count("true") == right
    for row in found:
        assert 1 / 3 < float(row["probability"]) <= 1
        assert row["otherwise"] in set(KNOWN) - {row["class"]}
        assert float(row["distance"]) >= 0
    printed = capsys.readouterr().out
    assert f"{right} of 6 right ({100 * right / 6:.1f} %)" in printed
    assert printed.count("\n| class ") == 6
    assert "second choice | true class" in printed
    assert printed.count("| ✗ class ") == 6 - right
    with Image.open(out / "predictions.png") as picture:
        sheet = np.asarray(picture.convert("RGB")).astype(int)
    blue = np.abs(sheet - (0x00, 0x72, 0xB2)).sum(2) < 30
    assert blue.sum() > 200 * right


def test_one_json_document_for_scripts(place: Path, folders, capsys):  # noqa: F811
    support, query = folders
    assert classify(place, support, query, "--format=json") == 0
    found = json.loads(capsys.readouterr().out)
    assert len(found["classes"]) == len(list(support.iterdir()))
    assert found["score"]["of"] == len(found["images"])
    assert found["score"]["right"] == sum(one["right"] for one in found["images"])
    assert all(one["class"] in found["classes"] and 0 < one["probability"] <= 1 for one in found["images"])


def test_flat_folders_zips_and_single_pictures(place: Path, folders, tmp_path: Path, capsys):  # noqa: F811
    support, query = folders
    flat = tmp_path / "flat"
    flat.mkdir()
    for name in KNOWN:
        shutil.copy(query / name / "6.png", flat / f"{name}.png")
    (flat / "broken.png").write_bytes(b"no picture")
    (flat / ".hidden.png").write_bytes((flat / "class 00.png").read_bytes())
    packed = shutil.make_archive(str(tmp_path / "packed"), "zip", flat)
    answers = []
    for index, where in enumerate((flat, packed)):
        assert classify(place, support, where, "--out", tmp_path / str(index)) == 0
        answers.append([(row["file"], row["class"], row["truth"]) for row in rows(tmp_path / str(index))])
    assert answers[0] == answers[1]
    assert [file for file, _, _ in answers[0]] == [f"{name}.png" for name in KNOWN]
    assert {truth for _, _, truth in answers[0]} == {""}
    printed = capsys.readouterr().out
    assert "right" not in printed
    assert "true class" not in printed
    assert classify(place, support, flat / "class 01.png", "--out", tmp_path / "one") == 0
    (one,) = rows(tmp_path / "one")
    assert (one["file"], one["class"]) == answers[0][1][:2]


def test_a_class_that_only_the_queries_have(place: Path, folders, tmp_path: Path):  # noqa: F811
    support, query = folders
    shutil.copytree(place / "labelled" / "class 05", query / "stranger")
    assert classify(place, support, query, "--reject=0.1", "--out", tmp_path / "out") == 0
    found = rows(tmp_path / "out")
    strangers = [row for row in found if row["truth"] == "stranger"]
    rejected = [row for row in strangers if row["class"] == "(none of these)"]
    assert len(strangers) == 8
    assert len(rejected) >= 4
    assert {row["right"] for row in rejected} == {"true"}
    assert {row["right"] for row in strangers if row not in rejected} <= {"false"}
    assert {row["otherwise"] for row in rejected} <= set(KNOWN)


def test_one_class_and_one_picture(place: Path, tmp_path: Path):  # noqa: F811
    (tmp_path / "support" / "only").mkdir(parents=True)
    shutil.copy(place / "labelled" / "class 00" / "0.png", tmp_path / "support" / "only")
    query = place / "labelled" / "class 01"
    assert classify(place, tmp_path / "support", query, "--out", tmp_path / "out") == 0
    assert {(row["class"], row["probability"], row["otherwise"]) for row in rows(tmp_path / "out")} == {
        ("only", "1.000000", "")
    }


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--query=nowhere"], "query: there is no 'nowhere'; expected the path of an existing file or folder"),
        (["--query={empty}"], "query: no data at"),
        (["--query={place}/model"], "query: no data at"),
        (["--query={place}/model/config.json"], "config.json: is not an image (no known format)"),
        (["--query={place}/labelled", "--support={empty}"], "make one folder per class and put its images in it"),
        (
            ["--query={place}/labelled", "--support=nowhere"],
            "support: there is no 'nowhere'; expected the path of an existing file or folder",
        ),
        (["--query={place}/labelled", "--reject=2"], "reject is 2.0; expected a share from 0 to 1"),
        (["--query={place}/labelled", "--model=nothing"], "there is no model 'nothing'; models that ship"),
    ],
)
def test_mistakes_end_with_a_message(place: Path, words, message, tmp_path: Path, capsys, monkeypatch):  # noqa: F811
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    given = {"--model": place / "model", "--support": place / "labelled"}
    given |= dict(word.format(place=place, empty=tmp_path / "empty").split("=", 1) for word in words)
    assert fewshot_film("classify", *(f"{key}={value}" for key, value in given.items())) == 2
    assert message in capsys.readouterr().err


def test_truths_are_the_names_of_folders():
    assert truths(["a/1.png", "new/2.png", "3.png"], ["a", "b"]) == ["a", "new", ""]
    assert truths(["x/1.png", "y/2.png"], ["a", "b"]) == ["", ""]
    assert truths(["deep/a/1.png"], ["a"]) == ["a"]


def answers(count: int, wrong: set[int], *, known: bool = True) -> list[Named]:
    """Answers that are the surer the later they come."""
    return [
        Named(f"{i:03}.png", "a", 0.5 + i / 1000, "b", 1.0, "a" if known else "", i not in wrong if known else None)
        for i in range(count)
    ]


def test_what_is_printed_fits_a_screen_and_begins_with_the_mistakes():
    printed = screenful(answers(90, {40, 80}), "named").splitlines()
    assert len(printed) == MAX_LINES + 5
    assert printed[0].startswith("88 of 90 right (97.8 %)")
    files = [line.split()[1] for line in printed if line.startswith("| 0")]
    assert files == ["040.png", "080.png", *(f"{i:03}.png" for i in range(MAX_LINES - 2))]
    assert (
        printed[-1]
        == f"... {90 - MAX_LINES} more in named/predictions.csv (shown: mistakes first, then the least certain)"
    )


def test_without_true_classes_the_least_certain_come_first():
    printed = screenful(answers(30, set(), known=False)[::-1], None).splitlines()
    assert [line.split()[1] for line in printed if line.startswith("| 0")] == [f"{i:03}.png" for i in range(MAX_LINES)]
    assert (
        printed[-1]
        == f"... {30 - MAX_LINES} more images: --out FOLDER writes them all (shown: the least certain first)"
    )


def test_few_answers_are_printed_in_the_order_of_the_files():
    few = answers(MAX_LINES, {3})
    printed = screenful(few, "named")
    assert [line.split()[1] for line in printed.splitlines() if line.startswith("| 0")] == [one.file for one in few]
    assert "more" not in printed


def test_the_sheet_begins_with_mistakes(folders):
    support, query = folders
    files = [f"{name}/{number}.png" for name in KNOWN for number in (6, 7)]
    sure = [0.99, 0.98, 0.6, 0.5, 0.9, 0.4]
    named = [
        Named(file, "class 00", share, "class 01", 1.0, "", index != 1)
        for index, (file, share) in enumerate(zip(files, sure, strict=True))
    ]
    figure = draw(named, open_source("folder", str(support)), Queries(query))
    captions = [axes.get_xlabel() for axes in figure.axes if axes.get_xlabel()]
    assert [caption.split()[0] for caption in captions] == ["98", "40", "50", "60", "90", "99"]
