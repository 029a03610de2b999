"""Writing and reading: grammar, spelling, reading and meaning together."""

from __future__ import annotations

import json
import random
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clevr.questions import ALL_FAMILIES, FAMILIES, Question, check_program, parse, program_tree
from clevr.questions.families import Family
from clevr.questions.lexicon import CLEVR_LEXICON
from clevr.questions.logical_form import NOTHING_TOLD, Intersection, LogicalForm, ObjectSet, Related, Same, Union
from clevr.questions.programs import VALUES
from clevr.questions.realizer import _fill, realize
from clevr.questions.templates import PHRASES, SENTENCES, unfold
from clevr.questions.tokens import VOCABULARY, tokenize
from clevr.world.scene import RELATIONS
from clevr.world.spec import ATTRIBUTES

descriptions = st.tuples(*(st.sampled_from([None, *VALUES[attribute]]) for attribute in ATTRIBUTES))
RED = ObjectSet((None, "red", None, None))
BALL = ObjectSet((None, None, None, "sphere"))


@st.composite
def things(draw: st.DrawFn, shape: str, attribute: str) -> ObjectSet:
    """Any things of a shape of :mod:`clevr.questions.families`, whether or not a scene has them."""

    def related(rest: str) -> Related:
        return Related(draw(st.sampled_from(RELATIONS)), draw(things(rest, attribute)))

    if "|" in shape:
        first, second = (draw(things(part, attribute)) for part in shape.split("|"))
        is_told = "" if "s" in shape else attribute
        told = (draw(st.sampled_from(VALUES[name])) if name == is_told else None for name in ATTRIBUTES)
        return ObjectSet(tuple(told), Union(first, second))  # type: ignore[arg-type]
    description = NOTHING_TOLD if shape == "s" else draw(descriptions)
    if shape[0] == "r":
        return ObjectSet(description, related(shape[1:]))
    if shape == "b":
        return ObjectSet(description, Intersection(related("x"), related("x")))
    if shape == "bs":
        return ObjectSet(description, Intersection(Same(attribute, draw(things("x", ""))), related("x")))
    if shape[0] == "s":
        return ObjectSet(description, Same(attribute, draw(things(shape[1:].strip("+") or "x", ""))))
    return ObjectSet(description)


@st.composite
def meanings(draw: st.DrawFn) -> tuple[Family, LogicalForm]:
    family = draw(st.sampled_from(ALL_FAMILIES))
    return family, LogicalForm(family.asks, tuple(draw(things(about, family.attribute)) for about in family.about))


@settings(max_examples=500, deadline=None)
@given(meanings(), st.integers(0, 2**32))
def test_whatever_is_meant_is_understood(drawn: tuple[Family, LogicalForm], seed: int) -> None:
    family, form = drawn
    text = realize(form, random.Random(seed).choice)
    assert form in parse(text), text
    assert family in form.families()
    assert set(tokenize(text)) <= set(VOCABULARY)
    check_program(form.program())


def test_every_pattern_is_used_and_understood() -> None:
    """No pattern lies idle, and none speaks of what its things do not have."""
    for variants in _variants():
        for variant in variants:
            words = {word for word in variant if word[0] != "{"}
            assert words <= {word.lower() for word in VOCABULARY}, variant
    spelt = set()
    rng = random.Random(1)

    def pick(options: tuple[object, ...]) -> object:
        option = rng.choice(options)
        if isinstance(option, tuple) and option and isinstance(option[0], str):
            spelt.add(option)
        return option

    for _ in range(400):
        for family in ALL_FAMILIES:
            realize(_some_meaning(family, rng), pick)
    wanted = {variant for variants in _variants() for variant in variants}
    assert wanted - {variant for variant in spelt if variant in wanted} == set()


def _variants() -> Iterator[tuple[tuple[str, ...], ...]]:
    for rules in (*PHRASES.values(), *SENTENCES.values()):
        for rule in rules:
            yield rule.variants


def _some_meaning(family: Family, rng: random.Random) -> LogicalForm:
    def plain() -> ObjectSet:
        return ObjectSet((None, None, None, rng.choice(VALUES["shape"])))

    def build(shape: str) -> ObjectSet:
        if "|" in shape:
            return ObjectSet(NOTHING_TOLD, Union(*(build(part) for part in shape.split("|"))))
        source = {
            "x": lambda: None,
            "r": lambda: Related("left", build(shape[1:])),
            "b": lambda: Intersection(
                Same(family.attribute, plain()) if shape == "bs" else Related("left", plain()),
                Related("front", plain()),
            ),
            "s": lambda: Same(family.attribute, build(shape[1:].strip("+") or "x")),
        }[shape[0]]()
        return ObjectSet(NOTHING_TOLD if shape == "s" else plain().description, source)

    return LogicalForm(family.asks, tuple(build(about) for about in family.about))


