from __future__ import annotations

from collections.abc import Callable

import pytest

from benchmarks.timing import in_turns, rates


class Hands:
    """A clock that work moves on."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def hands() -> Hands:
    return Hands()


def that_takes(hands: Hands, seconds: float, log: list[str], name: str) -> Callable[..., None]:
    def work(*_: object) -> None:
        log.append(name)
        hands.now += seconds

    return work


def test_sides_take_turns_after_a_call_that_does_not_count(hands: Hands) -> None:
    log: list[str] = []
    sides = {name: that_takes(hands, seconds, log, name) for name, seconds in (("slow", 4.0), ("fast", 1.0))}
    assert in_turns(sides, 2, clock=hands) == {"slow": [4.0, 4.0], "fast": [1.0, 1.0]}
    assert log == ["slow", "fast"] * 3


def test_no_round_begins_after_the_budget_is_spent(hands: Hands) -> None:
    times = in_turns({"one": that_takes(hands, 1.0, [], "one")}, 100, clock=hands, budget=0.0)
    assert times == {"one": [1.0]}


def test_rates_are_calls_per_second_of_the_clock(hands: Hands) -> None:
    numbers: list[int] = []

    def work(number: int) -> None:
        numbers.append(number)
        hands.now += 0.25

    assert rates({"one": work}, 2, 1.0, clock=hands, warm_up=3) == {"one": [4.0, 4.0]}
    assert numbers == list(range(11))
