"""Ctrl-C ends every command that takes long: at once it says so, then it ends without a traceback."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from clevr.commands.generate import run as make_world
from clevr.config.commands import GenerateConfig
from tests.commands.test_commands import draw_classes
from tests.conftest import CHECKOUT
from tests.extras import needs_gradio

FOLDER = "--data.source folder --data.root labelled --data.split_seed 0"
MODEL = CHECKOUT / "fewshot_film" / "pretrained" / "general-small"
LINES = [
    ("fewshot_film", f"pretrain --out run --validation.way 2 {FOLDER}", "validation classes:"),
    ("fewshot_film", f"train --out run --validation.way 2 --loop.accumulate 1000 {FOLDER}", "validation classes:"),
    ("fewshot_film", f"evaluate {MODEL} {FOLDER} --ways [2] --shots [1] --episodes 100000", "test classes:"),
    ("fewshot_film", "compare --data labelled --splits 100000", ""),
    pytest.param("fewshot_film", "app --port 0", "the page is at", marks=needs_gradio),
    ("clevr", "objects --out objects --scenes 4000", ""),
    ("clevr", "train --out run --data.root world --data.train_split val --loop.accumulate 1000", ""),
]


@pytest.mark.slow
@pytest.mark.parametrize(("program", "line", "busy"), LINES)
def test_ctrl_c_ends_a_command(program: str, line: str, busy: str, tmp_path: Path):
    """Sent to the whole group, as a terminal does, once it is busy: has said the text, or runs for some seconds."""
    draw_classes(tmp_path / "labelled", 12, per_class=30)
    if "world" in line:
        make_world(GenerateConfig(out=tmp_path / "world", split="val", scenes=20, width=32, height=24, workers=1))
    process = subprocess.Popen(
        [sys.executable, "-m", program, *shlex.split(line)],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(CHECKOUT)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        start_new_session=True,
        # the tests themselves may run in the background, where a shell has Ctrl-C ignored
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    assert process.stderr is not None
    said = bytearray()
    is_busy = threading.Event()

    def listen() -> None:
        while part := os.read(process.stderr.fileno(), 4096):
            said.extend(part)
            if busy and busy.encode() in said:
                is_busy.set()

    listener = threading.Thread(target=listen)
    listener.start()
    assert is_busy.wait(120 if busy else 8) == bool(busy), said.decode()
    time.sleep(1.0)
    os.killpg(process.pid, signal.SIGINT)
    status = process.wait(30)  # about 3 s on an idle machine; the limit allows for a busy one
    listener.join()
    process.stderr.close()
    text = said.decode()
    # Python ends itself by the signal, which a shell calls 130 too, where it came while code was compiled
    assert status in (128 + signal.SIGINT, -signal.SIGINT), text
    assert "stopping" in text or "Shutting down" in text
    assert "Traceback" not in text
