"""Fixtures shared by every test."""

from __future__ import annotations

import os
from pathlib import Path

# One thread for each test process and for the programs that it starts, set before torch is imported: what is computed
# here is too small for two, and the other core belongs to the other worker of `make test`.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest
from hypothesis import settings

# How long an example takes says more about the machine than about the code. The examples are the same every time, so
# that a failure is that of a change; `make test-all` looks for new ones.
settings.register_profile("project", deadline=None, derandomize=True)
settings.register_profile("explore", deadline=None)
settings.load_profile("project")

CHECKOUT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder with the real data sets; the test is skipped where there is none."""
    folder = Path(os.environ.get("FEWSHOT_FILM_DATA", CHECKOUT.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no real data: set FEWSHOT_FILM_DATA to a folder that holds it (looked in {folder})")
    return folder