@pytest.mark.parametrize(
    ("text", "form"),
    [
        ("How many red things are there?", LogicalForm("count", (RED,))),
        ("Is there a ball?", LogicalForm("exist", (BALL,))),
        (
            "What is the size of the ball that is on the left side of the red object?",
            LogicalForm("query_size", (ObjectSet(BALL.description, Related("left", RED)),)),
        ),
        (
            "there is a sphere in front of the red thing; what is it made of",
            LogicalForm("query_material", (ObjectSet(BALL.description, Related("front", RED)),)),
        ),
        (
            "Is there anything else that has the same size as the ball?",
            LogicalForm("exist", (ObjectSet(NOTHING_TOLD, Same("size", BALL)),)),
        ),
        ("Are there fewer balls than red things?", LogicalForm("less_than", (BALL, RED))),
        (
            "What color is the thing that is both behind the ball and left of the red thing?",
            LogicalForm(
                "query_color", (ObjectSet(NOTHING_TOLD, Intersection(Related("left", RED), Related("behind", BALL))),)
            ),
        ),
        (
            "How many tiny objects are either red objects or spheres?",
            LogicalForm("count", (ObjectSet(("small", None, None, None), Union(RED, BALL)),)),
        ),
    ],
)
def test_read_by_hand(text: str, form: LogicalForm) -> None:
    assert parse(text) == (form,)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "?",
        "Is there a horse?",
        "How many red things?",
        "How many red red things are there?",
        "Is there a balls?",
        "What color is the ball left of the cube left of the ball left of the cube left of the ball?",
        "What color is the red thing that is both left of the ball behind the cube and right of the block?",
    ],
)
def test_what_no_family_asks(text: str) -> None:
    assert parse(text) == ()


def test_other_goes_without_saying_where_descriptions_exclude_each_other() -> None:
    rng = random.Random(3)
    alike = LogicalForm("count", (ObjectSet((None, "red", None, None), Same("size", BALL)),))
    excluded = LogicalForm("count", (ObjectSet((None, None, None, "cube"), Same("size", BALL)),))
    assert all(" other " in realize(alike, rng.choice) for _ in range(20))
    assert not any(" other " in realize(excluded, rng.choice) for _ in range(20))


def test_unfold() -> None:
    assert unfold("[so] (a|b) {slot two}") == (
        ("so", "a", "{slot two}"),
        ("so", "b", "{slot two}"),
        ("a", "{slot two}"),
        ("b", "{slot two}"),
    )


def test_a_pattern_in_the_wrong_place() -> None:
    with pytest.raises(ValueError, match=r"a pattern for plain things has no use for the slot \{landmark\}"):
        _fill("{landmark}", (RED,), random.Random(0).choice, CLEVR_LEXICON)


def test_programs_by_hand() -> None:
    form = LogicalForm("equal_shape", (RED, ObjectSet(BALL.description, Related("left", RED))))
    assert [(node.function, node.inputs, node.value_inputs) for node in form.program()] == [
        ("scene", (), ()),
        ("filter_color", (0,), ("red",)),
        ("unique", (1,), ()),
        ("query_shape", (2,), ()),
        ("scene", (), ()),
        ("filter_color", (4,), ("red",)),
        ("unique", (5,), ()),
        ("relate", (6,), ("left",)),
        ("filter_shape", (7,), ("sphere",)),
        ("unique", (8,), ()),
        ("query_shape", (9,), ()),
        ("equal_shape", (3, 10), ()),
    ]


def test_every_real_question_is_read(shared_data: Path) -> None:
    folder = shared_data / "clevr-v1-sample" / "questions"
    records = json.loads((folder / "CLEVR_val_questions.json").read_text())["questions"]
    records += json.loads((folder / "val_questions_text_only.json").read_text())
    assert len(records) == 1070
    assert [record["question"] for record in records if not parse(record["question"])] == []


def test_texts_of_the_public_generator_are_read_as_their_programs(shared_data: Path) -> None:
    with zipfile.ZipFile(shared_data / "clevr-blender-sample.zip") as archive:
        for split in ("train", "val", "test"):
            for record in json.loads(archive.read(f"{split}/CLEVR_questions.json"))["questions"]:
                question = Question.from_json(record)
                assert question.program is not None
                readings = {program_tree(form.program()): form for form in parse(question.question)}
                form = readings[program_tree(question.program)]
                assert FAMILIES[question.question_family_index or 0] in form.families()
