"""The overview has every number of the README's table, and says which command makes it."""

from __future__ import annotations

import re
from pathlib import Path

from benchmarks import overview, tables

CHECKOUT = Path(__file__).resolve().parents[2]


def test_every_number_of_the_readme_is_in_it() -> None:
    listed = {row.what: row for row in overview.rows()}
    here = " ".join(f"{row.here} {row.published}" for row in listed.values())
    for line in tables.summary().partition("\n\n")[0].splitlines()[2:]:
        for number in re.findall(r"\d+\.\d", line.split("|")[3]):
            assert number in here


def test_commands_name_modules_that_are_there() -> None:
    for row in overview.rows():
        if found := re.match(r"python -m benchmarks\.(\w+)", row.command):
            assert (CHECKOUT / "benchmarks" / f"{found[1]}.py").is_file()
        assert (overview.RESULTS / f"{row.file}.json").is_file()


def test_gaps_are_those_of_the_numbers() -> None:
    (row,) = [row for row in overview.rows() if row.what.startswith("Omniglot, 20-way")]
    assert row.gap == "-0.1 / +0.1"
    assert row.published == "96.0 / 98.9 (prototypical networks)"
