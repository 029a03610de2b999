from __future__ import annotations

import pytest

from fewshot_film.film.naming import matches


@pytest.mark.parametrize(
    ("name", "pattern", "expected"),
    [
        ("layer1.0.bn2", "layer1.0.bn2", True),
        ("layer1.0.bn2", "layer*.*.bn[12]", True),
        ("layer1.0.bn3", "layer*.*.bn[12]", False),
        ("layer1.0.bn2", "layer*.bn2", False),
        ("layer1.0.bn2", "layer*", False),
        ("layer1.0.bn2", "**.bn2", True),
        ("layer1.0.bn2", "layer1.**", True),
        ("bn2", "**.bn2", True),
        ("layer1.0.bn2", "**", True),
        ("layer1.0.bn2", "**.layer1", False),
        ("layer12.bn", "layer?.bn", False),
        ("Layer1", "layer1", False),
    ],
)
def test_patterns(name: str, pattern: str, expected: bool) -> None:
    assert matches(name, pattern) is expected
