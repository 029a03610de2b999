from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from clevr.cli import COMMANDS
from clevr.data.contact_sheet import ground_truth_image
from clevr.world.ground_truth import ground_truth
from clevr.world.placement import Scenes
from fewshot_film.run.command import main
from tests.clevr.data.builders import (
    a_node,
    a_question,
    pack,
    without,
    write_clevr,
    write_json,
    write_picture,
)
from tests.clevr.worlds import make_world


def inspect(*words: object) -> int:
    return main("clevr-film", COMMANDS, ["inspect", *map(str, words)])


def test_tables_of_a_sound_split(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert inspect(write_clevr(tmp_path)) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "val: 2 images, 2 scenes, 2 questions"
    assert "sizes in pixels: 12x8 (2)" in lines
    assert "words per question: 6 to 6, 6.0 on average" in lines
    assert "objects per scene: 2 to 2, 2.0 on average" in lines
    assert "color: red 50.0%, blue 50.0%" in lines
    assert "answers: 1 100.0%" in lines
    assert "question type  questions   share  answers  majority right  at most" in lines
    assert "count                  2  100.0%        1          100.0%   100.0%" in lines
    assert "zero_hop                   2  100.0%        1          100.0%   100.0%" in lines
    assert "no problems; 2 answers checked by executing their programs" in lines


def test_types_list_their_functions(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    unique = [a_node("scene", []), a_node("unique", [0])]
    records = [
        a_question(program=[*unique, a_node(f"query_{name}", [1])], answer=answer)
        for name, answer in (("size", "small"), ("size", "large"), ("size", "large"), ("color", "red"))
    ]
    write_json(tmp_path / "questions/CLEVR_val_questions.json", records)
    inspect(tmp_path)
    lines = capsys.readouterr().out.splitlines()
    assert "query                  4  100.0%        3           75.0%   100.0%" in lines
    assert "  query_color          1   25.0%        1          100.0%   100.0%" in lines
    assert "  query_size           3   75.0%        2           66.7%    66.7%" in lines


def test_every_family(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_json(tmp_path / "questions/CLEVR_val_questions.json", [a_question(), a_question(question_family_index=199)])
    assert inspect(tmp_path, "--families", "true") == 0
    out = capsys.readouterr().out
    assert "84 zero_hop count x" in out
    assert "199 other" in out


def test_all_splits_are_looked_at_and_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for split in ("train", "val"):
        write_clevr(tmp_path / "set", split)
    out, sheet = tmp_path / "new" / "counts.json", tmp_path / "new" / "sheet.png"
    assert inspect(pack(tmp_path / "set", tmp_path / "a.zip"), "--out", out, "--sheet", sheet) == 0
    assert json.loads(out.read_text(encoding="utf-8"))["train"]["num_questions"] == 2
    assert {path.name for path in out.parent.iterdir()} == {"counts.json", "sheet-train.png", "sheet-val.png"}
    assert "train: 2 images" in capsys.readouterr().out


def test_sheet_shows_the_wanted_number_of_pictures(tmp_path: Path) -> None:
    root = write_clevr(tmp_path / "set", num_scenes=5)
    widths = []
    for number in (1, 3):
        inspect(root, "--split", "val", "--sheet", tmp_path / "a.png", "--images", number)
        with Image.open(tmp_path / "a.png") as sheet:
            widths.append(sheet.height)
            assert sheet.width == 4 * (320 + 12) + 12
    assert widths[0] == widths[1]


def test_problems_are_listed_and_the_status_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = write_clevr(tmp_path, num_scenes=30)
    wrong = [a_question(index, answer="3") for index in range(30)]
    write_json(root / "questions/CLEVR_val_questions.json", {"questions": wrong})
    assert inspect(root) == 1
    out = capsys.readouterr().out
    assert "30 problems; 30 answers checked" in out
    assert "  question 190 about CLEVR_val_000019.png: the answer is 3, its program gives 1\n  and 10 more" in out


def test_questions_of_clevr_humans(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = write_clevr(tmp_path)
    record = without(a_question(1, question="How many?"), "program", "question_index", "question_family_index")
    write_json(root / "CLEVR-Humans-val.json", {"questions": [record]})
    assert inspect(root, "--humans", "true") == 0
    assert "2 scenes, 1 question\n" in capsys.readouterr().out


def test_a_folder_without_data(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert inspect(tmp_path) == 2
    message = capsys.readouterr().err
    assert f"clevr-film inspect: no split 'train' in {tmp_path}; splits there: none" in message


def test_a_malformed_record_ends_it_by_name(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_json(tmp_path / "questions/CLEVR_val_questions.json", [a_question(), a_question(answer="pink")])
    assert inspect(tmp_path) == 2
    assert "CLEVR_val_questions.json, record 1 of 'questions': unknown answer 'pink'" in capsys.readouterr().err


def test_no_pictures_for_a_sheet(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_json(tmp_path / "questions/CLEVR_val_questions.json", [a_question()])
    assert inspect(tmp_path, "--sheet", tmp_path / "a.png") == 2
    assert "the split 'val' has no images for a contact sheet" in capsys.readouterr().err


def test_two_sizes_of_pictures(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = write_clevr(tmp_path, num_scenes=3)
    write_picture(root / "images/val/CLEVR_val_000000.png", (5, 5))
    assert inspect(root) == 1
    assert "sizes in pixels: 5x5 (1), 12x8 (2)" in capsys.readouterr().out


def test_sheet_with_what_is_where(tmp_path: Path) -> None:
    make_world(tmp_path / "world", {"val": 2}, 64, 48, 1)
    heights = []
    for flag in ("false", "true"):
        inspect(tmp_path / "world", "--sheet", tmp_path / f"{flag}.png", "--ground_truth", flag)
        with Image.open(tmp_path / f"{flag}.png") as sheet:
            heights.append(sheet.height)
            pixels = np.asarray(sheet.convert("RGB"))
    assert heights[1] - heights[0] == 240  # images are scaled to a width of 320
    normals = pixels[12 + 360 + 60, 12 + 160 + 80]
    assert normals[2] > 127  # of surfaces that face the camera


def test_ground_truth_shows_objects_in_their_colours_and_boxes() -> None:
    scene = Scenes(5)[3]
    truth = ground_truth(scene, 160, 120)
    pixels = np.asarray(ground_truth_image(Image.new("RGB", (160, 120)), truth))
    assert pixels.shape == (240, 160, 3)
    rows, columns = truth.visible[0].nonzero(as_tuple=True)
    row, column = int(rows.median()) // 2, int(columns.median()) // 2
    assert pixels[120 + row, column].max() > 200
    assert (pixels[120, 79] == 0).all()  # the ground is black among the masks
    left, top, right = truth.boxes[0].tolist()[:3]
    assert (pixels[top, left:right].max(1) > 0).all()
    assert pixels[:120].any(2).sum() < 160 * 120 / 4  # boxes are lines, and the rest is the image
