from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fewshot_film.classifier import Answers
from fewshot_film.classifier.bulk import COLUMNS, fill
from fewshot_film.commands.classify import draw
from fewshot_film.commands.predictions import MAX_LINES, Prediction, screenful, summarise, table
from fewshot_film.commands.queries import Queries, truths
from fewshot_film.data import open_source
from fewshot_film.run.tables import read_csv
from tests.commands.pictures import fewshot_film, place  # noqa: F401 - a fixture
from tests.extras import needs_int8

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
    return read_csv((path / "predictions.csv").read_text(encoding="utf-8"))


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
    assert "second choice | distance | true class" in printed
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


def test_what_an_earlier_run_wrote_among_the_images_is_none_of_them(place: Path, folders, capsys):  # noqa: F811
    support, query = folders
    for _ in range(2):
        assert classify(place, support, query, "--out", query / "named", "--overwrite") == 0
        assert len(rows(query / "named")) == 6
    assert classify(place, support, query, "--out", query, "--overwrite") == 2
    assert "results would be mixed with them: choose another --out" in capsys.readouterr().err


def test_images_are_classified_together(place: Path, folders, capsys):  # noqa: F811
    """The probabilities are those of the classifier asked about all of them at once."""
    for name in KNOWN:  # with six images there would be no neighbours
        for number in (8, 9, 10):
            shutil.copy(folders[0] / name / f"{number % 6}.png", folders[1] / name / f"{number}.png")
    found = []
    for words in ((), ("--together=true",)):
        assert classify(place, *folders, "--format=json", *words) == 0
        found.append(json.loads(capsys.readouterr().out)["images"])
    alone, together = ([one["probability"] for one in images if one["class"]] for images in found)
    assert len(alone) == len(together)  # as many are none of these
    assert alone != together
    assert classify(place, *folders, "--together=true", "--engine=processes", "--out=x") == 2
    assert "together is True; expected false, as engine is processes" in capsys.readouterr().err


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


@pytest.fixture
def mixed(place: Path, folders) -> tuple[Path, Path]:  # noqa: F811
    """The same, and eight strangers among the queries."""
    shutil.copytree(place / "labelled" / "class 05", folders[1] / "stranger")
    return folders


def test_strangers_are_none_of_these_and_say_how_far_they_are(place: Path, mixed, tmp_path: Path, capsys):  # noqa: F811
    assert classify(place, *mixed, "--reject=0.1", "--out", tmp_path / "out") == 0
    found = rows(tmp_path / "out")
    strangers = [row for row in found if row["truth"] == "stranger"]
    rejected = [row for row in strangers if row["class"] == "(none of these)"]
    assert len(strangers) == 8
    assert len(rejected) >= 4
    assert {row["right"] for row in rejected} == {"true"}
    assert {row["right"] for row in strangers if row not in rejected} <= {"false"}
    for row in found:
        is_rejected = row["class"] == "(none of these)"
        assert (float(row["relative_distance"]) > 1) == is_rejected
        assert (row["probability"] == "") == is_rejected
        assert row["otherwise"] in KNOWN
    members = [row for row in found if row["truth"] != "stranger"]
    right = sum(row["right"] == "true" for row in members)
    printed = capsys.readouterr().out
    assert printed.startswith(f"{right} of 6 members right ({100 * right / 6:.1f} %)")
    assert f"; {len(rejected)} of 8 strangers rejected ({100 * len(rejected) / 8:.1f} %); judged by folder" in printed
    assert "above 1" in printed


def test_strangers_are_looked_for_unless_it_is_switched_off(place: Path, mixed, capsys):  # noqa: F811
    assert classify(place, *mixed, "--format=json") == 0
    found = json.loads(capsys.readouterr().out)
    rejected = [one for one in found["images"] if one["class"] is None]
    assert rejected
    assert all(one["probability"] is None and one["relative_distance"] > 1 for one in rejected)
    assert found["score"]["strangers"] == {"rejected": sum(bool(one["right"]) for one in rejected), "of": 8}
    assert found["score"]["members"]["of"] == 6
    assert classify(place, *mixed, "--reject=null") == 0
    printed = capsys.readouterr().out
    assert "8 strangers, which only --reject can find" in printed
    assert "none of these" not in printed


