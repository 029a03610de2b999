from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clevr.questions.actions import (
    COMPARISONS,
    FIRST_FILTER,
    NUMBERS,
    action_names,
    action_sequences,
    filters_of,
    follow,
    hops_of,
    in_words,
    num_actions,
)
from clevr.questions.parser import parse
from clevr.questions.program_encoding import referents
from clevr.questions.programs import Node, ProgramError
from clevr.questions.writer import write_questions
from clevr.world.scene import Scene
from tests.clevr.questions.scenes import random_scene, scenes

FILTERS = {value: number for number, (_, value) in enumerate(filters_of(), FIRST_FILTER)}


def numbers(words: str) -> list[int]:
    return [NUMBERS.get(word) or FILTERS[word] for word in words.split()]


def told(question: str) -> list[str]:
    """The sequences of actions of a question's only meaning, in words."""
    (form,) = parse(question)
    return [" ".join(action_names(sequence)) for sequence in action_sequences(form.program())]


@settings(max_examples=20)
@given(scenes(), st.integers(0, 2**32 - 1))
def test_every_sequence_leads_to_what_the_program_looks_at(scene: Scene, seed: int) -> None:
    for question in write_questions(scene, np.random.default_rng(seed), 20):
        assert question.program is not None
        wanted = referents(question.program, scene)
        ordered = question.program[-1].function in ("less_than", "greater_than")
        for sequence in action_sequences(question.program):
            hops = hops_of(sequence)
            found = follow(hops, scene)
            sets = tuple(found[place] for place in hops[-1].reads)
            assert sets == wanted or (not ordered and sets == wanted[::-1]), question.question


class TestSequences:
    def test_a_noun_phrase_is_told_from_its_end(self) -> None:
        assert told("What size is the red cube left of the shiny ball?") == [
            "scene sphere metal left cube red query_size"
        ]

    def test_both_stands_between_two_sets(self) -> None:
        first, second = told("How many cubes are left of the ball and behind the cylinder?")
        assert {first, second} == {
            "scene cylinder behind intersect scene sphere left cube count",
            "scene sphere left intersect scene cylinder behind cube count",
        }

    def test_either_follows_two_sets(self) -> None:
        assert told("How many things are red balls or blue cubes?") == [
            "scene cube blue scene sphere red union count",
            "scene sphere red scene cube blue union count",
        ]

    def test_an_order_that_matters_is_kept(self) -> None:
        assert told("Are there fewer red balls than cubes?") == ["scene cube scene sphere red less_than"]


class TestHops:
    def test_each_reads_those_before_it(self) -> None:
        hops = hops_of(numbers("scene cylinder behind intersect scene sphere left cube count"))
        assert [hop.reads for hop in hops] == [(), (0,), (), (2,), (1, 3), (4,)]
        assert [" ".join(action_names(hop.actions)) for hop in hops] == [
            "scene cylinder",
            "behind",
            "scene sphere",
            "left",
            "intersect cube",
            "count",
        ]

    def test_a_comparison_reads_the_set_told_last_first(self) -> None:
        hops = hops_of(numbers("scene cube scene sphere red less_than"))
        assert hops[-1].reads == (1, 0)
        assert "less_than" in COMPARISONS

    @pytest.mark.parametrize(
        ("slip", "meant"),
        [
            ("red count", "scene red count"),
            ("left count", "scene left count"),
            ("count", "scene count"),
            ("scene cube union count", "scene cube count"),
            ("scene red red cube count", "scene red cube count"),
            ("scene ball scene cube left count", "scene ball intersect scene cube left count"),
            ("scene cube intersect count", "scene cube count"),
        ],
    )
    def test_a_slip_keeps_a_meaning(self, slip: str, meant: str) -> None:
        slip, meant = slip.replace("ball", "sphere"), meant.replace("ball", "sphere")
        assert hops_of(numbers(slip)) == hops_of(numbers(meant))

    @given(st.lists(st.integers(0, num_actions()), max_size=20), st.sampled_from(["count", *COMPARISONS]))
    def test_any_actions_have_a_meaning(self, actions: list[int], asked: str) -> None:
        hops = hops_of([*actions, NUMBERS[asked]])
        assert hops[-1].actions == (NUMBERS[asked],)
        for place, hop in enumerate(hops):
            assert all(0 <= read < place for read in hop.reads)
            assert len(hop.reads) <= 2

    def test_nothing_asked(self) -> None:
        with pytest.raises(ProgramError, match="the actions ask nothing; expected one of count, exist"):
            hops_of(numbers("scene red"))


@pytest.mark.parametrize(
    ("told", "said"),
    [
        ("scene sphere large left cube red count", ("large sphere", "left of 1: red cube", "count of 2")),
        ("scene exist", ("all", "exist of 1")),
        ("scene red front same_size query_shape", ("red", "in front of 1", "the same size as 2", "query shape of 3")),
        ("scene red scene blue union cube count", ("red", "blue", "1 or 2: cube", "count of 3")),
        (
            "scene red behind intersect scene blue right count",
            ("red", "behind 1", "blue", "right of 3", "2 and 4", "count of 5"),
        ),
        ("scene red scene blue less_than", ("red", "blue", "less than of 2 and 1")),
    ],
)
def test_hops_in_words(told: str, said: tuple[str, ...]) -> None:
    assert in_words(hops_of(numbers(told))) == said


def test_others_of_the_same_are_not_the_thing_itself(pair: Scene) -> None:
    assert follow(hops_of(numbers("scene red same_color count")), pair) == [(0,), ()]
    assert follow(hops_of(numbers("scene red same_shape count")), pair) == [(0,), (1,)]


@pytest.fixture
def pair() -> Scene:
    """A red cube and a blue one."""
    scene = random_scene(np.random.default_rng(0), 2)
    things = zip(scene.objects, ("red", "blue"), strict=True)
    objects = tuple(dataclasses.replace(thing, shape="cube", color=color) for thing, color in things)
    return dataclasses.replace(scene, objects=objects)


def test_a_program_of_one_strand() -> None:
    program = (
        Node("scene"),
        Node("filter_size", (0,), ("large",)),
        Node("filter_shape", (1,), ("cube",)),
        Node("count", (2,)),
    )
    assert [action_names(sequence) for sequence in action_sequences(program)] == [["scene", "cube", "large", "count"]]
