"""A path or a name that leads nowhere is told before torch starts, which takes longer than all the rest."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import CHECKOUT

FOLDER = "--data.source folder --data.root"
MISTAKES = {
    "fewshot-film": {
        "pretrain --out x --data.source omniglot --data.root nowhere": "omniglot: no data at 'nowhere'. Looked for a ",
        "train --out x --data.source cub --data.root nowhere": "cub: no data at 'nowhere'. Looked for folders 001.",
        "train --out x --data.source tree": "no source is named 'tree'; there are folder",
        "train --out x --data.source folder": "folder: root is missing",
        "train --out x --data.source torchvision:DTD --data.root nowhere": "no such data set at 'nowhere'",
        "train --out x --config sources.yaml": "omniglot: no data at 'nowhere'",
        f"train --out x {FOLDER} . --data.split_file nowhere.json": "no split file at 'nowhere.json'",
        f"evaluate . {FOLDER} nowhere": "nowhere: no data at 'nowhere'",
        "evaluate runs/nowhere/model": "model: there is no 'runs/nowhere/model'",
        f"calibrate . {FOLDER} nowhere": "nowhere: no data at 'nowhere'",
        "classify --support nowhere --query .": "support: there is no 'nowhere'",
        "classify --support . --query nowhere": "query: there is no 'nowhere'",
        "compare --data nowhere": "data: there is no 'nowhere'",
        "app --folder nowhere": "folder: there is no 'nowhere'",
        "report nowhere": "run: there is no 'nowhere'",
        "report . --root nowhere": "root: there is no 'nowhere'",
    },
    "clevr-film": {
        "train --out x --data.root nowhere": "nowhere does not exist; expected a folder in CLEVR's layout",
        "train --out x --data.root . --data.val_split valid": "no split 'train' in .; splits there: none. Looked for",
        "train --out x --weights nowhere": "no model nowhere; expected a folder that `clevr-film train` wrote",
        "evaluate nowhere .": "no model nowhere; expected a folder",
        "evaluate . nowhere": "nowhere does not exist; expected a folder in CLEVR's layout",
        "evaluate . . --split test": "no split 'test' in .; splits there: none",
        "inspect nowhere": "data: there is no 'nowhere'",
        "export nowhere --out x": "run: there is no 'nowhere'",
        "import nowhere --out x": "checkpoint: there is no 'nowhere'",
    },
}
"""Command lines in a folder with nothing but ``sources.yaml``, and what their messages begin with or hold."""

RUN = """
import contextlib, importlib, io, json, shlex, sys
sys.modules["torch"] = None  # an import of it fails
program, lines = sys.argv[1], json.loads(sys.argv[2])
from fewshot_film.run.command import main
commands = importlib.import_module({"fewshot-film": "fewshot_film.cli", "clevr-film": "clevr.cli"}[program]).COMMANDS
said = {}
for line in lines:
    with contextlib.redirect_stderr(io.StringIO()) as stream:
        status = main(program, commands, shlex.split(line))
    said[line] = [status, stream.getvalue()]
print(json.dumps(said))
"""


@pytest.mark.parametrize("program", MISTAKES)
def test_what_is_not_there_is_told_before_torch_starts(program: str, tmp_path: Path):
    sources = "data: {sources: [glyphs, {source: omniglot, root: nowhere}]}\n"
    (tmp_path / "sources.yaml").write_text(sources, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-c", RUN, program, json.dumps(list(MISTAKES[program]))],
        cwd=tmp_path,
        env={"PYTHONPATH": str(CHECKOUT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    for line, message in MISTAKES[program].items():
        status, text = said[line]
        assert status == 2, text
        assert message in text, line
