"""Processes of their own that start in milliseconds: forked from one server that has loaded what all of them need."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TypeVar

from benchmarks.reliability.process import Line, Running, start  # sets what the server loads, which is set anew below

Result = TypeVar("Result")

CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(["benchmarks.reliability.preload", "tests.run.toy", "hypothesis", "pytest"])


def start_program(logs: Path, program: str, *words: str) -> Running:
    """Start ``fewshot-film`` or ``clevr-film``; what it says goes to a new file in ``logs``."""
    return start(Line(program, words), logs)


def result_of(function: Callable[..., Result], *arguments: object) -> Result:
    """What a function of a module returns in another process, which shares no state with this one."""
    receiver, sender = CONTEXT.Pipe(duplex=False)
    process = CONTEXT.Process(target=_send_result, args=(sender, function, arguments))
    process.start()
    sender.close()
    try:
        result: Result = receiver.recv()
    finally:
        process.join()
        receiver.close()
    assert process.exitcode == 0
    return result


def _send_result(sender: Connection, function: Callable[..., object], arguments: tuple[object, ...]) -> None:
    sender.send(function(*arguments))
