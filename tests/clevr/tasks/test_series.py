"""Every kind of task: its items are pure functions of their numbers, true by a slow executor, and hard to cheat."""

from __future__ import annotations

import hashlib
import json
import pickle
import subprocess
import sys
from functools import cache

import pytest
import torch

from clevr.tasks import KINDS, LEVELS, Difficulty, Item, TaskError, make
from clevr.world.render import object_ids
from clevr.world.scene import Scene
from clevr.world.visibility import visible_pixels
from fewshot_film.errors import InvalidValueError
from tests.clevr.tasks.replies import dishonest
from tests.conftest import CHECKOUT
from tests.reference import clevr_tasks_oracle as oracle

NAMES = sorted(KINDS)
SMALL = {"width": 96, "height": 72}


def fingerprint(items: list[Item]) -> str:
    """A hash of everything in some items but their images; coordinates rounded, as the last bits of sums may differ."""
    records = [[item.prompt, item.answer, item.metadata, list(map(placed, item.scenes))] for item in items]
    return hashlib.sha256(json.dumps(records, sort_keys=True).encode()).hexdigest()[:16]


def placed(scene: Scene) -> list[list[object]]:
    return [
        [thing.size, thing.color, thing.material, thing.shape, *(round(side, 6) for side in thing.coords)]
        for thing in scene.objects
    ]


def true_answer(item: Item) -> str:
    ids = object_ids(item.scenes[:1], item.width, item.height)[0].tolist() if item.answer_type == "box" else None
    records = [scene.to_json() for scene in item.scenes]
    return oracle.answer(item.task, item.prompt, item.metadata["program"], records, ids)


GOLDEN = {
    "arithmetic": "d8d66f02d86a1fbe",
    "closure": "ca29a1347a7efd72",
    "counterfactual": "fec2184505d058f2",
    "counting": "2b6ace526b4f15b2",
    "matching": "7023ab5ffc935b98",
    "odd_one_out": "af49cfceada266e7",
    "questions": "856a2f97506e3fd1",
    "referring": "feb1bc70d1272059",
}
"""Hashes of the first items of every level with seed 7."""


@cache
def sample(name: str, level: int) -> list[Item]:
    """Some items, made once for several tests; small images make boxes cheap."""
    return make(name, seed=7, difficulty=level, **SMALL).batch(range(24), draw=False)


@pytest.mark.parametrize("name", NAMES)
def test_items_do_not_change(name: str):
    assert fingerprint([item for level in LEVELS for item in sample(name, level)[:4]]) == GOLDEN[name]


@pytest.mark.parametrize("name", NAMES)
def test_an_item_does_not_depend_on_its_batch(name: str):
    series = make(name, seed=1, difficulty=4, **SMALL)
    together = series.batch([5, 0, 3])
    for item, index in zip(together, (5, 0, 3), strict=True):
        alone = series[index]
        assert fingerprint([alone]) == fingerprint([item])
        assert torch.equal(alone.images, item.images)


