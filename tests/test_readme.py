"""The README's Python examples run as they stand."""

from __future__ import annotations

import re

import pytest

from benchmarks.tables import with_tables
from tests.conftest import CHECKOUT

BLOCKS = re.findall(r"```python\n(.*?)```", (CHECKOUT / "README.md").read_text(encoding="utf-8"), flags=re.DOTALL)


def test_there_are_examples():
    assert len(BLOCKS) >= 2


@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: f"{len(block.splitlines())} lines")
def test_example_runs(block: str, capsys):
    exec(compile(block, "README.md", "exec"), {})


def test_tables_are_those_of_the_result_files():
    text = (CHECKOUT / "README.md").read_text(encoding="utf-8")
    assert "| 5-way 1-shot |" in text
    assert with_tables(text) == text
