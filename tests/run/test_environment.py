"""What is written down about a run's surroundings."""

from __future__ import annotations

import importlib.machinery
import sys

import pytest

from fewshot_film.run.results import command_line, environment


@pytest.mark.parametrize(
    ("module", "expected"),
    [
        ("fewshot_film.__main__", ["python", "-m", "fewshot_film", "train"]),
        ("benchmarks.experiment", ["python", "-m", "benchmarks.experiment", "train"]),
        (None, ["fewshot-film", "train"]),
    ],
)
def test_the_command_is_written_as_it_is_typed(module, expected, monkeypatch):
    spec = None if module is None else importlib.machinery.ModuleSpec(module, None)
    monkeypatch.setattr(sys.modules["__main__"], "__spec__", spec)
    monkeypatch.setattr(sys, "argv", ["/some/where/fewshot-film", "train"])
    assert command_line() == expected


def test_versions_and_hardware_are_there():
    found = environment()
    assert found["versions"]["torch"].split("+")[0].count(".") == 2
    assert found["hardware"]["cores"] >= 1
    assert found["commit"] is None or len(found["commit"].removesuffix("+changes")) == 40
