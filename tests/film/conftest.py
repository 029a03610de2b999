from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch


@pytest.fixture(autouse=True)
def _same_weights_every_time() -> Iterator[None]:
    """torch draws a module's first weights from its global state: fix it for the test, and only for it."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield
