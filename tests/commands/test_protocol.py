"""What guards a comparison: no class and no image in training and in test, and reports that say how it was drawn."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from fewshot_film.cli import COMMANDS
from fewshot_film.run.command import main
from tests.commands.test_commands import NETWORK, draw_classes

LEARNER = [word.replace("--backbone", "--learner.backbone") for word in NETWORK]
VALIDATION = ["--validation.query=2", "--validation.episodes=2", "--validation.way=2"]
SMALL = ["--loop.steps=1", "--episodes.query=2", *VALIDATION]


def fewshot_film(*words: object) -> int:
    return main("fewshot-film", COMMANDS, [str(word) for word in words])


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``train``, ``val`` and ``test`` classes, and the run ``clean`` on them."""
    root = tmp_path_factory.mktemp("protocol")
    draw_classes(root / "all", 12, per_class=4)
    for number, folder in enumerate(sorted((root / "all").iterdir())):
        part = ("train", "val", "test")[0 if number < 6 else 1 if number < 9 else 2]
        shutil.move(folder, root / "pictures" / part / folder.name)
    words = [f"--data.root={root / 'pictures'}", "--data.source=folder", "--learner.set_encoder_layers=2"]
    assert fewshot_film("train", f"--out={root / 'clean'}", *words, *LEARNER, *SMALL) == 0
    return root


@pytest.fixture
def leaky(pictures: Path, tmp_path: Path) -> Path:
    """The same with a training image in a validation class and in a test class."""
    root = shutil.copytree(pictures / "pictures", tmp_path / "leaky")
    for part, name in (("val", "class 06"), ("test", "class 10")):
        shutil.copy(root / "train" / "class 00" / "0.png", root / part / name / "copy.png")
    return root


def test_training_refuses_a_picture_of_both(leaky: Path, tmp_path: Path, capsys) -> None:
    words = ["train", f"--out={tmp_path / 'run'}", "--data.source=folder", *LEARNER, *SMALL]
    assert fewshot_film(*words, f"--data.root={leaky}") == 2
    message = "1 image in both, first 'val/class 06/copy.png', which equals 'train/class 00/0.png'"
    assert message in capsys.readouterr().err
    assert not (tmp_path / "run" / "model").exists()


def test_evaluation_refuses_reports_or_allows(pictures: Path, leaky: Path, tmp_path: Path, capsys) -> None:
    out = tmp_path / "result.json"
    rows = ["--ways=[3]", "--shots=[1]", "--query=2", "--episodes=3", "--processes=1", f"--out={out}", "--overwrite"]
    words = ["evaluate", pictures / "clean" / "model", "--data.source=folder", *rows]
    assert fewshot_film(*words, f"--data.root={leaky}") == 2
    assert "first 'test/class 10/copy.png', which equals 'train/class 00/0.png'" in capsys.readouterr().err

    assert fewshot_film(*words, f"--data.root={leaky}", "--data.on_leak=report") == 0
    assert (
        "0 classes and 1 image are also in the training classes, so these accuracies are too high."
        in out.with_suffix(".md").read_text()
    )
    shared = {"classes": 0, "images": 1, "allowed": 0}
    assert json.loads(out.read_text())["results"]["3-way 1-shot"]["shared_with_training"] == shared

    assert fewshot_film(*words, f"--data.root={leaky}", "--data.allow_leaks=[test/class 10/copy.png]") == 0
    shared = {"classes": 0, "images": 0, "allowed": 1}
    assert json.loads(out.read_text())["results"]["3-way 1-shot"]["shared_with_training"] == shared
    assert "too high" not in out.with_suffix(".md").read_text()

    assert fewshot_film(*words, f"--data.root={leaky}", "--data.on_leak=ignore") == 0
    assert json.loads(out.read_text())["results"]["3-way 1-shot"]["shared_with_training"] is None


def test_reports_say_that_a_source_is_ordered(pictures: Path, tmp_path: Path, capsys) -> None:
    out = tmp_path / "result.json"
    rows = ["--ways=[3]", "--shots=[1]", "--query=2", "--episodes=3", "--processes=1", f"--out={out}", "--overwrite"]
    words = ["evaluate", pictures / "clean" / "model", "--data.source=folder", f"--data.root={pictures / 'pictures'}"]
    assert fewshot_film(*words, *rows) == 0
    assert "Neighbouring images" not in capsys.readouterr().out
    assert json.loads(out.read_text())["results"]["3-way 1-shot"]["ordered"] is False
    assert fewshot_film(*words, *rows, "--data.ordered") == 0
    text = (
        "Neighbouring images of pictures show the same object. Support and query images are sampled from whole "
        "classes, in random order."
    )
    assert text in capsys.readouterr().out
    assert text in out.with_suffix(".md").read_text()
    assert json.loads(out.read_text())["results"]["3-way 1-shot"]["ordered"] is True


def test_without_training_classes_nothing_is_looked_for(pictures: Path, tmp_path: Path) -> None:
    shutil.copytree(pictures / "pictures" / "test", tmp_path / "only" / "test")
    out = tmp_path / "result.json"
    rows = ["--ways=[3]", "--shots=[1]", "--query=2", "--episodes=3", "--processes=1", f"--out={out}", "--overwrite"]
    words = ["evaluate", pictures / "clean" / "model", "--data.source=folder", f"--data.root={tmp_path / 'only'}"]
    assert fewshot_film(*words, *rows) == 0
    assert json.loads(out.read_text())["results"]["3-way 1-shot"]["shared_with_training"] is None


def test_rows_say_that_queries_are_unbalanced(pictures: Path, tmp_path: Path) -> None:
    out, saved = tmp_path / "result.json", tmp_path / "episodes.json"
    rows = ["--ways=[2]", "--shots=[1]", "--query=1", "--episodes=20", "--processes=1", f"--save_episodes={saved}"]
    words = ["evaluate", pictures / "clean" / "model", "--data.source=folder", f"--data.root={pictures / 'pictures'}"]
    assert fewshot_film(*words, *rows, "--dirichlet=2", f"--out={out}") == 0
    assert list(json.loads(out.read_text())["results"]) == ["2-way 1-shot, unbalanced queries"]
    assert "2-way 1-shot, unbalanced queries" in out.with_suffix(".md").read_text()
    (episodes,) = json.loads(saved.read_text())["episodes"].values()
    assert {tuple(one["query_labels"]) for one in episodes} > {(0, 1)}


def test_a_method_without_training_is_saved_and_evaluated(pictures: Path, tmp_path: Path, capsys) -> None:
    """All queries of an episode reach it in one call."""
    data = ["--data.source=folder", f"--data.root={pictures / 'pictures'}"]
    words = ["--learner.method=pt-map", *LEARNER, *SMALL]
    assert fewshot_film("train", f"--out={tmp_path / 'run'}", *data, *words) == 0
    rows = ["--ways=[2]", "--shots=[1]", "--query=1", "--episodes=3", "--processes=1", "--dirichlet=2"]
    assert fewshot_film("evaluate", tmp_path / "run" / "model", *data, *rows) == 0
    assert "2-way 1-shot, unbalanced queries" in capsys.readouterr().out
