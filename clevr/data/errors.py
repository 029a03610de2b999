"""Errors of the data files: every one names the file and the record it is about."""

from __future__ import annotations

from fewshot_film.errors import UserError


class DataError(UserError, ValueError):
    """A data file whose content cannot be used.

    The text reads ``<file>, <record>: <what was wrong>``, so that the place can be opened and looked at.
    """

    def __init__(self, file: str, record: str, problem: str) -> None:
        super().__init__(f"{file}, {record}: {problem}" if record else f"{file}: {problem}")
        self.file = file
        self.record = record
        self.problem = problem

    def __reduce__(self) -> tuple[type[DataError], tuple[str, str, str]]:
        return DataError, (self.file, self.record, self.problem)


class DataNotFoundError(UserError, FileNotFoundError):
    """Data that is not where it was looked for; the text says which layouts were tried and how to get it."""
