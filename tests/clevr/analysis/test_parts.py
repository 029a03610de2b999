from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from clevr.analysis import composition, consistency, embedding, histograms, resets
from clevr.analysis.consistency import PairAnswers
from clevr.answers.scores import Score
from clevr.questions.parser import parse
from clevr.questions.programs import execute
from clevr.questions.tokens import ANSWER_WORDS, Vocabulary
from clevr.world.scene import COLORS, SHAPES, Scene, SceneObject
from fewshot_film.film import Modulation


def numbers(*words: str) -> np.ndarray:
    return np.array([ANSWER_WORDS.index(word) for word in words])


def a_scene(*things: str) -> Scene:
    objects = [SceneObject(shape, "large", color, "metal", (0, 0, 0), 0) for color, shape in map(str.split, things)]
    return Scene(tuple(objects), {}, {})


def test_key_figures_of_values() -> None:
    values = np.array([[-1.0, 0.05], [1.0, 3.0]], np.float32)
    found = histograms.describe(values, np.array([-2.0, 0.0, 2.0]))
    assert found["mean"] == pytest.approx(0.7625)
    assert found["share_negative"] == 0.25
    assert found["share_near_zero"] == 0.25
    assert found["std_over_questions"] == pytest.approx((1.0 + 1.475) / 2)
    assert found["quantiles"]["0.5"] == pytest.approx(0.525)
    assert found["density"] == pytest.approx([1 / 6, 2 / 6])


def test_neighbours_by_hand() -> None:
    rows = np.array([[0.0], [1.0], [3.0], [3.5]], np.float32)
    kinds = np.array(["a", "a", "b", "a"])
    assert embedding.neighbours_alike(rows, kinds, 1) == 0.5
    assert embedding.neighbours_alike(rows, kinds, 3) == pytest.approx((2 + 2 + 0 + 2) / 12)


@given(st.integers(2, 12), st.integers(0, 2**31))
def test_neighbours_one_by_one(size: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    rows, kinds = rng.normal(size=(size, 3)).astype(np.float32), rng.choice(["a", "b"], size)
    count = int(rng.integers(1, size))
    alike = []
    for row in range(size):
        others = sorted(
            (other for other in range(size) if other != row), key=lambda o: ((rows[o] - rows[row]) ** 2).sum()
        )
        alike += [kinds[other] == kinds[row] for other in others[:count]]
    assert embedding.neighbours_alike(rows, kinds, count) == pytest.approx(np.mean(alike))


def test_resets_put_one_row_in_the_place_of_all() -> None:
    own = {name: Modulation(torch.randn(3, 2), torch.randn(3, 2)) for name in ("a", "b")}
    fixed = {"a": Modulation(torch.tensor([[5.0, 6.0]]), torch.tensor([[7.0, 8.0]]))}
    found = resets.reset(fixed, gamma=True, beta=False)(own)
    assert found["a"].gamma.tolist() == [[5.0, 6.0]] * 3
    assert torch.equal(found["a"].beta, own["a"].beta)
    assert found["b"] is own["b"]
    both = resets.reset(fixed, gamma=True, beta=True)(own)
    assert both["a"].beta.tolist() == [[7.0, 8.0]] * 3


def test_noise_is_that_of_the_seed_and_in_proportion_to_the_spread() -> None:
    own = {"a": Modulation(torch.zeros(2000, 4), torch.zeros(2000, 4))}
    spreads = {"a": (8.0, 3.0)}
    first, second = (resets.add_noise(0.5, spreads, 3, True, False)(own)["a"] for _ in range(2))
    assert torch.equal(first.gamma, second.gamma)
    assert not first.beta.any()
    assert first.gamma.std().item() == pytest.approx(4.0, rel=0.03)
    both = resets.add_noise(0.5, spreads, 3, True, True)(own)["a"]
    assert torch.equal(both.gamma, first.gamma)
    assert both.beta.std().item() == pytest.approx(1.5, rel=0.03)
    assert not torch.equal(resets.add_noise(0.5, spreads, 4, True, False)(own)["a"].gamma, first.gamma)


def test_judged_answers() -> None:
    found = consistency.judge(numbers("3", "red", "yes", "no", "no", "yes", "2"))
    assert found == PairAnswers((3, None), (True, False), (False, True, None))


def test_agreements_by_hand() -> None:
    sound = PairAnswers((3, 1), (True, True), (True, False, False))
    wrong = PairAnswers((0, 2), (True, True), (True, True, False))
    strange = PairAnswers((None, 2), (None, True), (False, False, True))
    found = consistency.agreements([sound, wrong, strange])
    assert found == {
        "a comparison with both counts": Score(5, 9),
        "all three comparisons with both counts": Score(1, 3),
        "exactly one comparison is yes": Score(2, 3),
        "whether there are any with the count": Score(4, 6),
    }
    assert consistency.by_distance([sound, wrong, strange]) == {2: Score(5, 6)}


@given(st.integers(0, 10), st.integers(0, 10))
def test_true_answers_agree(first: int, second: int) -> None:
    truth = PairAnswers((first, second), (first > 0, second > 0), (first > second, first < second, first == second))
    assert all(score.right == score.count for score in consistency.agreements([truth]).values())


def test_pairs_are_questions_of_clevr() -> None:
    pairs = consistency.draw_pairs(30, 0, 0)
    assert len(set(pairs)) == 30
    assert pairs == consistency.draw_pairs(30, 0, 0)
    assert consistency.draw_pairs(30, 1, 0) != pairs != consistency.draw_pairs(30, 0, 1)
    scene = a_scene("red cube", "red cube", "blue sphere")
    for pair in pairs:
        texts = consistency.questions_about(*pair)
        assert not any(Vocabulary().unknown_words(text) for text in texts)
        programs = [parse(text)[0].program() for text in texts]
        asked = [program[-1].function for program in programs]
        assert asked == ["count", "count", "exist", "exist", "greater_than", "less_than", "equal_integer"]
        judged = consistency.judge(numbers(*(execute(program, scene) for program in programs)))
        assert all(score.right == score.count for score in consistency.agreements([judged]).values())


def test_counts_of_every_color_and_shape() -> None:
    found = composition.count_things([a_scene("gray cube", "red cube", "red cube"), a_scene()])
    words = [[ANSWER_WORDS[number] for number in row] for row in found]
    assert words[0] == ["1", "0", "0", "2", *["0"] * 20]
    assert set(words[1]) == {"0"}
    assert found.shape == (2, len(COLORS) * len(SHAPES))


def test_sums_keep_what_is_additive() -> None:
    colors, shapes = torch.randn(8, 1, 5), torch.randn(1, 3, 5)
    values = (colors + shapes).reshape(24, 5)
    found = composition.compose({"a": Modulation(values, 2 * values)})["a"]
    torch.testing.assert_close(found.gamma, values)
    torch.testing.assert_close(found.beta, 2 * values)


def test_sums_are_made_of_other_questions() -> None:
    values = torch.randn(24, 5, dtype=torch.float64)
    changed = values.clone()
    changed[7] += 100
    before, after = (composition.compose({"a": Modulation(v, v)})["a"].gamma for v in (values, changed))
    torch.testing.assert_close(before[7], after[7])
    assert not torch.allclose(before[8], after[8])
    color, shape = divmod(7, 3)
    grid = values.reshape(8, 3, 5)
    sums = [
        grid[color, t] - grid[d, t] + grid[d, shape] for d in range(8) for t in range(3) if d != color and t != shape
    ]
    torch.testing.assert_close(before[7], torch.stack(sums).mean(0))
