"""The README's Python examples run and print what they say; its tables and those of the docs are the result files'."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from benchmarks.tables import PAGES, with_tables
from tests.conftest import CHECKOUT

README = (CHECKOUT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)
PRINTED = re.compile(r"^print\(.*\)  # (.+)$", re.MULTILINE)


def test_there_are_examples():
    assert len(BLOCKS) >= 2
    assert PRINTED.search(BLOCKS[0])


@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: f"{len(block.splitlines())} lines")
def test_example_prints_what_it_says(block: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    monkeypatch.chdir(CHECKOUT)
    exec(compile(block, "README.md", "exec"), {})
    assert capsys.readouterr().out.splitlines() == PRINTED.findall(block)


def test_the_first_number_convinces():
    assert float(PRINTED.findall(BLOCKS[0])[-1]) > 0.9


def test_first_screen_has_pictures_commands_and_an_example():
    first = README.splitlines()[:45]
    assert sum(line.count("<img ") for line in first) == 2
    assert any(line.startswith("make demo") for line in first)
    assert any("FewShotClassifier()" in line for line in first)
    for name in re.findall(r'src="([^"]+)"', README):
        assert (CHECKOUT / name).is_file()


def test_local_links_lead_somewhere():
    for page in (CHECKOUT / "README.md", CHECKOUT / "CONTRIBUTING.md"):
        links = re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text(encoding="utf-8"))
        assert links
        assert not [link for link in links if not (CHECKOUT / link).exists()]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_tables_are_those_of_the_result_files(page: Path):
    text = page.read_text(encoding="utf-8")
    assert "<!-- table " in text
    assert re.search(r"± |\(\d+\.\d+ to \d", text)
    assert with_tables(text) == text
