"""Free wording: what it stands for, that its answers are those of the scene, and what is not read."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import benchmarks.clevr_free_form
from clevr.questions import execute, parse, read_freely, write_questions
from clevr.questions.families import CLOSURE_FAMILIES, FAMILIES, Family
from clevr.world.placement import Scenes
from clevr.world.world_file import read_world
from fewshot_film.run.seeding import numpy_generator
from tests.conftest import CHECKOUT


@pytest.mark.parametrize(
    ("text", "means"),
    [
        ("Is the brown cube shiny?", "Are there any brown metal cubes?"),
        ("Is the brown object a block?", "Are there any brown cubes?"),
        ("Is the ball made of shiny metal?", "Are there any metal balls?"),
        ("Is the big thing left of the cube made from rubber?", "Are there any big rubber things left of the cube?"),
        ("Is any of the balls red?", "Are there any red balls?"),
        ("Is anything in this scene shiny?", "Are there any metal things?"),
        ("Can you see a green cube?", "Is there a green cube?"),
        ("Does the picture show a red thing to the left of the ball?", "Is there a red thing left of the ball?"),
        ("How many of the cylinders are brown?", "How many brown cylinders are there?"),
        ("How many cubes are in the image?", "How many cubes are there?"),
        ("How many small spheres?", "How many small spheres are there?"),
        ("How many balls can you see here?", "How many balls are there?"),
        ("Count the red cubes!", "How many red cubes are there?"),
        ("Give me the number of small balls.", "How many small balls are there?"),
        ("What is the large brown object?", "What shape is the large brown object?"),
        ("What's the purple thing behind the cube?", "What shape is the purple thing behind the cube?"),
        ("What is blue here?", "What shape is the blue thing?"),
        ("What's the ball's colour?", "What color is the ball?"),
        ("Which colour does the ball have?", "What color is the ball?"),
        ("Of which material is the ball?", "What is the ball made of?"),
        ("The cube, what colour is it?", "What color is the cube?"),
        ("How large is the green sphere?", "What size is the green sphere?"),
        ("Name the material of the red cube.", "What material is the red cube?"),
        ("Is the ball red or purple?", "What color is the ball?"),
        ("What is the thing left of the cube, a ball or a cylinder?", "What shape is the thing left of the cube?"),
        ("What is the yellow thing made of, rubber or metal?", "What is the yellow thing made of?"),
    ],
)
def test_what_it_stands_for(text: str, means: str) -> None:
    assert read_freely(text) == parse(means) != ()
    assert not parse(text)


@pytest.mark.parametrize(
    "text",
    [
        "Is the red ball green?",  # contradicts itself
        "Is the cube a ball?",
        "What is the red cube?",  # asks for what it tells
        "Is the ball red or rubber?",  # values of two attributes
        "Is the ball red or red?",
        "Are both cubes red?",
        "Are there two cubes?",
        "Is the cube made of gold?",
        "How many cubes are not red?",
        "Hello",
        "",
    ],
)
def test_what_is_not_read(text: str) -> None:
    assert read_freely(text) == ()


@pytest.mark.parametrize("families", [FAMILIES, CLOSURE_FAMILIES], ids=["clevr", "closure"])
def test_clevrs_own_questions_stay_what_they_are(families: tuple[Family, ...]) -> None:
    for number in range(20):
        drawn = numpy_generator(number, "free")
        for written in write_questions(Scenes(0, "free")[number], drawn, len(families), families):
            assert read_freely(written.question) == parse(written.question) != ()


def test_answers_are_those_of_the_scene() -> None:
    """Of every object that its colour and shape tell apart: is it of each size and material, and of which."""
    asked = 0
    for number in range(30):
        scene = Scenes(0, "free")[number]
        named = [(thing.color, thing.shape) for thing in scene.objects]
        for thing in scene.objects:
            if named.count((thing.color, thing.shape)) > 1:
                continue
            name = f"the {thing.color} {thing.shape}"
            for told, truth in (
                ("tiny", thing.size == "small"),
                ("a big thing", thing.size == "large"),
                ("matte", thing.material == "rubber"),
                ("made of metal", thing.material == "metal"),
            ):
                (form,) = read_freely(f"Is {name} {told}?")
                assert execute(form.program(), scene) == ("yes" if truth else "no")
            for text, answer in (
                (f"Is {name} large or small?", thing.size),
                (f"What's {name} made from?", thing.material),
                (f"How many {thing.color} {thing.shape}s can you count in this picture?", "1"),
            ):
                (form,) = read_freely(text)
                assert str(execute(form.program(), scene)) == answer
            asked += 1
    assert asked > 50


def test_the_stand_in_for_clevr_humans_is_never_misread() -> None:
    path = Path(benchmarks.clevr_free_form.__file__).with_suffix(".json")
    entries = json.loads(path.read_text(encoding="utf-8"))["questions"]
    read = [(entry, forms) for entry in entries if (forms := read_freely(entry["question"]))]
    assert len(read) > 90
    for entry, forms in read:
        assert forms == parse(entry["means"]), entry["question"]


def test_in_the_words_of_another_world() -> None:
    world = read_world(CHECKOUT / "examples" / "harbour" / "world.yaml")
    noun, plural = next(iter(world.plurals.items()))
    color, material = world.colors[0], world.materials[0]
    said = (*material.words, material.name)[0]
    text = f"Is the {(*color.words, color.name)[0]} {noun} {said}?"
    (form,) = read_freely(text, world)
    assert form.asks == "exist"
    assert form.about[0].description[1:3] == (color.name, material.name)
    assert read_freely(f"Count the {plural}.", world)[0].asks == "count"
