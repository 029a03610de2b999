from __future__ import annotations

import csv
import io
import re
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fewshot_film.run.tables import csv_text, guarded, markdown_text, read_csv

FORMULAS = (
    '=HYPERLINK("http://x.example","y")',
    "+1+1",
    "-2+3",
    "@SUM(1)",
    "\t=1",
    "\r=1",
    "\n=1",
    " =1+1",
    "＝1+1",
    "＠x",
    "=cmd|' /C calc'!A0.png",
)
NAMES = ("cat", "'tis", "'=1", "Katze, groß", 'a "b"', "a;=1", "猫", "", "-")
MARKUP = (
    "<none>",
    "[x](javascript:alert(1))",
    "![x](y.png)",
    "a|b",
    "*cat*",
    "__init__",
    "_cat_",
    "snake_case_name",
    "`code`",
    "~~gone~~",
    "$x$ and $y$",
    "&lt;b&gt; & more",
    "C:\\new\\|x",
    "\\",
    "<script>alert(1)</script>",
    "a #",
)


@pytest.mark.parametrize("name", [*FORMULAS, *NAMES])
def test_no_cell_begins_like_a_formula_and_names_come_back(name: str):
    text = csv_text((name, "share"), [(name, -0.5), (f"x{name}", 2)])
    cells = [cell for row in csv.reader(io.StringIO(text, newline="")) for cell in row]
    texts = [cell for cell in cells if cell not in ("-0.5", "2")]
    assert not [cell for cell in texts if cell.lstrip()[:1] in tuple("=+-@＝＋－＠") and cell.strip()]
    assert not [cell for cell in texts if cell[:1] in ("\t", "\r", "\n")]
    assert [row[name] for row in read_csv(text)] == [name, f"x{name}"]
    assert "-0.5" in cells  # a number is none


def test_text_is_quoted_so_that_another_separator_cannot_cut_it():
    assert csv_text(("file",), [("a;=1",)]) == '"file"\n"a;=1"\n'


@given(st.lists(st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0")), min_size=1))
def test_any_text_comes_back(cells: list[str]):
    head = [str(column) for column in range(len(cells))]
    assert list(read_csv(csv_text(head, [cells]))[0].values()) == cells
    assert all(guarded(cell)[:1] not in tuple("=+-@\t\r\n") for cell in cells if cell)


@pytest.mark.parametrize("name", MARKUP)
def test_markdown_shows_what_was_typed(name: str):
    table = f"| name | x |\n| --- | --- |\n| {markdown_text(name)} | 1 |\n\n# {markdown_text(name)}\n"
    for page in rendered(table):
        found = ElementTree.fromstring(f"<div>{page}</div>")
        assert [list(cell) for cell in found.iter("td")] == [[], []]
        assert [cell.text for cell in found.iter("td")] == [name, "1"]
        assert [(heading.text, list(heading)) for heading in found.iter("h1")] == [(name, [])]


def rendered(text: str) -> list[str]:
    """As HTML by two libraries that differ in what they take for markup."""
    markdown, markdown_it = pytest.importorskip("markdown"), pytest.importorskip("markdown_it")
    github = markdown_it.MarkdownIt("commonmark").enable(["table", "strikethrough"])
    return [github.render(text), markdown.markdown(text, extensions=["tables"])]


@pytest.mark.parametrize("name", ["see http://a.b/c", "HTTPS://a", "ftp://x.y", "www.a.b", "WWW.a.b", "me@a.b", "a:b"])
def test_addresses_are_no_links(name: str):
    text = markdown_text(name)
    assert not re.search(r"://|www\.|@", text, re.IGNORECASE)  # what GitHub's Markdown looks for
    for page in rendered(text):
        (found,) = ElementTree.fromstring(f"<div>{page}</div>")
        assert (found.text, list(found)) == (name, [])


def test_a_name_is_on_one_line():
    assert markdown_text("a\n| b |\r\nc") == "a \\| b \\| c"
