from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from clevr.data.reader import ClevrSplit
from clevr.data.survey import Survey, survey
from tests.clevr.data.builders import (
    a_node,
    a_question,
    a_scene,
    an_object,
    pack,
    without,
    write_clevr,
    write_json,
    write_picture,
)


def surveyed(root: Path) -> Survey:
    return survey(ClevrSplit.open(root, "val"))


def rewrite(root: Path, kind: str, records: list[dict[str, Any]], **info: Any) -> None:
    write_json(root / kind / f"CLEVR_val_{kind}.json", {"info": info, kind: records})


@pytest.mark.parametrize("packed", [False, True])
def test_counts(tmp_path: Path, packed: bool) -> None:
    root = write_clevr(tmp_path / "set", num_scenes=3)
    two = a_question(1, question="Are there 2 red things?", question_index=11, question_family_index=83, answer="no")
    two["program"] = [a_node("scene", []), a_node("filter_color", [0], "green"), a_node("exist", [1])]
    rewrite(root, "questions", [a_question(0), a_question(1), two])
    found = surveyed(pack(root, tmp_path / "set.zip") if packed else root)
    assert found.problems == []
    assert (found.num_scenes, found.num_questions, found.num_executed) == (3, 3, 3)
    assert found.answers == {"1": 2, "no": 1}
    assert found.answers_by_function == {"count": {"1": 2}, "exist": {"no": 1}}
    assert found.answers_by_family == {84: {"1": 2}, 83: {"no": 1}}
    assert found.question_lengths == {6: 2, 5: 1}
    assert found.program_lengths == {3: 3}
    assert found.num_questions_per_image == {1: 1, 2: 1}
    assert found.objects_per_scene == {2: 3}
    assert found.objects["shape"] == {"cube": 3, "sphere": 3}
    assert found.objects["shape and color"] == {"cube red": 3, "sphere blue": 3}
    assert found.image_sizes == {(12, 8): 3}


def test_json_form(tmp_path: Path) -> None:
    content = json.loads(json.dumps(surveyed(write_clevr(tmp_path)).to_json()))
    assert content["image_sizes"] == {"12x8": 2}
    assert content["questions_per_image"] == {"1": 2}
    assert content["answers_by_family"] == {"84": {"1": 2}}
    assert content["problems"] == []


def test_parts_that_are_missing_are_left_out(tmp_path: Path) -> None:
    rewrite(tmp_path, "questions", [without(a_question(), "answer", "program", "question_family_index")])
    found = surveyed(tmp_path)
    assert found.problems == []
    assert (found.num_scenes, found.num_questions, found.num_executed) == (0, 1, 0)
    assert not found.answers
    assert not found.program_lengths


def test_files_without_question_numbers(tmp_path: Path) -> None:
    rewrite(tmp_path, "questions", [without(a_question(), "question_index")] * 3)
    assert surveyed(tmp_path).problems == []


@pytest.mark.parametrize(
    ("kind", "change", "problem"),
    [
        (
            "questions",
            [a_question(0, answer="2")],
            "question 0 about CLEVR_val_000000.png: the answer is 2, its program gives 1",
        ),
        (
            "questions",
            [a_question(0, program=[a_node("scene", []), a_node("unique", [0]), a_node("query_size", [1])])],
            "question 0 about CLEVR_val_000000.png: node 1 (unique): expected exactly one object, found 2",
        ),
        ("questions", [a_question(0), a_question(1)] * 2, "question 10: its question_index occurs twice"),
        ("scenes", [a_scene(0)], "question 10 about CLEVR_val_000001.png: there is no such scene"),
        ("scenes", [a_scene(0)], "CLEVR_val_000001.png: an image without a scene"),
        ("scenes", [a_scene(0), a_scene(1), a_scene(1)], "scene 1: a second scene of CLEVR_val_000001.png"),
        ("scenes", [a_scene(0), a_scene(1), a_scene(2)], "scene 2: no image CLEVR_val_000002.png"),
        ("questions", [a_question(0), a_question(2)], "question 20: no image CLEVR_val_000002.png"),
        ("scenes", [a_scene(0, objects=[an_object(), an_object()])], "the answer is 1, its program gives 2"),
    ],
)
def test_problems_of_records(tmp_path: Path, kind: str, change: list[dict[str, Any]], problem: str) -> None:
    root = write_clevr(tmp_path)
    rewrite(root, kind, change)
    assert any(problem in line for line in surveyed(root).problems)


def test_pictures_of_the_wrong_size_or_torn(tmp_path: Path) -> None:
    root = write_clevr(tmp_path, num_scenes=4)
    images = root / "images" / "val"
    write_picture(images / "CLEVR_val_000001.png", (9, 7))
    for index, content in ((2, b"no picture"), (3, (images / "CLEVR_val_000003.png").read_bytes()[:-1])):
        (images / f"CLEVR_val_{index:06d}.png").write_bytes(content)
    write_picture(root / "images/val/CLEVR_val_000004.png")
    rewrite(root, "scenes", [a_scene(index) for index in range(5)])
    assert surveyed(root).problems == [
        "CLEVR_val_000001.png: 9x7 pixels, expected 12x8",
        "CLEVR_val_000002.png: not a complete image",
        "CLEVR_val_000003.png: not a complete image",
    ]


def test_a_generated_set_is_held_to_its_settings(tmp_path: Path) -> None:
    root = write_clevr(tmp_path, num_scenes=1)
    rewrite(root, "questions", [a_question(0)], generator={"scenes": 2, "width": 24, "height": 16})
    assert surveyed(root).problems == [
        "1 scene, expected 2",
        "CLEVR_val_000000.png: 12x8 pixels, expected 24x16",
    ]
