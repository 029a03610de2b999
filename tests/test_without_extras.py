"""Every command does its main job without the packages that only extras bring."""

from __future__ import annotations

import json
import os
import runpy
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import setuptools

import clevr.cli
import fewshot_film.cli
from tests.conftest import CHECKOUT
from tests.main_jobs import JOBS

IMPORTED_AS = {"scikit-learn": "sklearn", "pillow-heif": "pillow_heif"}
NOT_OURS_TO_HIDE = {"docs", "dev"}
"""Extras of tools, which no command imports."""
PAGE_NEEDS = {"gradio", "huggingface_hub"}
"""What the page in the browser cannot do without: itself, and what it imports."""


def settings_of_setup() -> dict[str, Any]:
    """What ``setup.py`` says."""
    found: dict[str, Any] = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(setuptools, "setup", found.update)
        runpy.run_path(str(CHECKOUT / "setup.py"))
    return found


def package(requirement: str) -> str:
    name = requirement.partition("=")[0].rstrip("<>~! ").partition("[")[0]
    return IMPORTED_AS.get(name, name)


def optional_packages() -> list[str]:
    """Import names of all that an extra brings and the package itself does not need."""
    settings = settings_of_setup()
    needed = {package(requirement) for requirement in settings["install_requires"]}
    extras = {name: words for name, words in settings["extras_require"].items() if name not in NOT_OURS_TO_HIDE}
    found = {package(requirement) for words in extras.values() for requirement in words} - needed
    return sorted({*found, "learn2learn", "onnxruntime", "playwright"})


def run_without(folder: Path, hidden: list[str]) -> tuple[dict[str, int], str]:
    """Exit statuses of all jobs and what they said, with some packages hidden."""
    environment = {**os.environ, "PYTHONPATH": str(CHECKOUT), "OMP_NUM_THREADS": "1"}
    words = [sys.executable, "-m", "tests.main_jobs", str(folder), *hidden]
    done = subprocess.run(words, cwd=CHECKOUT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    statuses: dict[str, int] = json.loads(done.stdout.splitlines()[-1])
    return statuses, done.stderr


def check(hidden: list[str], statuses: dict[str, int], said: str) -> None:
    page, embed, share = (statuses.pop(f"fewshot-film {name}") for name in ("app", "embed", "share"))
    assert share == (2 if "onnx" in hidden or "ONNX Runtime Web" in said else 0), said
    assert ("export_onnx needs the extra `onnx` (" in said) == ("onnx" in hidden)
    assert embed == (2 if "pyarrow" in hidden else 0), said
    assert ("writing Parquet files needs the extra `bulk` (" in said) == ("pyarrow" in hidden)
    assert statuses == dict.fromkeys(statuses, 0), said
    if PAGE_NEEDS & set(hidden):
        assert page == 2
        assert "the browser app needs the extra `app` (" in said
    else:
        assert page == 0, said


def test_every_command_has_a_main_job_here():
    commands = {("fewshot-film", command.name) for command in fewshot_film.cli.COMMANDS}
    commands |= {("clevr-film", command.name) for command in clevr.cli.COMMANDS}
    assert set(JOBS) == commands


def test_without_any_of_them(tmp_path: Path):
    hidden = optional_packages()
    assert {"h5py", "sklearn", "gradio", "onnx", "onnxscript", "huggingface_hub", "learn2learn"} <= set(hidden)
    statuses, said = run_without(tmp_path, hidden)
    check(hidden, statuses, said)
    assert len([line for line in said.splitlines() if "left out embedding" in line]) == 1


@pytest.mark.slow
@pytest.mark.parametrize("name", optional_packages())
def test_without_one_of_them(tmp_path: Path, name: str):
    check([name], *run_without(tmp_path, [name]))
