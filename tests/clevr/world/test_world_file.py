"""Worlds of one's own: what a file may say, and how it is refused."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
import yaml

from clevr.questions import execute, parse, write_questions
from clevr.questions.programs import ProgramError, check_program
from clevr.questions.tokens import ANSWER_WORDS, VOCABULARY, Vocabulary, answers_of, vocabulary_of
from clevr.world.placement import PlacementError, SceneConfig, Scenes
from clevr.world.primitives import SceneError, pack
from clevr.world.scene import Scene
from clevr.world.spec import CLEVR, WorldError, WorldSpec
from clevr.world.world_file import load_world, read_world, world_from, world_record, world_text
from tests.conftest import CHECKOUT

HARBOUR = CHECKOUT / "examples" / "harbour" / "world.yaml"


@pytest.fixture(scope="module")
def harbour() -> WorldSpec:
    return read_world(HARBOUR)


@pytest.fixture(scope="module")
def scenes(harbour: WorldSpec) -> list[Scene]:
    return Scenes(3, "train", SceneConfig.of(harbour)).batch(range(12))


def test_a_world_comes_back_from_its_file_and_its_record(harbour: WorldSpec) -> None:
    for world in (CLEVR, harbour):
        assert world_from(world_record(world), "here") == world
        assert load_world(io.BytesIO(world_text(world).encode()), "here") == world
    assert world_from({}, "here").values == CLEVR.values
    assert hash(harbour) == hash(world_from(world_record(harbour), "here")) != hash(CLEVR)


def test_clevrs_words_and_answers_are_the_published_ones() -> None:
    assert vocabulary_of(CLEVR) == VOCABULARY
    assert answers_of(CLEVR) == ANSWER_WORDS


def test_scenes_have_all_values_and_keep_to_the_numbers(harbour: WorldSpec, scenes: list[Scene]) -> None:
    many = [thing for scene in scenes for thing in scene.objects]
    many += [t for s in Scenes(4, "train", SceneConfig.of(harbour)).batch(range(20)) for t in s.objects]
    for attribute, values in harbour.values.items():
        assert {getattr(thing, attribute) for thing in many} == set(values)
    assert all(3 <= len(scene.objects) <= 8 for scene in scenes)
    assert all(scene.world is harbour for scene in scenes)
    cameras = np.array([scene.extra["camera"] for scene in scenes])
    assert np.abs(cameras - harbour.camera).max() <= 0.4
    rings = [thing.coords[2] / harbour.half_widths[thing.size] for thing in many if thing.shape == "ring"]
    assert rings == pytest.approx([0.35] * len(rings))  # they lie on the ground


def test_questions_are_in_the_worlds_words_and_read_back(harbour: WorldSpec, scenes: list[Scene]) -> None:
    vocabulary, words = Vocabulary(vocabulary_of(harbour)), set[str]()
    for number, scene in enumerate(scenes):
        for question in write_questions(scene, np.random.default_rng(number)):
            assert question.program is not None
            assert execute(question.program, scene) == question.answer in answers_of(harbour)
            assert any(form.program() == question.program for form in parse(question.question, harbour))
            assert vocabulary.unknown_words(question.question) == []
            words |= {*question.question.lower().rstrip("?").replace(";", "").split()}
    assert {"boxes", "turquoise"} <= words
    assert not words & {"cube", "cubes", "purple", "torus"}


def test_an_stands_before_vowels(harbour: WorldSpec, scenes: list[Scene]) -> None:
    (form,) = parse("Is there an orange crate?", harbour)
    assert form.program()[1].value_inputs == ("orange",)
    texts = [q.question for n, s in enumerate(scenes) for q in write_questions(s, np.random.default_rng(n), 20)]
    assert any(" an orange" in text for text in texts)
    assert not any(" a orange" in text for text in texts)


def test_values_of_another_world_are_refused(harbour: WorldSpec, scenes: list[Scene]) -> None:
    (form,) = parse("How many red cubes are there?")
    with pytest.raises(ProgramError, match="unknown value 'cube'; expected one of \\('crate', 'barrel'"):
        check_program(form.program(), harbour)
    clevr = Scenes(3)[0]
    with pytest.raises(SceneError, match="scenes of the worlds 'harbour' and 'clevr' in one batch"):
        pack([scenes[0], clevr])
    with pytest.raises(PlacementError, match="condition A is about the colours and shapes of CLEVR"):
        SceneConfig.of(harbour, "A")


def changed(**sections: object) -> bytes:
    return yaml.safe_dump({**world_record(CLEVR), **sections}).encode()


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (b"colors: [", "here: not YAML"),
        (b"colors: {red: [1, 2, 3], blue: [1, 2, 3], red: [4, 5, 6]}", "'red' stands there twice, again in line 1"),
        (b"3", "here: the file is 3; expected entries `key: value` with name, colors"),
        (b"colour: {}", r"here: the file has 'colour', which is not known \(did you mean 'colors'\?\)"),
        (changed(colors={"red": [1, 2, 3]}), "colors has 1 entry; expected two or more"),
        (changed(colors={"red": [1, 2], "blue": [1, 2, 3]}), r"colors: red is \[1, 2\]; expected 3 numbers"),
        (changed(colors={"red": [1, 2, 300], "blue": [1, 2, 3]}), r"'red' is \[1, 2, 300\]; expected three numbers"),
        (changed(colors={"red": {"words": ["red"]}, "blue": [1, 2, 3]}), "colors: red has no rgb"),
        (changed(colors={True: [1, 2, 3], "blue": [1, 2, 3]}), "colors has True; expected a text"),
        (changed(shapes={"cube": "cub", "ball": "sphere"}), r"cube is 'cub' \(did you mean 'cube'\?\)"),
        (changed(materials={"wood": "shiny", "brass": "mirror"}), "wood is 'shiny'; expected one of matte, mirror"),
        (changed(sizes={"large": 9, "small": 0.3}), "size 'large' has half 9.0; expected 0.1 to 1.5"),
        (changed(colors={"dark red": [1, 2, 3], "blue": [1, 2, 3]}), "'dark red' is not one of small letters"),
        (changed(colors={"gold": [1, 2, 3], "cube": [1, 2, 3]}), "2 values have the name 'cube'"),
        (
            changed(shapes={"ball": "sphere", "cone": {"form": "cone", "words": ["balls"]}}),
            "the word 'balls' stands for 2 things",
        ),
        (
            changed(shapes={"box": {"form": "cube", "plurals": ["boxes", "cases"]}, "ball": "sphere"}),
            "'box' has other numbers of words and plurals",
        ),
        (
            changed(colors={f"c{'abcdefghij'[n // 10]}{'abcdefghij'[n % 10]}": [1, 2, 3] for n in range(98)}),
            "it has 105 colors, materials, sizes and shapes in all; expected at most 100",
        ),
        (changed(objects=[3, 11]), "scenes of 3 to 11 objects; expected two numbers from 1 to 10"),
        (changed(camera={"position": [7, -6, 0.2], "jitter": 0.5}), r"the camera is at \[7.0, -6.0, 0.2\]"),
        (changed(camera={"position": [7, float("nan"), 5]}), "camera: position is nan; expected a number"),
        (changed(lamps={}), "there is no lamp"),
        (changed(lamps={"key": {"position": [1, 2, 3], "radius": 1}}), "lamps: key has no strength"),
        (changed(lamp_jitter=4.5), "the lamp 'fill' must stay above the ground"),
    ],
)
def test_a_file_that_describes_no_world(text: bytes, problem: str) -> None:
    with pytest.raises(WorldError, match=problem):
        load_world(io.BytesIO(text), "here")


def test_words_of_the_questions_cannot_be_a_worlds(tmp_path: Path) -> None:
    for word in ("left", "thing", "size", "yes"):
        world = load_world(io.BytesIO(changed(colors={word: [1, 2, 3], "blue": [1, 2, 3]})), "here")
        with pytest.raises(WorldError, match=f"the word '{word}' is one that questions or answers have"):
            vocabulary_of(world)
    with pytest.raises(WorldError, match=r"none.yaml: No such file or directory; expected a YAML file"):
        read_world(tmp_path / "none.yaml")
