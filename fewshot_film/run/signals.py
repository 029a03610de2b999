"""Ctrl-C and SIGTERM as a wish that the loop can look at between two steps."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import Any, Self

_WATCHED = (signal.SIGINT, signal.SIGTERM)


class StopRequest:
    """Within the ``with`` block, remembers the first Ctrl-C or SIGTERM instead of ending the process.

    The second one acts as if nobody watched, so that an impatient person is obeyed. Outside the main
    thread, where Python allows no signal handlers, nothing is watched.

    Attributes:
        signal_number: the signal that came, or None.
    """

    def __init__(self) -> None:
        self.signal_number: int | None = None
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._remember) for number in _WATCHED}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._restore()

    def _remember(self, number: int, frame: FrameType | None) -> None:
        self.signal_number = number
        self._restore()

    def _restore(self) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before = {}


@contextmanager
def announcing_stop(name: str) -> Iterator[None]:
    """Within the block, the first Ctrl-C is answered at once, by one line on stderr, before it ends what runs.

    Leaves everything as it is outside the main thread, and where somebody else handles the signal.

    Args:
        name: begins the line.
    """
    before = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or before is not signal.default_int_handler:
        yield
        return

    def answer(number: int, frame: FrameType | None) -> None:
        signal.signal(signal.SIGINT, before)
        os.write(sys.__stderr__.fileno() if sys.__stderr__ else 2, f"\n{name}: stopping\n".encode())
        raise KeyboardInterrupt

    signal.signal(signal.SIGINT, answer)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
