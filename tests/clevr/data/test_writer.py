from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as nps
from PIL import Image

from clevr.data.naming import questions_name, scenes_name
from clevr.data.reader import ClevrSplit
from clevr.data.records import parse_question, parse_scene
from clevr.data.writer import encode_png, info_block, write_questions, write_scenes
from tests.clevr.data.builders import a_question, a_scene, an_object


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    scenes = [parse_scene(a_scene(index, "train")) for index in range(3)]
    questions = [parse_question(a_question(index, "train", question="Größe?")) for index in range(3)]
    info = info_block("train", date="1/2/2024", more=1)
    write_scenes(tmp_path / scenes_name("train"), scenes, info)
    write_questions(tmp_path / questions_name("train"), questions, info)
    split = ClevrSplit.open(tmp_path, "train")
    assert list(split.scenes()) == scenes
    assert list(split.questions()) == questions
    assert split.info() == info


def test_files_have_clevrs_form(tmp_path: Path) -> None:
    """What readers of CLEVR, and its own question generator, take out of the files."""
    write_scenes(tmp_path / "s.json", [parse_scene(a_scene(7))], info_block("val"))
    write_questions(tmp_path / "q.json", [parse_question(a_question(7))], info_block("val"))
    scenes, questions = (json.loads((tmp_path / name).read_text(encoding="utf-8")) for name in ("s.json", "q.json"))
    for content in (scenes, questions):
        assert content["info"]["split"] == "val"
        assert {"version", "date", "license"} <= content["info"].keys()
    (scene,), (question,) = scenes["scenes"], questions["questions"]
    assert scene == a_scene(7)
    assert question == a_question(7)
    assert question["program"][1] == {"function": "filter_color", "inputs": [0], "value_inputs": ["red"]}


def test_one_record_a_line(tmp_path: Path) -> None:
    write_questions(tmp_path / "q.json", [parse_question(a_question(index)) for index in range(2)], {})
    lines = (tmp_path / "q.json").read_text(encoding="utf-8").splitlines()
    assert len(lines) == 4
    assert json.loads(lines[1].rstrip(",")) == a_question(0)


def test_an_empty_list(tmp_path: Path) -> None:
    write_questions(tmp_path / "q.json", [], {"a": 1})
    assert json.loads((tmp_path / "q.json").read_text(encoding="utf-8")) == {
        "info": {"a": 1},
        "questions": [],
    }


def test_numbers_that_json_does_not_have_leave_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "s.json"
    write_scenes(path, [], {})
    before = path.read_bytes()
    scene = parse_scene(a_scene(objects=[an_object(), an_object()]))
    bad = parse_scene({**a_scene(), "note": float("nan")})
    with pytest.raises(ValueError, match="JSON compliant"):
        write_scenes(path, [scene, bad], {})
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


@settings(deadline=None)
@given(nps.arrays(np.uint8, st.tuples(st.just(3), st.integers(1, 9), st.integers(1, 9))))
def test_png_keeps_every_pixel(pixels: np.ndarray) -> None:
    picture = Image.open(io.BytesIO(encode_png(pixels)))
    assert picture.format == "PNG"
    np.testing.assert_array_equal(np.asarray(picture).transpose(2, 0, 1), pixels)
