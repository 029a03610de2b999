"""The learn2learn extra: one command, the same everywhere, and an error that gives it."""

from __future__ import annotations

import subprocess
import sys

import pytest

from fewshot_film import extras
from fewshot_film.config.learners import MAMLConfig
from fewshot_film.errors import exit_status_of
from fewshot_film.learners import build_learner
from tests.conftest import CHECKOUT
from tests.extras import needs_learn2learn
from tests.learners.small import SMALL


@pytest.mark.parametrize("name", ["docs/learn2learn.md"])
def test_the_command_is_written_down(name):
    assert extras.LEARN2LEARN_COMMAND in (CHECKOUT / name).read_text(encoding="utf-8")


def test_make_runs_the_same_command():
    makefile = " ".join((CHECKOUT / "Makefile").read_text(encoding="utf-8").replace("\\\n", " ").split())
    build = "--no-deps --use-pep517 --config-settings=--build-option=build_ext learn2learn==0.2.0"
    for words in ("CYTHON_FORCE_REGEN=1", build):
        assert words in extras.LEARN2LEARN_COMMAND
        assert words in makefile
    assert "make learn2learn" in (CHECKOUT / ".ci" / "run").read_text(encoding="utf-8")


def test_without_it_the_error_gives_the_command(monkeypatch):
    monkeypatch.setitem(sys.modules, "learn2learn", None)
    message = r"run `make learn2learn`; elsewhere, .* learn2learn==0\.2\.0"
    with pytest.raises(extras.MissingExtraError, match=message) as found:
        build_learner(MAMLConfig(backbone=SMALL.backbone))
    assert exit_status_of(found.value) == 2


@needs_learn2learn
@pytest.mark.slow
def test_import_is_silent_and_only_when_asked_for():
    code = (
        "import sys, fewshot_film.learners, fewshot_film.episodes, fewshot_film.cli; "
        "assert 'learn2learn' not in sys.modules; "
        "from fewshot_film.extras import learn2learn; assert learn2learn().algorithms.MAML"
    )
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
