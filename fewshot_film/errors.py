"""What every error that a user can cause derives from. Below all other modules: imports nothing but Python's own."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class UserError(Exception):
    """A user-fixable error: the message says what was wrong, what was expected, what to do.

    A command line that ends with one prints its message, without a traceback.

    Attributes:
        exit_status: what a command line ends with when this error reaches it.
    """

    exit_status: int = 2


class InvalidValueError(UserError, ValueError):
    """A value that cannot be used: out of range, of the wrong form, or at odds with another."""


class MissingFileError(UserError, FileNotFoundError):
    """A file or folder that is not where it was looked for."""


def shown(value: object, limit: int = 80) -> str:
    """A user's object as a message can hold it: its ``repr`` on one line, cut after ``limit`` characters.

    Args:
        value: anything; one whose ``repr`` fails is shown by its type.
        limit: the most characters of the text, the mark of the cut among them.
    """
    try:
        text = " ".join(repr(value).split())
    except Exception:  # a user's class may fail in any way, and must not hide the error that names it
        text = f"<{type(value).__name__}>"
    return text if len(text) <= limit else f"{text[: limit - 1]}…"


def suggestion(word: str, known: Iterable[str]) -> str:
    """`` (did you mean 'x'?)`` for the nearest of the known words, or nothing."""
    known = list(known)
    near = difflib.get_close_matches(word, known, n=1, cutoff=0.6)
    ends = difflib.get_close_matches(_last(word), sorted({_last(key) for key in known}), n=1, cutoff=0.7)
    near += [key for end in ends for key in known if _last(key) == end and key not in near]
    return f" (did you mean {' or '.join(repr(key) for key in near[:3])}?)" if near else ""


def _last(key: str) -> str:
    return key.rpartition(".")[2]


def counted(number: int, noun: str) -> str:
    """A number with its noun, as in ``1 class`` and ``1,024 images``.

    Args:
        number: how many.
        noun: the singular, of a regular plural.
    """
    return f"{number:,} {noun}{'' if number == 1 else 'es' if noun.endswith('s') else 's'}"
