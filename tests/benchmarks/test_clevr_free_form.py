"""The free-form questions: their answers are those of the scenes, and the model's are counted rightly."""

from __future__ import annotations

from collections import Counter

from benchmarks.clevr_free_form import Entry, read, summarize
from clevr.questions import execute, parse
from clevr.questions.tokens import ANSWER_WORDS
from clevr.world.scene import Scene


def test_answers_are_those_of_the_counterparts_in_the_scenes() -> None:
    entries, scenes = read()
    assert len(entries) == len({entry.question for entry in entries}) == 200
    for entry in entries:
        assert entry.answer in ANSWER_WORDS
        assert entry.question != entry.means
        if entry.means:
            (answer,) = {execute(form.program(), scenes[entry.scene]) for form in parse(entry.means)}
            assert answer == entry.answer, entry
    assert max(Counter(entry.answer for entry in entries).values()) <= 50


def test_answers_without_a_counterpart_are_worked_out_apart() -> None:
    entries, scenes = read()
    found = {entry.question: entry.answer for entry in entries if not entry.means}
    checks = {
        "Is every ball here small?": lambda s: all_are(s, "sphere", "size", "small"),
        "Are both red cubes tiny?": lambda s: [o.size for o in s.objects if o.color == "red"] == ["small"] * 2,
        "Is the red ball bigger than the green cylinder?": lambda s: bigger(s, "red", "green"),
        "Is there no cube at all in the picture?": lambda s: count(s, "cube") == 0,
        "Is the number of green things exactly one?": lambda s: sum(o.color == "green" for o in s.objects) == 1,
        "Is the blue ball smaller than the brown one?": lambda s: bigger(s, "brown", "blue"),
        "Is the cube made of plastic?": lambda s: False,
        "Do the two balls differ in size?": lambda s: len({o.size for o in s.objects if o.shape == "sphere"}) > 1,
        "Are both of the purple balls large?": lambda s: all(
            o.size == "large" for o in s.objects if (o.color, o.shape) == ("purple", "sphere")
        ),
        "Is there more than one cube?": lambda s: count(s, "cube") > 1,
        "Is there just one ball?": lambda s: count(s, "sphere") == 1,
        "Are there two green objects?": lambda s: sum(o.color == "green" for o in s.objects) == 2,
        "Are there two balls in the picture?": lambda s: count(s, "sphere") == 2,
        "Are all of the objects shiny?": lambda s: all(o.material == "metal" for o in s.objects),
        "Are the cubes both rubber?": lambda s: all_are(s, "cube", "material", "rubber"),
        "Are there three cylinders?": lambda s: count(s, "cylinder") == 3,
        "Do you agree that everything here is small?": lambda s: all(o.size == "small" for o in s.objects),
        "Is the red cube bigger than the brown cube?": lambda s: bigger(s, "red", "brown"),
        "Is there exactly one cube?": lambda s: count(s, "cube") == 1,
        "Are there three cubes?": lambda s: count(s, "cube") == 3,
    }
    colour = found.pop("What colour do both balls share?")
    assert set(found) == set(checks)
    for entry in entries:
        scene = scenes[entry.scene]
        if entry.question in checks:
            assert entry.answer == ("yes" if checks[entry.question](scene) else "no"), entry
        elif not entry.means:
            assert {thing.color for thing in scene.objects if thing.shape == "sphere"} == {colour}


def count(scene: Scene, shape: str) -> int:
    return sum(thing.shape == shape for thing in scene.objects)


def all_are(scene: Scene, shape: str, attribute: str, value: str) -> bool:
    return all(getattr(thing, attribute) == value for thing in scene.objects if thing.shape == shape)


def bigger(scene: Scene, one: str, other: str) -> bool:
    (large,), (small,) = ([thing for thing in scene.objects if thing.color == color] for color in (one, other))
    return (large.size, small.size) == ("large", "small")


def test_summary() -> None:
    assert Entry(0, "q", "yes").means is None
    rows = [
        {"truth": "yes", "answer": "yes", "is_guess": False, "in_clevrs_words": "yes"},
        {"truth": "2", "answer": "3", "is_guess": True, "in_clevrs_words": "2"},
        {"truth": "no", "answer": "no", "is_guess": False, "in_clevrs_words": None},
    ]
    found = {name: (score["right"], score["count"]) for name, score in summarize(rows).items()}
    assert found == {
        "all": (2, 3),
        "read as a question of CLEVR": (2, 2),
        "guesses": (0, 1),
        "with a counterpart, as asked": (1, 2),
        "with a counterpart, that one asked": (2, 2),
    }
