from __future__ import annotations

import io
import json
import tracemalloc
import zipfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clevr.data import records as json_records
from clevr.data.errors import DataError
from clevr.data.records import JsonRecords
from tests.clevr.data.builders import fine_or_refused

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)
RECORDS = st.lists(st.dictionaries(st.text(max_size=4), JSON, max_size=3), max_size=5)


def read(content: str | bytes, key: str = "questions") -> list[dict[str, Any]]:
    data = content.encode() if isinstance(content, str) else content
    return list(JsonRecords(lambda: io.BytesIO(data), "some.json", key))


@settings(deadline=None)
@given(RECORDS, st.dictionaries(st.sampled_from(["info", "a"]), JSON), st.booleans(), st.integers(1, 40))
def test_reads_what_json_reads(records: list[dict[str, Any]], others: dict[str, Any], spaced: bool, block: int) -> None:
    text = json.dumps({**others, "questions": records, "z": 1}, indent=1 if spaced else None, ensure_ascii=spaced)
    source = JsonRecords(lambda: io.BytesIO(text.encode()), "some.json", "questions")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_records, "BLOCK", block)
        assert list(source) == records
    assert source.others == {**others, "z": 1}


@pytest.mark.parametrize("number", ["0.0", "-1.5e+10", "12", "1e5"])
@pytest.mark.parametrize("block", [1, 2, 3])
def test_a_number_that_is_cut_by_a_block(number: str, block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_records, "BLOCK", block)
    text = f'{{"version": {number}, "questions": []}}'
    source = JsonRecords(lambda: io.BytesIO(text.encode()), "some.json", "questions")
    assert list(source) == []
    assert source.others == {"version": float(number)}


@settings(deadline=None)
@given(RECORDS, st.integers(1, 40))
def test_reads_a_bare_list(records: list[dict[str, Any]], block: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_records, "BLOCK", block)
        assert read(json.dumps(records)) == records


@settings(deadline=None)
@given(st.data())
def test_a_file_cut_anywhere_is_an_error(data: st.DataObject) -> None:
    text = json.dumps({"info": {"version": "1.0"}, "questions": [{"a": [1, "é", True]}, {"b": None}]})
    cut = data.draw(st.integers(1, len(text) - 1))
    with pytest.raises(
        DataError, match=r"some\.json, .*character \d+: the file is cut short; download or write it again"
    ):
        read(text[:cut])


@settings(deadline=None)
@given(st.binary(max_size=60))
def test_any_bytes_are_records_or_an_error_that_names_the_file(content: bytes) -> None:
    with fine_or_refused("some.json"):
        assert all(isinstance(record, dict) for record in read(content))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", r"some\.json, character 0: the file is empty"),
        (b"\xef\xbb\xbf  ", r"some\.json, character \d: the file is"),
        ("12", r"character 0: expected a JSON object with the list 'questions', got '12'"),
        ('{"scenes": []}', r"some\.json: expected a list 'questions', found scenes"),
        ("{}", r"some\.json: expected a list 'questions', found nothing"),
        ('{"questions": {}}', r"character 14: expected 'questions' to be a list, got '\{\}\}'"),
        ('{"questions": [1]}', r"record 0 of 'questions': expected an object, got 1"),
        ('{"questions": [{}, null]}', r"record 1 of 'questions': expected an object, got null"),
        (
            '{"questions": [{}, {"a": nil}]}',
            r"record 1 of 'questions', character 25: not JSON \(Expecting value\)",
        ),
        (
            '{"questions": [{} {}]}',
            r"record 0 of 'questions', character 18: expected ',' or '\]', got '\{\}\]\}'",
        ),
        ('{"questions" []}', r"character 13: expected ':', got '\[\]\}'"),
        ("{questions: []}", r"character 1: expected a name in quotes, got 'questions: \[\]\}'"),
        ('{"questions": []} x', r"character 18: expected nothing after the end of the JSON, got 'x'"),
        (b'{"questions": [{"a": "\xff"}]}', r"character \d+: not UTF-8 text \(invalid start byte\)"),
        ("[" * 200_000, r"nested too deeply to be a CLEVR record"),
        (
            '[{"a": ' + "1" * 5000 + "}]",
            r"record 0 of 'questions', character 1: not JSON \(Exceeds the limit",
        ),
    ],
)
def test_errors_name_file_record_and_position(content: str | bytes, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read(content)


def test_position_counts_over_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_records, "BLOCK", 7)
    text = json.dumps([{"a": "x" * 50}, {"b": 1}])[:-1] + ", {'c'}]"
    with pytest.raises(DataError, match=f"record 2 of 'questions', character {text.index(chr(39))}: not JSON"):
        read(text)


def test_a_malformed_record_does_not_read_the_whole_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_records, "BLOCK", 100)
    monkeypatch.setattr(json_records, "LONGEST_RECORD", 1000)
    file = io.BytesIO(b'[{"a": nil}, ' + b"{}, " * 10_000)
    with pytest.raises(DataError, match="record 0 of 'questions', character 7: not JSON"):
        list(JsonRecords(lambda: _KeptOpen(file), "some.json", "questions"))
    assert file.tell() < 4000


class _KeptOpen(io.BytesIO):
    def __init__(self, inner: io.BytesIO) -> None:
        super().__init__()
        self.inner = inner

    def read(self, size: int | None = -1, /) -> bytes:
        return self.inner.read(size)


def test_reads_a_large_file_in_little_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_records, "BLOCK", 1 << 16)
    record = {"question": "How many things are there?" * 4, "program": [{"function": "scene"}] * 12}
    text = json.dumps({"questions": [record] * 4_000}).encode()
    tracemalloc.start()
    count = sum(1 for _ in JsonRecords(lambda: io.BytesIO(text), "some.json", "questions"))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert count == 4_000
    assert peak < 8 * json_records.BLOCK < len(text)


def test_damage_inside_a_zip_is_named(tmp_path: Path) -> None:
    archive = tmp_path / "a.zip"
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("q.json", '{"questions": [{"a": 1}]}')
    damaged = bytearray(archive.read_bytes())
    damaged[damaged.index(b'"a": 1') + 5] = ord("2")
    archive.write_bytes(damaged)
    with (
        zipfile.ZipFile(archive) as file,
        pytest.raises(DataError, match=r"some\.json.*damaged inside the zip"),
    ):
        list(JsonRecords(lambda: file.open("q.json"), "some.json", "questions"))
