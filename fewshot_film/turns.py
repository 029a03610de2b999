"""Long work in small steps, so that no visitor waits for all of another's."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Callable, Iterator
from typing import TypeVar

import anyio

T = TypeVar("T")
_END = object()


class StoppableTurn(asyncio.Lock):
    """Held while a visitor's work is done: the next one waits for its end. Each kind of work is a class of its own.

    Attributes:
        stops: how often the visitor has pressed *Stop*.
    """

    stops = 0


class Turns:
    """Does the steps of all visitors' long work in a few threads, in the order in which they were asked for.

    Threads that answer other requests stay free, and so does a processor core where there are several.

    Args:
        threads: steps that may be done at once; None: one less than there are cores.
        works: works that may be under way at once; the others wait to begin. None: any number.
    """

    def __init__(self, threads: int | None = None, works: int | None = None) -> None:
        self._works: contextlib.AbstractAsyncContextManager[None] = (
            contextlib.nullcontext() if works is None else asyncio.Semaphore(works)
        )
        self._limiter = anyio.CapacityLimiter(threads or max(1, (os.cpu_count() or 1) - 1))

    async def take(
        self, steps: Iterator[T], is_wanted: Callable[[], bool], turn: asyncio.Lock | None = None
    ) -> AsyncIterator[T]:
        """What an iterator yields, each step when its turn comes.

        Args:
            steps: the work; it is closed at the end.
            is_wanted: looked at before every step; once it is false, no more is done.
            turn: held meanwhile: the works of one visitor are done one after the other. It is held until what was
                yielded last has been dealt with.
        """
        async with turn or asyncio.Lock(), self._works:
            try:
                while is_wanted():
                    found = await self._step(steps)
                    if found is _END:
                        return
                    yield found  # type: ignore[misc]
            finally:
                if hasattr(steps, "close"):
                    steps.close()

    async def _step(self, steps: Iterator[T]) -> T | object:
        """The next of ``steps``; where the one who waits for it is cancelled, it is done before that is told."""
        step = asyncio.ensure_future(anyio.to_thread.run_sync(next, steps, _END, limiter=self._limiter))
        try:
            return await asyncio.shield(step)
        except asyncio.CancelledError:
            await asyncio.wait([step])  # an iterator cannot be closed while a thread is in it
            raise
