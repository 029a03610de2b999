"""Docstrings as the site reads them: their examples are Python, and the roles of Sphinx are not for Markdown."""

from __future__ import annotations

import re
from typing import Any

from griffe import Extension, Object

_ROLE = re.compile(r":(?:class|func|meth|mod|data|attr|exc):(?=`)")
_EXAMPLE = re.compile(r"^( *)Example:$", re.MULTILINE)


class Docstrings(Extension):
    """Rewrites every docstring before it is parsed."""

    def on_object(self, *, obj: Object, **_: Any) -> None:
        """Called by griffe with every module, class, function and attribute."""
        if obj.docstring is not None:
            text = _ROLE.sub("", obj.docstring.value.replace("`~", "`"))
            obj.docstring.value = _EXAMPLE.sub(r"\1Examples:", text)
