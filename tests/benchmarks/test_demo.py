"""What the demo prints and draws; `make demo` itself is run before everything else, in a fresh clone."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks import demo, showcase
from clevr.data import ClevrSplit
from fewshot_film.classifier import FewShotClassifier
from fewshot_film.data import open_source
from fewshot_film.data.photos import photos_folder
from tests.clevr.data.builders import a_question, write_clevr, write_json


def test_gains_are_told_from_chance(tmp_path: Path):
    files = [tmp_path / "before.json", tmp_path / "after.json"]
    values = [
        {"up": [0.5, 0.5, 0.6, 0.6], "same": [0.5, 0.6, 0.5, 0.6], "down": [0.9] * 4},
        {"up": [0.7, 0.71, 0.8, 0.8], "same": [0.6, 0.5, 0.6, 0.5], "down": [0.7] * 4},
    ]
    for file, rows in zip(files, values, strict=True):
        file.write_text(json.dumps({"results": {name: {"values": each} for name, each in rows.items()}}))
    lines = demo.gains(*files).splitlines()[2:5]
    assert [line.rpartition(": ")[2] for line in lines] == ["better", "no clear difference", "worse"]
    assert lines[2].startswith("  down: -20.0 ± 0.0 points")


def test_output_of_a_command_is_shown_and_its_failure_ends_the_part(capsys: pytest.CaptureFixture[str]):
    assert demo.run("fewshot-film classify --support nowhere --query nowhere", "clevr-film --help") != 0
    printed = capsys.readouterr().out
    assert printed.startswith("\n$ fewshot-film classify")
    assert "clevr-film" not in printed


def test_mistakes_are_listed_and_the_rest_is_counted(tmp_path: Path):
    root = write_clevr(tmp_path)
    questions = [a_question(0) | {"question_index": number} for number in range(9)]
    write_json(root / "questions/CLEVR_val_questions.json", {"questions": questions})
    answers = tmp_path / "answers.json"
    given = [{"question_index": number, "answer": "1" if number == 3 else "2"} for number in range(9)]
    answers.write_text(json.dumps(given))
    lines = demo.mistakes(ClevrSplit.open(root, "val"), answers).splitlines()
    assert lines[1] == "8 of 9 answers are wrong:"
    assert len(lines) == 2 + demo.MAX_MISTAKES + 1
    assert lines[2].endswith("2 (true: 1)")
    assert lines[-1] == f"  ... 3 more in {answers}"


def test_folders_of_images_are_written(tmp_path: Path):
    demo.write_folders(open_source("creatures", split="test"), tmp_path)
    files = sorted(tmp_path.glob("*/*.png"))
    assert len(files) == demo.CLASSES * demo.IMAGES
    assert len({file.parent for file in files}) == demo.CLASSES


def test_example_photos_are_in_both_folders_and_no_photo_twice():
    labelled, unknown = (sorted((showcase.PHOTOS / part).glob("*/*.jpg")) for part in ("labelled", "unknown"))
    names = {file.parent.name for file in labelled}
    assert len(names) == 6
    assert {file.parent.name for file in unknown} == names | {"astronaut"}
    contents = [file.read_bytes() for file in labelled + unknown]
    assert len(set(contents)) == len(contents) == 4 * 13
    assert photos_folder() == showcase.PHOTOS
    credit = (showcase.PHOTOS / "README.md").read_text(encoding="utf-8")
    assert all(name in credit for name in (*names, "astronaut", "CC BY 2.0", "CC0"))


def test_pictures_of_the_readme_show_what_the_models_say():
    figure = showcase.draw_classified()
    captions = [axes.get_xlabel() for axes in figure.axes if axes.get_xlabel()]
    labelled, unknown = (sorted((showcase.PHOTOS / part).glob("*/*.jpg")) for part in ("labelled", "unknown"))
    classifier = FewShotClassifier().fit(labelled, [file.parent.name for file in labelled])
    said = dict(zip(unknown, classifier.predict(unknown, reject=showcase.REJECT), strict=True))
    drawn = sorted(unknown, key=lambda file: (file.parent.name == "astronaut", file))
    assert [caption == "none of these" for caption in captions] == [said[file] is None for file in drawn]
    right = [said[file] == file.parent.name for file in drawn]
    assert [caption[0].isdigit() for caption in captions] == right
    texts = [text.get_text() for text in showcase.draw_answered().texts]
    assert [text.split()[0] for text in texts[1::2]] == ["3", "blue", "no"]  # the true answers
