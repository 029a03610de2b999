"""``clevr-film report`` on a run of a tiny model."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from clevr.cli import COMMANDS
from clevr.commands.report import filmed_maps
from clevr.config.model import ClevrDataConfig, TrainConfig
from clevr.data.batches import load_reasoning_data
from fewshot_film.run.command import main
from fewshot_film.run.settings import plain
from tests.clevr.models import a_reasoner, a_saved_model, a_world


def clevr_film(*words: object) -> int:
    return main("clevr-film", COMMANDS, [str(word) for word in words])


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder with a model that was never trained, and a world."""
    root = tmp_path_factory.mktemp("run")
    a_world(root / "world")
    a_saved_model(root / "run" / "model")
    config = TrainConfig(out=root / "run", data=ClevrDataConfig(root=root / "world"), model=a_reasoner().config)
    (root / "run" / "config.yaml").write_text(yaml.safe_dump(plain(config)))
    (root / "run" / "environment.json").write_text(json.dumps([{"started": "now", "command": ["clevr-film"]}]))
    point = {"step": 1, "split": "train", "loss": 1.0, "seconds": 1.0}
    (root / "run" / "metrics.jsonl").write_text(json.dumps(point) + "\n")
    return root / "run"


def headings(page: Path) -> list[str]:
    return re.findall(r"<h2[^>]*>([^<]+)</h2>", page.read_text(encoding="utf-8"))


def test_the_page_shows_everything_that_the_model_can_show(run: Path, tmp_path: Path):
    page = tmp_path / "page.html"
    assert clevr_film("report", run, "--questions", 30, "--out", page, "--figures", tmp_path / "png") == 0
    assert headings(page) == [
        "Course",
        "Environment",
        "Settings",
        "Accuracy by type of question",
        "Confusions",
        "Images with questions and answers",
        "Gamma and beta",
        "Feature maps before and after FiLM",
    ]
    text = page.read_text(encoding="utf-8")
    assert "30 questions" in text
    assert not re.search(r'(?:src|href)="(?!data:|#)', text)
    made = {path.stem for path in (tmp_path / "png").glob("*.png")}
    assert {"curves", "accuracy", "accuracy_hops", "confusion", "answers", "modulations", "feature_maps"} <= made


def test_a_given_evaluation_is_shown_instead(run: Path, tmp_path: Path):
    result = tmp_path / "val.json"
    assert clevr_film("evaluate", run / "model", run.parent / "world", "--questions", 50, "--out", result) == 0
    assert clevr_film("report", run, "--evaluation", result, "--out", tmp_path / "page.html") == 0
    assert f"50 questions, {result}" in (tmp_path / "page.html").read_text(encoding="utf-8")


def test_without_model_or_data_the_rest_is_there(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
):
    bare = tmp_path / "bare"
    shutil.copytree(run, bare)
    assert clevr_film("report", bare, "--data", tmp_path / "nowhere") == 0
    assert headings(bare / "report.html")[3:] == ["Answers"]
    assert "the report shows no answers: " in caplog.text
    shutil.rmtree(bare / "model")
    assert clevr_film("report", bare) == 0
    assert headings(bare / "report.html")[3:] == ["Model"]
    assert clevr_film("report", tmp_path) == 2
    assert "no run in" in capsys.readouterr().err


@pytest.mark.parametrize("content", ["[]", "{", '{"results": {"overall": {}}}'])
def test_an_evaluation_that_is_none_is_refused(run: Path, tmp_path: Path, content: str, capsys):
    (tmp_path / "x.json").write_text(content)
    assert clevr_film("report", run, "--evaluation", tmp_path / "x.json", "--out", tmp_path / "page.html") == 2
    assert "x.json" in capsys.readouterr().err


@pytest.mark.parametrize("position", ["norm", "conv", "relu", "residual"])
def test_maps_after_film_are_gamma_times_those_before_plus_beta(tmp_path: Path, position: str):
    reasoner = a_reasoner(film_position=position)
    world = a_world(tmp_path / "world", scenes=2)
    data = load_reasoning_data(world, "val", reasoner.config, reasoner.vocabulary)
    with torch.no_grad():
        maps = filmed_maps(reasoner, data, 3)
    assert [site.name for site in maps] == ["blocks.0", "blocks.1", "blocks.2", "blocks.3"]
    for site in maps:
        expected = site.gamma[:, None, None] * site.before + site.beta[:, None, None]
        np.testing.assert_allclose(site.after, expected, rtol=1e-5, atol=1e-6)
        assert site.before.std() > 0


def test_the_maps_of_a_model_that_keeps_positions_lie_on_the_grid(run: Path) -> None:
    reasoner = a_reasoner(positions=5, block_kernel=1, context=True)
    data = load_reasoning_data(run.parent / "world", "val", reasoner.config, reasoner.vocabulary)
    for maps in filmed_maps(reasoner, data, 0):
        assert maps.before.shape[1:] == reasoner.config.grid
        assert int((np.abs(maps.before).max(0) > 0).sum()) == 5
