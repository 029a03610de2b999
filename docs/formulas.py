"""Formulas become MathML when the site is built: every browser shows it, and no script is loaded to look at a page."""

from __future__ import annotations

import html
import re
from typing import Any

from latex2mathml.converter import convert

_FORMULA = re.compile(r'<(span|div) class="arithmatex">\\([(\[])(.*?)\\[)\]]</\1>', re.DOTALL)


def on_page_content(content: str, **_: Any) -> str:
    """Called by MkDocs with the HTML of a page."""
    return _FORMULA.sub(_set, content)


def _set(match: re.Match[str]) -> str:
    formula = convert(html.unescape(match[3]).strip(), display="block" if match[2] == "[" else "inline")
    return f'<div class="formula">{formula}</div>' if match[2] == "[" else formula
