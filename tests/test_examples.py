"""Every script of ``examples/`` runs, and shows what it promises."""

from __future__ import annotations

import ast
import re
import runpy
import sys
from pathlib import Path

import pytest
import torch

from fewshot_film.learners import save_learner
from tests.clevr.models import a_saved_model
from tests.conftest import CHECKOUT
from tests.learners.small import small_learner

sys.path.insert(0, str(CHECKOUT / "docs"))  # the hook that makes notebooks

SCRIPTS = sorted((CHECKOUT / "examples").glob("*.py"))
SHOWS = {
    "clevr_ask": r"\d of 5 right",
    "clevr_tasks": r"(?s)  1 for .*  0 for .*mean reward 0\.[01]\d at first, 0\.[3-9]\d in the end",
    "clevr_world": r"'filter_material', 'count'\] ; answer: \d",
    "classify_my_images": r"(?m)^\d\.jpg of cat: .+ \(\d+ %\)$",
    "compare_learners": r"Mahalanobis: [\d.]+ ± [\d.]+ % over 40 episodes",
    "film_in_your_network": r"more red than blue: (9\d|100)\.\d % right; folded, it differs by [\d.]+e-0[5-9]",
    "meta_train": r"5-way 1-shot on unseen alphabets: [\d.]+ ± [\d.]+ %",
    "own_source": r"[3-9]\d\.\d % with an untrained network",
}


@pytest.fixture
def run_example(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    def run(name: str, *arguments: object) -> str:
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr("sys.argv", [f"{name}.py", *map(str, arguments)])
        with torch.random.fork_rng([]):
            runpy.run_path(str(CHECKOUT / "examples" / f"{name}.py"), run_name="__main__")
        return capsys.readouterr().out

    return run


def test_every_example_is_tested():
    assert {script.stem for script in SCRIPTS} == SHOWS.keys()


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.slow] * (name == "meta_train")) for name in sorted(SHOWS)]
)
def test_example_runs(name: str, run_example, tmp_path: Path):
    arguments = []
    if name == "classify_my_images":  # a model of the test's own: the example needs none that is good
        save_learner(tmp_path / "model", small_learner().eval(), {}, "card")
        arguments = ["--model", tmp_path / "model"]
    if name == "clevr_ask":
        a_saved_model(tmp_path / "model")
        arguments = ["--model", tmp_path / "model", "--out", tmp_path / "answer.png"]
    assert re.search(SHOWS[name], run_example(name, *arguments))
    assert name != "clevr_ask" or (tmp_path / "answer.png").is_file()


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.stem)
def test_example_says_what_it_shows(script: Path):
    assert re.match(r'"""[A-Z][^\n]+[.:](\n|""")', script.read_text(encoding="utf-8"))
    assert f"[{script.name}]" in (CHECKOUT / "docs" / "examples.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.stem)
def test_its_notebook_says_the_same(script: Path):
    """Text first, then all statements of the script in order; the same notebook every time."""
    notebooks = pytest.importorskip("notebooks")
    made = notebooks.notebook(script)
    notebooks.nbformat.validate(made)
    assert made == notebooks.notebook(script)
    text, *code = made.cells
    module = ast.parse(script.read_text("utf-8"))
    assert text.source.splitlines() == f"# {ast.get_docstring(module)}".splitlines()
    module.body.pop(0)
    cells = [ast.unparse(ast.parse(cell.source)) for cell in code if cell.source != notebooks.NO_OPTIONS]
    assert "\n".join(cells).split() == ast.unparse(module).split()
    assert len(cells) > 2
    comments = [line for line in script.read_text("utf-8").splitlines() if line.strip().startswith("#")]
    assert all(any(comment in cell.source for cell in code) for comment in comments)


def test_a_notebook_runs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    """Cell by cell in one namespace, with the arguments that a kernel is started with."""
    notebooks = pytest.importorskip("notebooks")
    a_saved_model(tmp_path / "model")
    monkeypatch.setattr("sys.argv", ["kernel", "-f", "kernel.json"])
    monkeypatch.setattr(notebooks, "NO_OPTIONS", notebooks.NO_OPTIONS.replace("[]", f"['--model', '{tmp_path}/model']"))
    namespace = {"__name__": "__main__"}
    with torch.random.fork_rng([]):
        for cell in notebooks.notebook(CHECKOUT / "examples" / "clevr_ask.py").cells[1:]:
            exec(cell.source, namespace)
    assert re.search(SHOWS["clevr_ask"], capsys.readouterr().out)
