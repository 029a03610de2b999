"""Tables as text: CSV that is safe to open in a spreadsheet, and Markdown that shows names as they were typed."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Sequence

_FORMULA = re.compile(r"'*(?:[\t\r\n]|\s*[=+\-@\uff1d\uff0b\uff0d\uff20])")
"""What a spreadsheet may take for the beginning of a formula, after any number of apostrophes; full-width signs too."""
_MARKUP = re.compile(r"[\\`*\[\]|#]|(?<![^\W_])_|_(?![^\W_])")
"""Punctuation that Markdown may take for markup; an underscore inside a word is none."""
_ENTITIES = str.maketrans({sign: f"&#{ord(sign)};" for sign in "&<>~$"})
"""Signs for which not every Markdown knows a backslash."""
_LINKS = re.compile(r"(?<=[a-z]):(?=//)|(?<=www)\.|@", re.IGNORECASE)
"""What makes a link of an address without any markup, in GitHub's Markdown and others."""
_SPACE = re.compile(r"\s*[\t\r\n]\s*")


def csv_text(head: Sequence[str], rows: Iterable[Sequence[str | float]]) -> str:
    """A CSV file whose cells are data for every spreadsheet, whatever files and classes are called.

    Text is quoted, and an apostrophe is put before what a spreadsheet would run as a formula; :func:`read_csv` takes
    it off again. Numbers are written as they are.

    Args:
        head: names of the columns.
        rows: their cells.

    Source:
        OWASP, "CSV Injection", https://owasp.org/www-community/attacks/CSV_Injection
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n", quoting=csv.QUOTE_NONNUMERIC)
    for row in (head, *rows):
        writer.writerow([guarded(encodable(cell)) if isinstance(cell, str) else cell for cell in row])
    return text.getvalue()


def read_csv(text: str) -> list[dict[str, str]]:
    """The rows of a file that :func:`csv_text` wrote, by column, with the original names.

    Args:
        text: its content; ``encoding="utf-8-sig"`` reads also what a spreadsheet has saved.
    """
    rows = csv.DictReader(io.StringIO(text, newline=""))
    return [{unguarded(column): unguarded(cell) for column, cell in row.items()} for row in rows]


def encodable(text: str) -> str:
    r"""Text that UTF-8 can hold: bytes of a file's name that are no text, as ``\udce9``."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def guarded(cell: str) -> str:
    """Text that no spreadsheet takes for a formula."""
    return f"'{cell}" if _FORMULA.match(cell) else cell


def unguarded(cell: str) -> str:
    """The text that :func:`guarded` was given; any other text as it is."""
    return cell[1:] if cell.startswith("'") and _FORMULA.match(cell) else cell


def markdown_text(text: str) -> str:
    """Text as Markdown that shows it as it is, on one line: no links, HTML, emphasis, formulas or new cells."""
    escaped = _MARKUP.sub(lambda found: f"\\{found[0]}", _SPACE.sub(" ", text)).translate(_ENTITIES)
    return _LINKS.sub(lambda found: f"&#{ord(found[0])};", escaped)
