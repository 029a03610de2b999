from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from clevr.questions.referring_expressions import StableRandom


def test_the_same_generator_gives_the_same_choices() -> None:
    one, other = (StableRandom(np.random.default_rng(4)) for _ in range(2))
    assert [one.pick("abc") for _ in range(50)] == [other.pick("abc") for _ in range(50)]
    assert one.order([1.0, 2.0, 3.0]) == other.order([1.0, 2.0, 3.0])


def test_pick_is_even_and_weigh_follows_the_weights() -> None:
    draw = StableRandom(np.random.default_rng(0))
    picked = Counter(draw.pick("abcd") for _ in range(8000))
    assert all(abs(picked[letter] / 8000 - 0.25) < 0.02 for letter in "abcd")
    weighed = Counter(draw.weigh("abc", [1.0, 0.0, 3.0]) for _ in range(8000))
    assert weighed["b"] == 0
    assert weighed["c"] / 8000 == pytest.approx(0.75, abs=0.02)


def test_order_puts_large_weights_early() -> None:
    draw = StableRandom(np.random.default_rng(0))
    orders = [draw.order([1.0, 1.0, 2.0]) for _ in range(8000)]
    assert all(sorted(order) == [0, 1, 2] for order in orders)
    assert sum(order[0] == 2 for order in orders) / 8000 == pytest.approx(0.5, abs=0.02)
