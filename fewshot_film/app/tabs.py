"""The tabs of the page: what they are called, and where they are made."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

from fewshot_film.run.page import Page


@dataclass(frozen=True)
class Tab:
    """One tab."""

    name: str
    """What is clicked on."""
    build: str
    """``"package.module:function"``: puts its components into the page that is being laid out."""

    def function(self) -> Callable[[Page], None]:
        """What makes the tab, imported now."""
        module, _, name = self.build.partition(":")
        return cast(Callable[[Page], None], getattr(importlib.import_module(module), name))


TABS = (
    Tab("Teach", "fewshot_film.app.teach:build"),
    Tab("Ask", "clevr.app.ask:build"),
    Tab("Compare", "fewshot_film.app.compare:build"),
)
"""In their order. By name, as the command lines have it: this room knows nothing of CLEVR."""
