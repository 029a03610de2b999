from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from fewshot_film.data.arrays import load_arrays
from fewshot_film.data.errors import SourceError
from tests.data.layouts import write_pickle


class Malicious:
    """Runs a command when it is unpickled the ordinary way."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, ("touch pwned",)


@pytest.mark.parametrize("protocol", range(6))
def test_arrays_and_containers(tmp_path: Path, protocol: int) -> None:
    content = {
        "array": np.arange(6, dtype=np.uint8).reshape(2, 3),
        "fortran": np.asfortranarray(np.ones((2, 2))),
        "list": [1, 2.5, "x", None, True],
        "n": np.int64(3),
        "bytes": b"\xff",
    }
    loaded = load_arrays(write_pickle(tmp_path / "x.pkl", content, protocol))
    np.testing.assert_array_equal(loaded["array"], content["array"])
    np.testing.assert_array_equal(loaded["fortran"], content["fortran"])
    assert loaded["list"] == content["list"]
    assert (loaded["n"], loaded["bytes"]) == (3, b"\xff")


def test_pickles_written_before_numpy_2(tmp_path: Path) -> None:
    path = write_pickle(tmp_path / "x.pkl", np.arange(3), 2)
    path.write_bytes(path.read_bytes().replace(b"numpy._core.multiarray", b"numpy.core.multiarray"))
    np.testing.assert_array_equal(load_arrays(path), np.arange(3))


def test_texts_of_python_2(tmp_path: Path) -> None:
    (tmp_path / "x.pkl").write_bytes(b"\x80\x02U\x02\xe9aq\x00.")
    assert load_arrays(tmp_path / "x.pkl") == "éa"


@pytest.mark.parametrize("content", [Malicious(), [Malicious()], np.array([Malicious()], dtype=object), Path("x")])
def test_anything_else_is_refused_and_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: object) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SourceError, match=r"is not a pickle of arrays and plain containers \(it names (posix|pathlib)"):
        load_arrays(write_pickle(tmp_path / "x.pkl", content))
    assert not (tmp_path / "pwned").exists()


@pytest.mark.parametrize("data", [b"", b"hello", b"\x80\x02c_codecs\nencode\nX\x01\x00\x00\x00aX\x03\x00\x00\x00hexR."])
def test_damaged_pickles(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "x.pkl").write_bytes(data)
    with pytest.raises(SourceError, match="is not a pickle of arrays and plain containers"):
        load_arrays(tmp_path / "x.pkl")


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        load_arrays(tmp_path / "none")
