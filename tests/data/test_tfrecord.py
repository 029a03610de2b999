from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tensorboard.compat.tensorflow_stub.pywrap_tensorflow import masked_crc32c
from tensorboard.summary.writer.record_writer import RecordWriter

from fewshot_film.data.errors import SourceError
from fewshot_film.data.tfrecord import bytes_feature, index_records, masked_crc, read_image, read_record
from fewshot_film.images import ImageError
from tests.reference import tfrecord as oracle


@pytest.mark.parametrize(("data", "crc"), [
    (bytes(32), 0x8A9136AA), (b"\xff" * 32, 0x62A8AB43), (bytes(range(32)), 0x46DD794E), (b"123456789", 0xE3069283),
])  # fmt: skip
def test_vectors_of_rfc_3720(data: bytes, crc: int) -> None:
    assert oracle.crc32c(data) == crc
    assert masked_crc(data) == int.from_bytes(oracle.checksum(data), "little")


@given(st.binary(max_size=200))
def test_checksum_equals_the_oracle_and_tensorboards(data: bytes) -> None:
    assert masked_crc(data) == int.from_bytes(oracle.checksum(data), "little") == masked_crc32c(data)


def test_a_file_that_tensorboard_wrote(tmp_path: Path) -> None:
    path = tmp_path / "x.tfrecords"
    with path.open("wb") as file:
        writer = RecordWriter(file)
        for data in (b"first", b"", b"third"):
            writer.write(data)
        writer.flush()
    assert path.read_bytes() == b"".join(map(oracle.record, (b"first", b"", b"third")))
    assert index_records(path).tolist() == [[12, 5], [33, 0], [49, 5]]
    assert [read_record(path, *row) for row in index_records(path).tolist()] == [b"first", b"", b"third"]


def test_an_empty_file_has_no_records(tmp_path: Path) -> None:
    (tmp_path / "x").touch()
    assert index_records(tmp_path / "x").shape == (0, 2)


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("label_first", [True, False])
def test_a_feature_of_an_example(packed: bool, label_first: bool) -> None:
    message = oracle.example(b"\xff\xd8" * 200, 1000, packed=packed, label_first=label_first)
    assert bytes_feature(message, "image") == b"\xff\xd8" * 200
    with pytest.raises(ValueError, match=r"no bytes called 'picture', only (image, label|label, image)"):
        bytes_feature(message, "picture")
    with pytest.raises(ValueError, match="no bytes called 'label'"):
        bytes_feature(message, "label")


def test_fields_that_are_not_asked_for_are_passed_over() -> None:
    strange = b"\x48\x96\x01" + b"\x51" + bytes(8) + b"\x5d" + bytes(4)  # a varint, 8 fixed bytes, 4 fixed bytes
    assert bytes_feature(strange + oracle.example(b"x", 1), "image") == b"x"


@given(st.binary(max_size=60), st.integers(0, 40))
def test_any_damage_is_an_error_that_says_so(damage: bytes, place: int) -> None:
    message = bytearray(oracle.example(b"picture", 7))
    message[place : place + len(damage)] = damage
    try:
        bytes_feature(bytes(message), "image")
    except ValueError as error:
        assert str(error).startswith("the record ")  # noqa: PT017


@pytest.mark.parametrize(("message", "problem"), [
    (b"\x0b", "wire type 3"),
    (b"\x0a\x05ab", "a field is longer than its message"),
    (b"\xff" * 11, "an integer without end"),
    (b"\x08", "an integer without end"),
])  # fmt: skip
def test_no_example(message: bytes, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        bytes_feature(message, "image")


def three_records(tmp_path: Path) -> Path:
    (tmp_path / "5.tfrecords").write_bytes(b"".join(oracle.record(oracle.example(b"p" * 30, n)) for n in range(3)))
    return tmp_path / "5.tfrecords"


@pytest.mark.parametrize(("kept", "message"), [
    (-1, r"5.tfrecords' is cut short: the record at byte \d+ has \d+ bytes of data, and 1 bytes of it are not there"),
    (150, "is cut short: the record at byte 79 has 63 bytes of data, and 8 bytes of it are not there"),
    (163, "5.tfrecords' ends 5 bytes into the record at byte 158, before its length"),
    (5, r"ends 5 bytes into the record at byte 0, before its length: fetch or convert the file again"),
])  # fmt: skip
def test_a_file_that_is_cut_short(tmp_path: Path, kept: int, message: str) -> None:
    path = three_records(tmp_path)
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(SourceError, match=message):
        index_records(path)


def test_a_damaged_length(tmp_path: Path) -> None:
    path = three_records(tmp_path)
    second = int(index_records(path)[1, 0]) - 12
    data = bytearray(path.read_bytes())
    data[second] ^= 1
    path.write_bytes(data)
    with pytest.raises(SourceError, match=rf"is damaged: the length of the record at byte {second} does not have"):
        index_records(path)


def test_a_compressed_file_or_another_one(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"\x1f\x8b\x08\x00 something else")
    with pytest.raises(SourceError, match=r"'.*x' is no TFRecord file, or a compressed one"):
        index_records(tmp_path / "x")


def test_every_flipped_bit_of_the_data_is_found(tmp_path: Path) -> None:
    path = three_records(tmp_path)
    offset, length = index_records(path)[1].tolist()
    whole = path.read_bytes()
    for place in range(offset, offset + length + 4):
        damaged = bytearray(whole)
        damaged[place] ^= 0x10
        path.write_bytes(damaged)
        message = rf"5.tfrecords#1: cannot be read from '.*': the record at byte {offset - 12} does not have its"
        with pytest.raises(ImageError, match=message):
            read_image(path, offset, length, "5.tfrecords#1")


def test_a_file_that_shrank_since_it_was_indexed(tmp_path: Path) -> None:
    path = three_records(tmp_path)
    offset, length = index_records(path)[2].tolist()
    path.write_bytes(path.read_bytes()[:-3])
    with pytest.raises(ImageError, match=f"the file ends inside the record at byte {offset - 12}"):
        read_image(path, offset, length, "x")
    path.unlink()
    with pytest.raises(ImageError, match="No such file"):
        read_image(path, offset, length, "x")
