"""How the speed scripts take times: in turns, so that what else the machine does disturbs all sides alike.

The first call of every piece of work does not count. The clocks are those of `time`: ``process_time`` and
``thread_time`` are the processor's, so that other work on the machine disturbs them little; ``perf_counter`` is the
clock's.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

Result = TypeVar("Result")
Clock = Callable[[], float]


@dataclass(frozen=True)
class Spent:
    """Seconds that a call took."""

    clock: float
    processor: float


def timed(work: Callable[[], Result]) -> tuple[Result, Spent]:
    """Call a function once; its result, and what it took."""
    clock, processor = time.perf_counter(), time.process_time()
    result = work()
    return result, Spent(time.perf_counter() - clock, time.process_time() - processor)


def in_turns(
    sides: Mapping[str, Callable[[], Any]],
    rounds: int,
    *,
    clock: Clock = time.process_time,
    budget: float = math.inf,
) -> dict[str, list[float]]:
    """Seconds of every side in every round; a round calls each of them once.

    Args:
        sides: by name.
        rounds: at most so many, at least one.
        clock: see above.
        budget: seconds after which no further round begins.
    """
    for work in sides.values():
        work()
    times: dict[str, list[float]] = {side: [] for side in sides}
    began = time.perf_counter()
    for _ in range(rounds):
        for side, work in sides.items():
            start = clock()
            work()
            times[side].append(clock() - start)
        if time.perf_counter() - began > budget:
            break
    return times


def rates(
    sides: Mapping[str, Callable[[int], Any]],
    rounds: int,
    seconds: float,
    *,
    clock: Clock = time.process_time,
    warm_up: int = 1,
) -> dict[str, list[float]]:
    """Calls per second of every side in every round.

    Args:
        sides: by name; called with a number that no earlier call of that side had.
        rounds: measurements of each side.
        seconds: least time of one measurement.
        clock: see above.
        warm_up: calls of each side that do not count.
    """
    for work in sides.values():
        for number in range(warm_up):
            work(number)
    found: dict[str, list[float]] = {side: [] for side in sides}
    next_number = dict.fromkeys(sides, warm_up)
    for _ in range(rounds):
        for side, work in sides.items():
            start, first = clock(), next_number[side]
            while (spent := clock() - start) < seconds:
                work(next_number[side])
                next_number[side] += 1
            found[side].append((next_number[side] - first) / spent)
    return found
