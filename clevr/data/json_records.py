"""Read the records of a JSON file one by one, in little memory.

CLEVR's training questions are one JSON object of 700 MB, ten times that as Python objects. Here the records
of the wanted list are decoded and handed out in turn, so a file of any size takes some megabytes.
"""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Callable, Iterator
from typing import IO, Any

from clevr.data.errors import DataError
from clevr.data.storage import DAMAGED_ZIP

BLOCK = 1 << 20
LONGEST_RECORD = 1 << 24
"""Characters after which a value that still does not decode counts as malformed, not as unfinished."""

_WHITE_SPACE = re.compile(r"[ \t\n\r]*")
_MORE_OF_A_NUMBER = ("", *".eE+-0123456789")
_decode = json.JSONDecoder().raw_decode


class JsonRecords:
    """The records of ``{"info": {...}, key: [record, ...]}`` or of a bare ``[record, ...]``, in their order.

    Args:
        opener: opens the file for reading bytes; called by each iteration, which also closes it.
        file: how messages name the file.
        key: the list that is wanted, ``"questions"`` or ``"scenes"``.
    Raises:
        DataError: while iterating: the file is empty, cut short, not JSON, not UTF-8, or has no such list;
            with the record and the position in characters.
    """

    def __init__(self, opener: Callable[[], IO[bytes]], file: str, key: str) -> None:
        self.file = file
        self.key = key
        self.others: dict[str, Any] = {}
        """Every other entry of the outer object that was met so far: the info block under ``"info"``."""
        self._opener = opener

    def __iter__(self) -> Iterator[dict[str, Any]]:
        with self._opener() as stream:
            scanner = _Scanner(stream, self.file)
            opening = scanner.peek()
            if opening == "[":
                yield from self._array(scanner)
            elif opening == "{":
                yield from self._object(scanner)
            else:
                raise scanner.unexpected(f"a JSON object with the list {self.key!r}")
            if scanner.peek(may_end=True):
                raise scanner.unexpected("nothing after the end of the JSON")

    def _object(self, scanner: _Scanner) -> Iterator[dict[str, Any]]:
        found = False
        for _ in scanner.items("}"):
            if scanner.peek() != '"':
                raise scanner.unexpected("a name in quotes")
            name = scanner.value()
            scanner.step_over(":")
            if name != self.key:
                self.others[name] = scanner.value()
            elif scanner.peek() != "[":
                raise scanner.unexpected(f"{self.key!r} to be a list")
            else:
                found = True
                yield from self._array(scanner)
        if not found:
            others = ", ".join(sorted(self.others)) or "nothing"
            raise DataError(self.file, "", f"expected a list {self.key!r}, found {others}")

    def _array(self, scanner: _Scanner) -> Iterator[dict[str, Any]]:
        for index in scanner.items("]"):
            scanner.record = f"record {index} of {self.key!r}"
            value = scanner.value()
            if not isinstance(value, dict):
                text = json.dumps(value)[:60]
                raise DataError(self.file, scanner.record, f"expected an object, got {text}")
            yield value
        scanner.record = ""


class _Scanner:
    """Text of a file, read in blocks as far as it is needed."""

    def __init__(self, stream: IO[bytes], file: str) -> None:
        self.file = file
        self.record = ""
        """What is being read, for messages."""
        self._stream = stream
        self._decoder = codecs.getincrementaldecoder("utf-8-sig")()
        self._text = ""
        self._at = 0
        self._dropped = 0
        self._ended = False

    def peek(self, *, may_end: bool = False) -> str:
        """The next character that is no white space, without stepping over it; "" at the end if it may be."""
        while True:
            match = _WHITE_SPACE.match(self._text, self._at)
            self._at = match.end() if match else self._at
            if self._at < len(self._text):
                return self._text[self._at]
            if self._ended:
                if may_end:
                    return ""
                raise self._cut_short() if self._dropped + self._at else self._error("the file is empty")
            self._read(BLOCK)

    def step_over(self, *allowed: str) -> str:
        """Take one of the allowed characters and return it."""
        character = self.peek()
        if character not in allowed:
            raise self.unexpected(" or ".join(repr(one) for one in allowed))
        self._at += 1
        return character

    def items(self, closing: str) -> Iterator[int]:
        """Step over the brackets and commas of a list or an object; the caller takes each item."""
        self._at += 1
        if self.peek() == closing:
            self._at += 1
            return
        index = 0
        yield index
        while self.step_over(",", closing) == ",":
            index += 1
            yield index

    def value(self) -> Any:
        """Decode one value; read on while it may only be unfinished."""
        self.peek()
        while True:
            try:
                value, end = _decode(self._text, self._at)
            except RecursionError:
                raise self._error("nested too deeply to be a CLEVR record") from None
            except ValueError as error:  # malformed, or cut off by the end of what was read so far
                if self._has_enough():
                    raise self._malformed(error) from None
            else:
                # "1" and "1." may be what was read so far of 1.5.
                if self._text[end : end + 1] not in _MORE_OF_A_NUMBER or self._has_enough():
                    self._at = end
                    return value
            self._read(max(BLOCK, len(self._text) - self._at))

    def unexpected(self, expected: str) -> DataError:
        """An error that says what was expected here, and what is here."""
        return self._error(f"expected {expected}, got {self._text[self._at : self._at + 20]!r}")

    def _has_enough(self) -> bool:
        """Whether reading on would not change what stands here."""
        return self._ended or len(self._text) - self._at > LONGEST_RECORD

    def _read(self, size: int) -> None:
        try:
            block = self._stream.read(size)
            more = self._decoder.decode(block, final=not block)
        except UnicodeDecodeError as error:
            raise self._error(f"not UTF-8 text ({error.reason}); get or write the file again") from None
        except DAMAGED_ZIP as error:
            raise self._error(f"damaged inside the zip ({error}); get it again") from None
        self._dropped += self._at
        self._text = self._text[self._at :] + more
        self._at = 0
        self._ended = not block

    def _malformed(self, error: ValueError) -> DataError:
        where = getattr(error, "pos", self._at)
        # A whole file ends with a bracket; one that was cut mostly does not, or is cut where a value is due.
        if self._ended and (where >= len(self._text) or self._text.rstrip()[-1:] not in ("}", "]")):
            return self._cut_short()
        self._at = where
        return self._error(f"not JSON ({getattr(error, 'msg', error)}) at {self._text[where : where + 20]!r}")

    def _cut_short(self) -> DataError:
        self._at = len(self._text)
        return self._error("the file is cut short; get or write it again")

    def _error(self, problem: str) -> DataError:
        character = f"character {self._dropped + self._at}"
        return DataError(self.file, f"{self.record}, {character}" if self.record else character, problem)
