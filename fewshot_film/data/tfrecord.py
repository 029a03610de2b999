"""TensorFlow's record files and the one message that Meta-Dataset keeps in them, read without TensorFlow.

A record is its length (8 bytes, little end first), a checksum of those 8 bytes (4 bytes), the data, and a
checksum of the data (4 bytes). A checksum is the CRC-32C, rotated right by 15 bits, plus 0xa282ead8.

The data are a ``tf.train.Example`` in protobuf's wire format: field 1 holds ``Features``, whose field 1 is
repeated and holds one named ``Feature`` each, whose field 1, 2 or 3 is a list of bytes, floats or integers.

Source: https://www.tensorflow.org/tutorials/load_data/tfrecord, https://protobuf.dev/programming-guides/encoding
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path

import google_crc32c
import numpy as np

from fewshot_film.data.errors import SourceError
from fewshot_film.errors import InvalidValueError
from fewshot_film.images import ImageError

HEADER_SIZE = 12
FOOTER_SIZE = 4
_MASK_DELTA = 0xA282EAD8
_VARINT, _FIXED_64, _BYTES, _FIXED_32 = 0, 1, 2, 5
_FETCH_AGAIN = "fetch or convert the file again"


def masked_crc(data: bytes) -> int:
    """The checksum that record files keep: 32 bits."""
    crc: int = google_crc32c.value(data)
    return ((crc >> 15 | crc << 17) + _MASK_DELTA) & 0xFFFFFFFF


def index_records(path: Path) -> np.ndarray:
    """Find every record of a file, by its lengths alone.

    Returns:
        ``(N, 2)`` int64: where the data of each record begin, and how many bytes they are.

    Raises:
        SourceError: a length does not have its checksum, or the file ends inside a record.
    """
    size = path.stat().st_size
    found: list[tuple[int, int]] = []
    offset = 0
    with path.open("rb") as file:
        while offset < size:
            file.seek(offset)
            length = _length(path, offset, file.read(HEADER_SIZE), size)
            found.append((offset + HEADER_SIZE, length))
            offset += HEADER_SIZE + length + FOOTER_SIZE
    return np.array(found, np.int64).reshape(-1, 2)


def _length(path: Path, offset: int, header: bytes, size: int) -> int:
    if len(header) < HEADER_SIZE:
        raise SourceError(
            f"'{path}' ends {len(header)} bytes into the record at byte {offset}, before its length: {_FETCH_AGAIN}"
        )
    length, crc = struct.unpack("<QI", header)
    if masked_crc(header[:8]) != crc:
        what = "is no TFRecord file, or a compressed one" if offset == 0 else "is damaged"
        raise SourceError(
            f"'{path}' {what}: the length of the record at byte {offset} does not have its checksum; {_FETCH_AGAIN}"
        )
    missing = offset + HEADER_SIZE + length + FOOTER_SIZE - size
    if missing > 0:
        raise SourceError(
            f"'{path}' is cut short: the record at byte {offset} has {length} bytes of data, and {missing} bytes of it "
            f"are not there; {_FETCH_AGAIN}"
        )
    return int(length)


def read_record(path: Path, offset: int, length: int) -> bytes:
    """Read the data of one record that `index_records` found.

    Raises:
        ValueError: the file has become shorter, or the data do not have their checksum; says at which byte.
        OSError: the file cannot be read.
    """
    with path.open("rb") as file:
        file.seek(offset)
        data = file.read(length + FOOTER_SIZE)
    if len(data) < length + FOOTER_SIZE:
        raise InvalidValueError(f"the file ends inside the record at byte {offset - HEADER_SIZE}; {_FETCH_AGAIN}")
    if masked_crc(data[:length]) != int.from_bytes(data[length:], "little"):
        raise InvalidValueError(
            f"the record at byte {offset - HEADER_SIZE} does not have its checksum, so its data are damaged; "
            f"{_FETCH_AGAIN}"
        )
    return data[:length]


def bytes_feature(example: bytes, name: str) -> bytes:
    """The first value of a bytes feature of a serialised ``tf.train.Example``.

    Raises:
        ValueError: the bytes are not such a message, or it has no feature of that name that holds bytes.
    """
    names = []
    for features in _fields(example, 1):
        for entry in _fields(features, 1):
            key = b"".join(_fields(entry, 1)).decode("utf-8", "replace")
            names.append(key)
            if key != name:
                continue
            for feature in _fields(entry, 2):
                for values in _fields(feature, 1):
                    for value in _fields(values, 1):
                        return value
    raise InvalidValueError(f"the record has no bytes called '{name}', only {', '.join(names) or 'nothing'}")


def _fields(message: bytes, number: int) -> Iterator[bytes]:
    """Contents of every length-delimited field of that number in a message."""
    place = 0
    while place < len(message):
        key, place = _varint(message, place)
        kind = key & 7
        if kind == _VARINT:
            _, place = _varint(message, place)
            continue
        if kind == _BYTES:
            length, place = _varint(message, place)
        elif kind in (_FIXED_64, _FIXED_32):
            length = 8 if kind == _FIXED_64 else 4
        else:
            raise InvalidValueError(f"the record is no tf.train.Example (wire type {kind})")
        if place + length > len(message):
            raise InvalidValueError("the record is no tf.train.Example (a field is longer than its message)")
        if kind == _BYTES and key >> 3 == number:
            yield message[place : place + length]
        place += length


def _varint(message: bytes, place: int) -> tuple[int, int]:
    """One integer, 7 bits a byte, and the place behind it."""
    value = 0
    for shift in range(0, 70, 7):
        if place >= len(message):
            break
        byte = message[place]
        place += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, place
    raise InvalidValueError("the record is no tf.train.Example (an integer without end)")


def read_image(path: Path, offset: int, length: int, file: str) -> bytes:
    """The encoded image in one of Meta-Dataset's records.

    Raises:
        ImageError: the record is damaged or holds no image.
    """
    try:
        return bytes_feature(read_record(path, offset, length), "image")
    except (ValueError, OSError) as error:
        raise ImageError(file, f"cannot be read from '{path}': {error}") from error
