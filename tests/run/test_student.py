"""Student's t: printed tables, SciPy, symmetry."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fewshot_film.run.student import student_quantile


@pytest.mark.parametrize(
    ("freedom", "at_95", "at_975"),
    [
        (1, 6.3138, 12.7062),
        (2, 2.9200, 4.3027),
        (3, 2.3534, 3.1824),
        (4, 2.1318, 2.7764),
        (9, 1.8331, 2.2622),
        (30, 1.6973, 2.0423),
        (120, 1.6577, 1.9799),
        (10**6, 1.6449, 1.9600),
    ],
)
def test_quantiles_are_those_of_the_tables(freedom, at_95, at_975):
    assert student_quantile(0.95, freedom) == pytest.approx(at_95, abs=6e-5)
    assert student_quantile(0.975, freedom) == pytest.approx(at_975, abs=6e-5)


@given(st.integers(1, 400), st.floats(1e-6, 1 - 1e-6))
def test_quantiles_are_those_of_scipy(freedom, probability):
    stats = pytest.importorskip("scipy.stats")
    expected = stats.t.ppf(probability, freedom)
    assert student_quantile(probability, freedom) == pytest.approx(expected, rel=1e-8, abs=1e-8)


@given(st.integers(1, 400), st.floats(0.01, 0.5))
def test_the_distribution_is_symmetric(freedom, probability):
    assert student_quantile(probability, freedom) == pytest.approx(
        -student_quantile(1 - probability, freedom), rel=1e-9, abs=1e-9
    )
