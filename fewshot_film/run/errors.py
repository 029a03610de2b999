"""User-fixable errors: they end a command with a message and without a traceback."""

from __future__ import annotations

import signal

from fewshot_film.errors import UserError as UserError


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
