"""Whole files or none."""

from __future__ import annotations

import json

import pytest

from fewshot_film.run.files import write_atomically, write_json_atomically, write_text_atomically


def test_writes(tmp_path):
    write_text_atomically(tmp_path / "a.txt", "grüße\n")
    assert (tmp_path / "a.txt").read_bytes() == "grüße\n".encode()
    write_json_atomically(tmp_path / "a.json", {"ü": [1.5, None]})
    assert json.loads((tmp_path / "a.json").read_text(encoding="utf-8")) == {"ü": [1.5, None]}
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["a.json", "a.txt"]


def test_an_error_leaves_the_old_file(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")

    def fail(temporary):
        temporary.write_text("half")
        assert path.read_text() == "old"
        raise KeyError("disk")

    with pytest.raises(KeyError, match="disk"):
        write_atomically(path, fail)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_json_has_no_nan(tmp_path):
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json_atomically(tmp_path / "a.json", {"mean": float("nan")})
    assert not list(tmp_path.iterdir())
