from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from clevr.data.table import load_arrays, save_arrays


@pytest.mark.parametrize("compressed", [False, True])
def test_there_and_back(tmp_path: Path, compressed: bool) -> None:
    path = tmp_path / "new" / "arrays.npz"
    arrays = {"a": np.arange(6, dtype=np.int16).reshape(2, 3), "b.c": np.array([0.5])}
    save_arrays(path, "from here", arrays, compressed=compressed)
    found = load_arrays(path, "from here")
    assert found is not None
    assert set(found) == set(arrays)
    for name, value in arrays.items():
        assert found[name].dtype == value.dtype
        assert np.array_equal(found[name], value)
    assert [file.name for file in path.parent.iterdir()] == ["arrays.npz"]


def test_what_is_missing_stale_or_damaged_is_none(tmp_path: Path) -> None:
    path = tmp_path / "arrays.npz"
    assert load_arrays(path, "from here") is None
    save_arrays(path, "from here", {"a": np.zeros(3)})
    assert load_arrays(path, "from there") is None
    content = path.read_bytes()
    for damaged in (content[:40], b"", b"no arrays"):
        path.write_bytes(damaged)
        assert load_arrays(path, "from here") is None
