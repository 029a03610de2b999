from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fewshot_film.classifier import calibration_error


def test_by_hand():
    """Bins (0.5, 0.75] with one of two right at 0.6 and 0.7, and (0.75, 1] with two of two right at 0.9 and 1."""
    probabilities = [[0.6, 0.4], [0.3, 0.7], [0.9, 0.1], [0.0, 1.0]]
    found = calibration_error(probabilities, [0, 0, 0, 1], num_bins=4)
    assert found.count.tolist() == [0, 0, 2, 2]
    assert found.accuracy[2:].tolist() == [0.5, 1.0]
    assert found.confidence[2:] == pytest.approx([0.65, 0.95])
    assert np.isnan(found.accuracy[:2]).all()
    assert found.error == pytest.approx((2 * 0.15 + 2 * 0.05) / 4)


def test_labels_by_name_and_a_class_that_was_never_learned():
    found = calibration_error([[0.8, 0.2], [0.8, 0.2]], ["cat", "newt"], classes=["cat", "dog"], num_bins=1)
    assert found.accuracy.tolist() == [0.5]
    assert found.error == pytest.approx(0.3)


@given(st.lists(st.tuples(st.floats(0.5, 1), st.booleans()), min_size=1, max_size=30), st.integers(1, 20))
def test_against_a_loop_over_the_bins(answers, num_bins):
    probabilities = [[share, 1 - share] for share, _ in answers]
    found = calibration_error(probabilities, [0 if right else 7 for _, right in answers], num_bins=num_bins)
    expected = 0.0
    for number in range(num_bins):
        inside = [(s, r) for s, r in answers if max(math.ceil(s * num_bins), 1) - 1 == number]
        if inside:
            gap = sum(r for _, r in inside) - sum(s for s, _ in inside)
            expected += abs(gap) / len(answers)
    assert found.error == pytest.approx(expected, abs=1e-12)
    assert found.count.sum() == len(answers)


@pytest.mark.parametrize(
    ("probabilities", "labels", "message"),
    [
        ([], [], r"expected \(N, way\), \(N,\)"),
        ([[0.5, 0.5]], [0, 1], r"expected \(N, way\), \(N,\)"),
        ([[2.0, 1.0]], [0], "does not sum to 1; apply a softmax to logits first"),
        ([[-1.0, 2.0]], [0], "is negative or does not sum to 1"),
    ],
)
def test_what_is_no_distribution(probabilities, labels, message):
    with pytest.raises(ValueError, match=message):
        calibration_error(probabilities, labels)
