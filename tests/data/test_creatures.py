from __future__ import annotations

import pickle

import numpy as np
import pytest

from fewshot_film.data import SourceError, decode, open_source
from fewshot_film.data.creatures import (
    Limbs,
    Plan,
    background,
    body,
    creature_split,
    creatures,
    draw_colours,
    draw_creature,
    draw_plan,
    marks,
    outlines,
)
from fewshot_film.data.generated import lit

PLAN = Plan(
    waves=(0.0, 0.0, 0.0, 0.0), aspect=0.8, limbs=(Limbs(1.5, 0.5, 0.1, 0.0, 1.5),), head=0.4, ears="pointed",
    ear_size=0.2, eyes=2, eye_size=0.1, tail=0.5, tail_curl=0.0, mark="bars", mark_count=3,
)  # fmt: skip


def test_split() -> None:
    split = creature_split()
    assert {part: len(set(names)) for part, names in split.items()} == {"train": 240, "val": 60, "test": 72}
    assert split["val"][0] == "creature 240"


def test_pictures_depend_on_seed_class_and_number_alone() -> None:
    everything, test = creatures(), open_source("creatures", split="test", pictures=3)
    here, there = 50 * 3 + 2, everything.class_names.index(test.class_names[50]) * 20 + 2
    assert test.load(here).tobytes() == everything.load(there).tobytes() == test.load(here).tobytes()
    assert test.load(here).tobytes() != creatures("test", pictures=3, seed=1).load(here).tobytes()
    assert pickle.loads(pickle.dumps(test)).load(here).tobytes() == test.load(here).tobytes()
    assert len({creatures("val").fingerprint(), creatures("val", seed=1).fingerprint(), creatures().fingerprint()}) == 3


def test_outlines_by_hand() -> None:
    """A round trunk of width 0.8 and length 1, mirror symmetric, its head above it and its tail below."""
    trunk = body(PLAN)
    assert np.allclose((trunk[:, 0] / 0.8) ** 2 + trunk[:, 1] ** 2, 1)
    parts = list(outlines(PLAN, np.random.default_rng(0)))
    assert [kind for kind, _ in parts] == ["limb"] * 5 + ["trunk"] + ["limb"] * 2 + ["head"] + ["eye"] * 2
    tail, head, eyes = parts[0][1], parts[8][1], [outline for kind, outline in parts if kind == "eye"]
    assert tail[:, 1].max() > 1.3
    assert head[:, 1].mean() == pytest.approx(-1.18)
    assert eyes[0][:, 0].mean() == pytest.approx(-eyes[1][:, 0].mean())
    left, right = parts[1][1], parts[3][1]
    assert left[:, 0].max() < 0 < right[:, 0].min()


@pytest.mark.parametrize(("mark", "count"), [("none", 0), ("bars", 3), ("lines", 3), ("dots", 9), ("belly", 1)])
def test_marks(mark: str, count: int) -> None:
    plan = Plan(**{**PLAN.__dict__, "mark": mark})
    assert len(list(marks(plan, np.random.default_rng(0)))) == count


def test_every_plan_can_be_drawn_and_is_seen() -> None:
    for seed in range(40):
        rng = np.random.default_rng(seed)
        plan = draw_plan(rng)
        for _, outline in outlines(plan, rng):
            assert np.isfinite(outline).all()
            assert np.abs(outline).max() < 3.2
    for number in range(0, 40, 2):
        pixels = np.asarray(draw_creature(f"creature {number:03d}", 0)).astype(int)
        assert pixels.shape == (84, 84, 3)
        corner, middle = pixels[:8, :8].mean((0, 1)), pixels[36:48, 36:48].mean((0, 1))
        assert np.abs(corner - middle).max() > 4


def test_a_class_is_its_body_and_every_other_one_its_colours() -> None:
    def spread(number: int) -> float:
        pictures = [np.asarray(draw_creature(f"creature {number:03d}", k)).astype(float) for k in range(10)]
        return float(np.std([picture[38:46, 38:46].mean((0, 1)) for picture in pictures], axis=0).mean())

    own, any_colours = [[spread(number) for number in range(first, 16, 2)] for first in (0, 1)]
    assert np.median(any_colours) > 1.8 * np.median(own)


def test_trunk_and_marks_stand_apart() -> None:
    for seed in range(30):
        colours = draw_colours(np.random.default_rng(seed))
        lightness = {name: (colour.max() + colour.min()) / 2 for name, colour in colours.items()}
        assert abs(lightness["trunk"] - lightness["mark"]) == pytest.approx(0.35)


def test_light_keeps_the_picture() -> None:
    grey = np.full((20, 30, 3), 0.5)
    pixels = np.asarray(lit(grey, np.random.default_rng(3))).astype(float) / 255
    assert pixels.shape == (20, 30, 3)
    assert abs(pixels.mean() - 0.5) < 0.06
    assert 0.01 < pixels.std() < 0.15
    assert background(np.random.default_rng(0)).size == (168, 168)


def test_no_two_pictures_are_equal() -> None:
    images = decode(creatures("val", pictures=2), 32, 3)
    assert not images.duplicates
    assert not images.conflicts


def test_settings_without_meaning() -> None:
    with pytest.raises(ValueError, match="pictures must be at least 1, got 0"):
        creatures(pictures=0)
    with pytest.raises(SourceError, match="creatures: no split 'dev'; there are train, val, test"):
        creatures("dev")