def test_a_rejected_image_names_the_nearest_class_and_not_the_likeliest():
    shares, distances = np.array([[0.2, 0.7, 0.1], [0.2, 0.7, 0.1]]), np.array([[3.0, 5.0, 4.0], [3.0, 5.0, 4.0]])
    answers = Answers(np.array([None, "b"], object), shares, distances, np.array([1.5, 0.5]))
    rejected, accepted = summarise(["x.png", "y.png"], answers, ["a", "b", "c"])
    assert (rejected.otherwise, accepted.otherwise) == ("a", "a")
    assert (rejected.distance, accepted.name) == (3.0, "b")
    assert "| nearest: a   " in table([rejected, accepted])
    columns = {name: [None, None] for name in COLUMNS}
    fill(columns, [0, 1], shares[:, [0, 1]], np.array([[3.0, 4.0], [4.0, 3.0]]), classes=["a", "b"], limit=2.0)
    assert (columns["class"], columns["otherwise"]) == ([None, None], ["a", "b"])


def test_the_sheet_shows_how_far_strangers_are(mixed):
    support, query = mixed
    predictions = [
        Prediction("stranger/0.png", "class 01", 1.0, "class 00", 9.0, 1.84, "stranger", True),
        Prediction("class 00/6.png", "class 02", 1.0, "class 01", 9.0, 1.2, "class 00", False),
        Prediction("class 00/7.png", "class 00", 0.9, "class 01", 1.0, 0.4, "class 00", False),
    ]
    figure = draw(predictions, open_source("folder", str(support)), Queries(query))
    captions = [axes.get_xlabel() for axes in figure.axes if axes.get_xlabel()]
    assert captions == ["90 %", "1.2 × limit\nnearest: class 01\ntrue: class 00", "1.8 × limit\nnearest: class 00"]
    titles = [axes.get_title(loc="left") for axes in figure.axes if axes.get_title(loc="left")]
    assert titles == ["class 00 (1)", "(none of these) (2)"]


def test_one_class_needs_a_second_or_strangers(place: Path, tmp_path: Path, capsys, caplog):  # noqa: F811
    alone = tmp_path / "support" / "only"
    alone.mkdir(parents=True)
    shutil.copy(place / "labelled" / "class 00" / "0.png", alone)
    query = place / "labelled" / "class 01"
    message = "there is one class, 'only', and nothing to tell it from; add the folder of a second class, or one of"
    assert classify(place, tmp_path / "support", query) == 2
    assert message in capsys.readouterr().err
    for number in (1, 2, 3):
        shutil.copy(place / "labelled" / "class 00" / f"{number}.png", alone)
    assert classify(place, tmp_path / "support", query, "--reject=null") == 2
    assert message in capsys.readouterr().err
    assert classify(place, tmp_path / "support", query, "--out", tmp_path / "out") == 0
    assert "distance alone tells what is none of it: add the folder of a second class" in caplog.text
    assert {row["class"] for row in rows(tmp_path / "out")} <= {"only", "(none of these)"}
    assert all(row["relative_distance"] for row in rows(tmp_path / "out"))


def test_one_image_per_class_rejects_nothing_and_says_so(place: Path, folders, tmp_path: Path, capsys, caplog):  # noqa: F811
    for name in KNOWN:
        (tmp_path / "one" / name).mkdir(parents=True)
        shutil.copy(folders[0] / name / "0.png", tmp_path / "one" / name)
    assert classify(place, tmp_path / "one", folders[1]) == 0
    assert "one image per class: nothing can be rejected" in caplog.text
    assert "of 6 right" in capsys.readouterr().out


