"""With a stub for Ray; `tests/clevr/commands/test_sharded.py` and `tests/commands/test_bulk.py` try Ray itself."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from fewshot_film.errors import ProcessLostError
from fewshot_film.run.ray_jobs import connect


def fail(**settings: Any) -> None:
    raise Exception("The current node\ntimed out")  # as Ray does


@pytest.mark.parametrize(
    ("address", "advice"),
    [
        ("", "expected it to start on this machine: try again when the machine is less busy, or another engine"),
        ("10.0.0.1:6379", "expected a Ray cluster at RAY_ADDRESS=10.0.0.1:6379: start one there, or unset RAY_ADDRESS"),
    ],
)
def test_a_cluster_that_does_not_answer_is_told(monkeypatch: pytest.MonkeyPatch, address: str, advice: str) -> None:
    monkeypatch.setenv("RAY_ADDRESS", address)
    for name in ("RAY_USAGE_STATS_ENABLED", "RAY_worker_niceness"):
        monkeypatch.setenv(name, "0")  # which it would set for good
    with pytest.raises(ProcessLostError) as caught:
        connect(SimpleNamespace(init=fail), 1)
    assert str(caught.value) == f"Ray could not be started or joined (The current node timed out); {advice}"
