"""Marks of tests that need a library of an extra."""

from __future__ import annotations

from importlib.util import find_spec

import pytest

needs_learn2learn = pytest.mark.skipif(
    find_spec("learn2learn") is None,
    reason="LEARN2LEARN IS NOT INSTALLED: MAML, ANIL, Meta-SGD and its task sets go untested; run `make learn2learn`",
)
