from __future__ import annotations

import pytest

from fewshot_film.film.naming import matches, suggest


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


def test_suggestions() -> None:
    names = ["layer1.0.bn1", "layer1.0.bn2", "fc", "stem", "head"]
    assert suggest("layer1.0.bn", names) == "near matches: layer1.0.bn2, layer1.0.bn1"
    assert suggest("zzz", names) == "there are layer1.0.bn1, layer1.0.bn2, fc, stem and 1 more"
    assert suggest("zzz", []) == "there are none at all"
