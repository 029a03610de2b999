"""Every command without the packages that only extras bring: it does its main job, or says which extra it needs.

An attempt counts as *refused* where the command ended with status 2 and a message that names the extra, and as *done*
where it did what it should.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks.reliability.inputs import CASES, FOLDER, LOOP, Case, Places
from benchmarks.reliability.process import PATIENCE_SECONDS, Line, Outcome
from benchmarks.reliability.resource_limits import Count

PACKAGES: dict[str, tuple[str, ...]] = {
    "analysis": ("sklearn",),
    "app": ("gradio",),
    "bulk": ("pyarrow", "webdataset"),
    "datasets": ("datasets",),
    "hdf5": ("h5py",),
    "heic": ("pillow_heif",),
    "hub": ("huggingface_hub",),
    "learn2learn": ("learn2learn",),
    "onnx": ("onnx", "onnxruntime", "onnxscript"),
    "ray": ("ray",),
    "timm": ("timm",),
}
"""What is imported of each extra, and of nothing else."""
NEEDS: dict[str, str] = {
    "app": "fewshot-film app --port 0",
    "bulk": "fewshot-film embed --model {few_model} --query {queries} --out {out} --workers 1",
    "hub": "fewshot-film classify --model somebody/something --support {images} --query {queries} --out {out}",
    "learn2learn": f"fewshot-film train --out {{out}} {FOLDER} {LOOP} --learner.method maml --loop.steps 1",
    "timm": "fewshot-film classify --model timm/resnet18 --support {images} --query {queries} --out {out}",
}
"""A command that needs an extra, which it has to name."""
_HIDDEN = (
    "import sys; sys.modules.update(dict.fromkeys(sys.argv[1].split(','))); "
    "from fewshot_film.run.command import main; import importlib; "
    "commands = importlib.import_module(sys.argv[2] + '.cli').COMMANDS; "
    "sys.exit(main(sys.argv[3], commands, sys.argv[4:]))"
)
"""Runs a command; what is hidden cannot be imported, as where it is not installed."""


def absent(
    places: Places, work: Path, *, cases: Sequence[Case] = CASES, say: Callable[[str], None] = print
) -> dict[str, Any]:
    """Hide all extras at once from every command, and each from one that needs it.

    Args:
        places: inputs.
        work: folder for what the commands write.
        cases: the commands.
        say: gets a line of progress.
    """
    work.mkdir(parents=True, exist_ok=True)
    everything = tuple(name for names in PACKAGES.values() for name in names)
    count = Count()
    for one in cases:
        out = work / "out"
        shutil.rmtree(out, ignore_errors=True)
        one.prepare(places, out)
        count.add(run_without(one.line(places, out), everything, work), may="either")
    found = {"none of them, every command": asdict(count)}
    for extra, text in NEEDS.items():
        found[f"not `{extra}`, a command that needs it"] = asdict(_needing(extra, text, places, work))
    for title, row in found.items():
        say(f"{title}: {row['tried']} tried, {row['done']} done, {row['refused']} refused, {len(row['faults'])} faults")
    shutil.rmtree(work, ignore_errors=True)
    return found


def _needing(extra: str, text: str, places: Places, work: Path) -> Count:
    program, *words = shlex.split(text)
    line = Line(program, tuple(word.format(**places, out=work / "out") for word in words))
    shutil.rmtree(work / "out", ignore_errors=True)
    count, outcome = Count(), run_without(line, PACKAGES[extra], work)
    names_it = f"fewshot-film[{extra}]" in outcome.output
    count.add(outcome, may="refused", more=[] if names_it else [f"the message does not name the extra {extra}"])
    return count


def run_without(line: Line, hidden: Sequence[str], logs: Path) -> Outcome:
    """Run a command to its end, while some packages cannot be imported."""
    module = {"fewshot-film": "fewshot_film", "clevr-film": "clevr"}[line.program]
    command = [sys.executable, "-c", _HIDDEN, ",".join(hidden), module, line.program, *line.words]
    log, began = logs / "absent.log", time.monotonic()
    with log.open("wb") as target:
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        try:
            status: int | None = subprocess.run(
                command, stdout=target, stderr=target, env=environment, timeout=PATIENCE_SECONDS, check=False
            ).returncode
        except subprocess.TimeoutExpired:
            status = None
    return Outcome(line, status, log.read_text(encoding="utf-8", errors="replace"), time.monotonic() - began)
