"""The errors that a person is meant to read: they end a command with a message and no traceback."""

from __future__ import annotations

import dis
import signal
from types import TracebackType


class UserError(Exception):
    """Something only the user can put right: says what was wrong, what was expected, what to do.

    Attributes:
        exit_status: what a command line ends with when this error reaches it.
    """

    exit_status: int = 2


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


OUR_PACKAGES = frozenset({"fewshot_film", "clevr", "benchmarks"})


def exit_status_of(error: BaseException, packages: frozenset[str] = OUR_PACKAGES) -> int | None:
    """Exit status of a command that ended with ``error``, or None if it is a fault that needs its traceback.

    A person can put right: every :class:`UserError`; every ``OSError`` (it names the file and what the
    machine said); and a ``ValueError`` or ``ImportError`` that a ``raise`` statement of ours threw. One that
    merely came out of a call, such as ``int("x")``, or out of somebody else's code, is a fault of ours.

    Args:
        error: what ended the command.
        packages: top-level names of our own packages.
    """
    if isinstance(error, UserError):
        return error.exit_status
    if isinstance(error, KeyboardInterrupt):
        return 128 + signal.SIGINT
    if isinstance(error, OSError):
        return UserError.exit_status
    if isinstance(error, ValueError | ImportError) and _raised_by(error.__traceback__, packages):
        return UserError.exit_status
    return None


def _raised_by(traceback: TracebackType | None, packages: frozenset[str]) -> bool:
    """Whether the innermost frame belongs to one of ``packages`` and stopped at a ``raise`` statement."""
    if traceback is None:
        return False
    while traceback.tb_next is not None:
        traceback = traceback.tb_next
    code = traceback.tb_frame.f_code
    opcode = dis.opname[code.co_code[traceback.tb_lasti]]
    package = str(traceback.tb_frame.f_globals.get("__name__", "")).partition(".")[0]
    return opcode == "RAISE_VARARGS" and package in packages
