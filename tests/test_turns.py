"""Uploads are read in turns: others go on, and what is read can be stopped."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from fewshot_film.app.examples import PHOTOS
from fewshot_film.app.taught import TeachingError
from fewshot_film.app.teaching import Teaching
from fewshot_film.classifier import FewShotClassifier
from fewshot_film.page import Limits
from tests.app.loops import run
from tests.classifier.small import film_learner
from tests.commands.test_commands import draw_classes

anyio = pytest.importorskip("anyio")
from fewshot_film.turns import Turns  # noqa: E402


@pytest.fixture
def one(tmp_path: Path) -> Teaching:
    (tmp_path / "visitor").mkdir()
    return Teaching(FewShotClassifier(film_learner(), device="cpu"), tmp_path / "visitor", Limits())


@pytest.fixture
def drawn(tmp_path: Path) -> list[list[Path]]:
    root = draw_classes(tmp_path / "drawn", 2)
    return [sorted(folder.iterdir()) for folder in sorted(root.iterdir())]


class TestReading:
    def test_other_things_are_done_meanwhile(self, one: Teaching, drawn: list[list[Path]]):
        first, second = one.add_class("a"), one.add_class("b")
        one.add(second.number, drawn[1][:3])
        steps = one.adding(first.number, drawn[0][:4])
        assert [(step.done, step.total) for step in (next(steps), next(steps), next(steps))] == [(0, 4), (1, 4), (2, 4)]
        done: list[object] = []
        others = threading.Thread(  # another event of the same page: it must not wait for the last file
            target=lambda: done.append([one.rename(first.number, "x"), one.ask(drawn[0][6:7]), one.undo(), one.status])
        )
        others.start()
        others.join(60)
        assert done, "other events wait for the upload"
        assert [(step.done, step.troubles) for step in steps] == [(3, ()), (4, ())]
        assert one.groups[first.number].name == "x"
        assert len(one.groups[first.number].images) == 4
        assert all(image.thumbnail.is_file() for image in one.groups[first.number].images)

    def test_what_was_read_until_it_was_stopped_is_taken(self, one: Teaching, drawn: list[list[Path]]):
        group = one.add_class("a")
        steps = one.adding(group.number, drawn[0][:5])
        next(steps), next(steps), next(steps)
        one.stop_reading()
        assert [step.troubles for step in steps] == [("3 files, because the upload was stopped",)]
        assert [image.name for image in one.groups[group.number].images] == [path.name for path in drawn[0][:2]]
        assert one.add(group.number, drawn[0][5:7]) == [], "only what was being read is stopped"

    def test_files_that_are_gone_are_told_and_the_others_taken(self, one: Teaching, drawn: list[list[Path]]):
        group = one.add_class("a")
        troubles = one.add(group.number, [drawn[0][0], drawn[0][0].with_name("gone.png"), drawn[0][1]])
        assert troubles == ["gone.png could not be read (No such file or directory); drop it again"]
        assert len(one.groups[group.number].images) == 2

    def test_what_is_left_midway_is_forgotten(self, one: Teaching, drawn: list[list[Path]]):
        steps = one.asking(drawn[0][:3])
        next(steps), next(steps), next(steps)
        steps.close()
        assert one.queries == []
        one.add_class("a")
        assert list(one.folder.iterdir()) == []

    def test_a_class_or_a_model_that_is_gone_by_then(self, one: Teaching, drawn: list[list[Path]], tmp_path: Path):
        group = one.add_class("a")
        steps = one.adding(group.number, drawn[0][:2])
        next(steps)
        one.remove_class(group.number)
        with pytest.raises(TeachingError, match="no longer exists"):
            list(steps)
        other = Teaching(FewShotClassifier("efficientnet-lite0", device="cpu"), tmp_path, Limits())
        other.add_example(PHOTOS)
        saved = other.save()
        steps = one.asking(drawn[0][:2])
        next(steps)
        one.load(saved)
        with pytest.raises(TeachingError, match="was replaced while images were read"):
            list(steps)


class TestTurns:
    def test_visitors_take_turns(self):
        order: list[str] = []

        def work(name: str, count: int) -> Iterator[int]:
            for step in range(count):
                order.append(name)
                yield step

        async def both() -> None:
            turns = Turns(1)
            first, second = asyncio.Lock(), asyncio.Lock()
            works = [("long", 40, first), ("later", 5, first), ("short", 3, second)]
            await asyncio.gather(*(_drain(turns, work(name, count), turn=turn) for name, count, turn in works))

        run(both())
        assert order.index("short") < 5, "the short one begins with the long one"
        assert max(place for place, name in enumerate(order) if name == "short") < 12, "and ends long before it"
        assert order.index("later") > 40, "one visitor's own come one after the other"

    def test_no_more_steps_run_at_once_than_there_are_threads(self):
        running, most = [0], [0]

        def work() -> Iterator[None]:
            for _ in range(3):
                running[0] += 1
                most[0] = max(most[0], running[0])
                time.sleep(0.02)
                running[0] -= 1
                yield

        async def many() -> None:
            turns = Turns(2)
            await asyncio.gather(*(_drain(turns, work()) for _ in range(8)))

        run(many())
        assert most[0] == 2

    def test_works_over_the_limit_wait_to_begin(self):
        begun: list[int] = []
        most = [0]

        def work(number: int) -> Iterator[None]:
            begun.append(number)
            most[0] = max(most[0], len(begun))
            for _ in range(3):
                yield
            begun.remove(number)

        async def many() -> None:
            turns = Turns(1, works=2)
            await asyncio.gather(*(_drain(turns, work(number)) for number in range(6)))

        run(many())
        assert most[0] == 2

    def test_a_visitors_next_work_begins_when_the_last_result_is_dealt_with(self):
        happened: list[str] = []

        def work(name: str) -> Iterator[str]:
            happened.append(f"{name} begins")
            yield name

        async def shown(turns: Turns, name: str, turn: asyncio.Lock) -> None:
            async for found in turns.take(work(name), lambda: True, turn):
                await asyncio.sleep(0.05)  # it is on its way to the page
                happened.append(f"{found} is shown")

        async def both() -> None:
            turns, turn = Turns(2), asyncio.Lock()
            await asyncio.gather(shown(turns, "first", turn), shown(turns, "second", turn))

        run(both())
        assert happened == ["first begins", "first is shown", "second begins", "second is shown"]

    def test_what_is_not_wanted_any_more_is_closed(self):
        closed: list[bool] = []

        def work() -> Iterator[int]:
            try:
                yield from range(1000)
            finally:
                closed.append(True)

        found: list[int] = []
        run(_drain(Turns(1), work(), found, is_wanted=lambda: len(found) < 3))
        assert found == [0, 1, 2]
        assert closed == [True]

    def test_who_is_cancelled_in_a_step_waits_for_its_end(self):
        begun, closed = threading.Event(), []

        def work() -> Iterator[int]:
            try:
                begun.set()
                time.sleep(0.2)
                yield 1
            finally:
                closed.append(True)

        async def leave() -> None:
            task = asyncio.create_task(_drain(Turns(1), work()))
            await asyncio.to_thread(begun.wait, 60)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert closed == [True]

        run(leave())

    def test_errors_come_through(self):
        def work() -> Iterator[int]:
            yield 1
            raise TeachingError("no")

        with pytest.raises(TeachingError):
            run(_drain(Turns(1), work()))


async def _drain(
    turns: Turns,
    steps: Iterator[object],
    found: list[object] | None = None,
    is_wanted: Callable[[], bool] = lambda: True,
    turn: asyncio.Lock | None = None,
) -> None:
    async for step in turns.take(steps, is_wanted, turn):
        if found is not None:
            found.append(step)