ODD = ("=1+1", "<none>", "[x](javascript:alert(1))", "$a$ or $b$", "(none of these)", "-lab_el*")


def test_names_are_text_wherever_they_stand(place: Path, tmp_path: Path, capsys):  # noqa: F811
    support, query, out = tmp_path / "support", tmp_path / "query", tmp_path / "out"
    for number, name in enumerate(ODD):
        (query / name).mkdir(parents=True)
        shutil.copytree(place / "labelled" / f"class {number:02}", support / name)
        (support / name / "7.png").rename(query / name / f"@{name[:3]}.png")
    assert classify(place, support, query, "--reject=null", "--out", out) == 0
    found = rows(out)
    assert sorted(row["truth"] for row in found) == sorted(ODD)
    assert {row["file"] for row in found} == {f"{name}/@{name[:3]}.png" for name in ODD}
    assert all(row["probability"] for row in found)  # also where the class is called (none of these)
    cells = [cell for row in csv.reader((out / "predictions.csv").read_text("utf-8").splitlines()) for cell in row]
    assert not [cell for cell in cells if cell.startswith(("=", "+", "-", "@"))]
    printed = capsys.readouterr().out
    assert all(f" {name}/@{name[:3]}.png" in printed for name in ODD)
    assert (out / "predictions.png").is_file()


def test_a_name_that_is_no_text(place: Path, folders, tmp_path: Path, capsys):  # noqa: F811
    support, query = folders
    odd = query / "class 00" / "caf\udce9.png"  # Latin-1, as old archives have it
    (query / "class 00" / "6.png").rename(odd)
    assert classify(place, support, query, "--out", tmp_path / "out") == 0
    assert "class 00/caf\\udce9.png" in {row["file"] for row in rows(tmp_path / "out")}
    assert "class 00/caf\\udce9.png" in capsys.readouterr().out
    assert classify(place, support, query, "--format=json") == 0
    assert "class 00/caf\udce9.png" in {one["file"] for one in json.loads(capsys.readouterr().out)["images"]}


def test_a_name_cannot_move_the_cursor():
    printed = table([Prediction("a\x1b[2J\n.png", "\u202ecat", 1.0, "", 1.0)])
    assert "a\\x1b[2J\\n.png" in printed
    assert "\\u202ecat" in printed
    assert len(printed.splitlines()) == 3


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
        (["--query={place}/labelled", "--reject=1"], "reject is 1.0; expected below 1"),
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


def answers(count: int, wrong: set[int], *, known: bool = True) -> list[Prediction]:
    """Answers that are the surer the later they come."""
    return [
        Prediction(
            f"{i:03}.png",
            "a",
            0.5 + i / 1000,
            "b",
            1.0,
            truth=("b" if i in wrong else "a") if known else "",
            is_stranger=False if known else None,
        )
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
        Prediction(file, "class 00", share, "", 1.0, truth="class 01" if index == 1 else "class 00", is_stranger=False)
        for index, (file, share) in enumerate(zip(files, sure, strict=True))
    ]
    figure = draw(named, open_source("folder", str(support)), Queries(query))
    captions = [axes.get_xlabel() for axes in figure.axes if axes.get_xlabel()]
    assert [caption.split()[0] for caption in captions] == ["98", "40", "50", "60", "90", "99"]


@needs_int8
def test_in_integers_the_distances_hardly_change(place: Path, folders, tmp_path: Path):  # noqa: F811
    found = []
    for precision in ("float32", "int8"):
        assert classify(place, *folders, "--out", tmp_path / precision, "--precision", precision) == 0
        found.append(np.array([float(row["distance"]) for row in rows(tmp_path / precision)]))
    assert np.all(found[0] != found[1])
    np.testing.assert_allclose(found[0], found[1], rtol=0.3)