def test_another_process_makes_the_same():
    code = (
        "from tests.clevr.tasks.test_series import *; "
        "print([fingerprint(make(name, seed=7, difficulty=1, **SMALL).batch([3])) for name in NAMES])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=CHECKOUT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == str([fingerprint([sample(name, 1)[3]]) for name in NAMES])


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("name", NAMES)
def test_answers_are_true(name: str, level: int):
    for item in sample(name, level):
        assert item.answer == true_answer(item), item.prompt
        assert item.verify(f"I looked at it carefully. The answer is {item.answer}.") == 1.0


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_a_thousand_answers_are_true(name: str):
    for level in LEVELS:
        for item in make(name, seed=8, difficulty=level, **SMALL).batch(range(200), draw=False):
            assert item.answer == true_answer(item), item.prompt


@pytest.mark.parametrize("name", NAMES)
def test_cheats_gain_nothing(name: str):
    for item in sample(name, 3)[:5]:
        texts = dishonest(item.answer, item.answer_type)
        assert len(set(texts)) >= 20
        assert [text for text in texts if item.verify(text) >= 0.3] == []


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("name", NAMES)
def test_scenes_are_as_hard_as_asked(name: str, level: int):
    difficulty = LEVELS[level]
    scenes = [scene for item in sample(name, level) for scene in item.scenes]
    assert len(scenes) == 24 * KINDS[name].num_images
    assert {len(scene.objects) for scene in scenes} <= {*range(difficulty.min_objects, difficulty.max_objects + 1)}
    assert min(map(min, visible_pixels(scenes))) >= difficulty.min_pixels


@pytest.mark.parametrize("name", NAMES)
def test_answers_vary(name: str):
    answers = [item.answer for level in LEVELS for item in sample(name, level)]
    assert max(answers.count(answer) for answer in answers) <= 0.65 * len(answers)


@pytest.mark.parametrize("name", NAMES)
def test_prompts_and_workings_are_sentences(name: str):
    item = sample(name, 3)[0]
    assert item.prompt[0].isupper()
    assert item.prompt[-1] in ".?"
    assert "  " not in item.prompt
    assert item.working
    assert json.loads(json.dumps(item.metadata)) == item.metadata


@pytest.mark.parametrize("name", NAMES)
def test_images(name: str):
    item = make(name, seed=6, difficulty=1, **SMALL)[0]
    number = KINDS[name].num_images
    assert item.images.shape == (number, 3, 72, 96)
    assert item.image.shape == (3, 72, 96 * number + 8 * (number - 1))
    assert torch.equal(item.image[..., :96], item.images[0])
    assert torch.equal(item.image[..., -96:], item.images[-1])
    assert torch.equal(pickle.loads(pickle.dumps(item)).image, item.image)


def test_iteration_ends_with_the_size_and_is_endless_without():
    series = make("counting", difficulty=1, size=3, width=16, height=12)
    items = list(series)
    assert [item.index for item in items] == [0, 1, 2]
    assert len(series) == 3
    endless = make("counting", difficulty=1, width=16, height=12)
    assert next(iter(endless)).index == 0
    with pytest.raises(TypeError, match=r"endless and has no length; give make\(..., size=...\)"):
        len(endless)
    for index in (-1, 3):
        with pytest.raises(IndexError, match=f"item {index} of 3 tasks"):
            series[index]
    with pytest.raises(IndexError, match="item 0 of 0 tasks"):
        make("counting", size=0)[0]


def test_seeds_and_difficulties_give_other_items():
    same = fingerprint([make("counting", difficulty=1)[0]])
    assert fingerprint([make("counting", difficulty=1)[0]]) == same
    others = [make("counting", seed=1, difficulty=1)[0], make("counting", difficulty=2)[0], make("counting")[0]]
    assert same not in [fingerprint([item]) for item in others]


def test_own_difficulty():
    difficulty = Difficulty(6, 6, 3, 3, distractors=5)
    item = make("questions", difficulty=difficulty)[0]
    assert len(item.scenes[0].objects) == 6
    assert item.difficulty == "custom"
    assert [node.function for node in item.program or ()].count("relate") == 3


def test_equal_difficulties_give_equal_items():
    whole, broken = Difficulty(3, 5, 0, 0, reach=3), Difficulty(3, 5, 0, 0, reach=3.0)  # type: ignore[arg-type]
    assert whole == broken
    assert make("counting", difficulty=whole)[0].prompt == make("counting", difficulty=broken)[0].prompt


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"margin": float("nan")}, "margin is nan; expected a finite number"),
        ({"distractors": 1.5}, "distractors is 1.5; expected a whole number"),
        ({"reach": 0.0}, "a reach above 0"),
    ],
)
def test_a_difficulty_that_cannot_be_is_refused(setting: dict[str, float], message: str):
    with pytest.raises(InvalidValueError, match=message):
        Difficulty(3, 4, 0, 1, **setting)  # type: ignore[arg-type]


def test_errors():
    with pytest.raises(
        TaskError, match=r"unknown kind of task 'countin' \(did you mean 'counting'\?\); expected one of"
    ):
        make("countin")
    with pytest.raises(TaskError, match="seed -1, size None; both must be 0 or more"):
        make("counting", seed=-1)
    with pytest.raises(InvalidValueError, match="difficulty 6; expected one of 1, 2, 3, 4, 5, or a Difficulty"):
        make("counting", difficulty=6)
    with pytest.raises(InvalidValueError, match="expected 3 <= min_objects <= max_objects <= 10"):
        Difficulty(5, 4, 0, 0)


def test_a_difficulty_without_room_says_so(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("clevr.tasks.series._MAX_ATTEMPTS", 2)
    with pytest.raises(TaskError, match="item 0: no scene in 2 attempts offers such a task; allow more"):
        make("counting", difficulty=Difficulty(3, 3, 0, 0, min_pixels=50_000))[0]
