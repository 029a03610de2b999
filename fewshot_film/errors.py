"""User-fixable errors: they end a command with a message and without a traceback; and the wording of messages.

Below all other modules: imports nothing but Python's own.
"""

from __future__ import annotations

import difflib
import signal
from collections.abc import Iterable, Mapping


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


class ConfigError(UserError, ValueError):
    """A setting that does not exist, has the wrong type, or a value out of range."""


class RunFolderError(UserError):
    """A run folder that cannot be used: it holds another run, or another process is writing to it."""


class CheckpointError(UserError):
    """A checkpoint that is damaged, of another configuration, or not a checkpoint at all."""


class SavedModelError(UserError):
    """A saved model folder with a part missing, damaged, or of another network."""


class NonFiniteLossError(UserError):
    """The loss or its gradient is NaN or infinite; the weights were not updated with it."""


class ProcessLostError(UserError):
    """A loader worker or another process of a distributed run ended in the middle."""


class Interrupted(UserError):  # noqa: N818 - an end that was asked for, not a failure
    """The run was asked to stop (Ctrl-C or SIGTERM) and wrote its checkpoint first."""

    def __init__(self, message: str, signal_number: int) -> None:
        super().__init__(message)
        self.exit_status = 128 + signal_number


def exit_status_of(error: BaseException) -> int | None:
    """Exit status of a command that ended with ``error``, or None if it is a fault that needs its traceback.

    User-fixable are every :class:`UserError` and every ``OSError``, which names the file and what the machine said.
    A plain ``ValueError`` or ``ImportError`` is a fault of the program's.

    Args:
        error: what ended the command.
    """
    if isinstance(error, UserError):
        return error.exit_status
    if isinstance(error, KeyboardInterrupt):
        return 128 + signal.SIGINT
    return UserError.exit_status if isinstance(error, OSError) else None


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


def listed(items: Iterable[object], most: int = 5) -> str:
    """Items as ``a, b and 3 more``; ``none`` where there are none.

    Args:
        items: shown by their text.
        most: how many are shown.
    """
    texts = [str(item) for item in items]
    left = len(texts) - most
    return (", ".join(texts[:most]) or "none") + (f" and {left} more" if left > 0 else "")


def differing(there: Mapping[str, object], here: Mapping[str, object]) -> str:
    """What differs between settings that were noted and those of now: ``seed is 1 there and 0 here; ...``."""
    names = (name for name in dict.fromkeys((*there, *here)) if there.get(name) != here.get(name))
    return "; ".join(f"{name} is {there.get(name)!r} there and {here.get(name)!r} here" for name in names)


def counted(number: int, noun: str) -> str:
    """A number with its noun, as in ``1 class`` and ``1,024 images``.

    Args:
        number: how many.
        noun: the singular, of a regular plural.
    """
    return f"{number:,} {noun}{'' if number == 1 else 'es' if noun.endswith('s') else 's'}"
