"""``fewshot-film report`` on a run of a tiny learner."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from fewshot_film.cli import COMMANDS
from fewshot_film.commands.report import Seen, filmed_maps, look
from fewshot_film.config.commands import TrainConfig, ValidationConfig
from fewshot_film.config.data import DataConfig
from fewshot_film.episodes import EpisodeSampler
from fewshot_film.learners import save_learner
from fewshot_film.run.command import main
from fewshot_film.run.results import summary, write_result
from fewshot_film.run.settings import plain
from tests.commands.test_commands import draw_classes
from tests.learners.small import SMALL, noisy_classes, small_learner


def fewshot_film(*words: object) -> int:
    return main("fewshot-film", COMMANDS, [str(word) for word in words])


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder with a learner that was never trained, the result of an evaluation, and images."""
    root = tmp_path_factory.mktemp("run")
    draw_classes(root / "pictures", 25)
    folder = root / "run"
    save_learner(folder / "model", small_learner().eval(), {}, "card")
    data = DataConfig(source="folder", root=str(root / "pictures"), split_seed=0)
    config = TrainConfig(out=str(folder), data=data, learner=SMALL, validation=ValidationConfig(3, 2, 4, 5))
    (folder / "config.yaml").write_text(yaml.safe_dump(plain(config)))
    (folder / "environment.json").write_text(json.dumps([{"started": "now", "command": ["fewshot-film"]}]))
    (folder / "metrics.jsonl").write_text(json.dumps({"step": 1, "split": "train", "loss": 1.0, "seconds": 1}) + "\n")
    write_result(folder / "test.json", config={}, seed=0, results={"3-way 2-shot": summary([0.25, 0.75])})
    return folder


def headings(page: Path) -> list[str]:
    return re.findall(r"<h2[^>]*>([^<]+)</h2>", page.read_text(encoding="utf-8"))


def test_the_page_shows_everything_that_the_learner_can_show(run: Path, tmp_path: Path):
    page = tmp_path / "page.html"
    assert fewshot_film("report", run, "--episodes", 3, "--out", page, "--figures", tmp_path / "png") == 0
    assert headings(page) == [
        "Course",
        "Environment",
        "Settings",
        "Accuracy",
        "An episode",
        "Confusion matrix",
        "Gamma and beta",
        "Feature maps before and after FiLM",
    ]
    text = page.read_text(encoding="utf-8")
    assert "<td>3-way 2-shot</td>" in text
    assert "50.00" in text
    assert not re.search(r'(?:src|href)="(?!data:|#)', text)
    made = {path.stem for path in (tmp_path / "png").glob("*.png")}
    assert made == {"curves", "accuracy", "episode", "confusion", "modulations", "feature_maps"}


def test_without_pictures_or_model_the_rest_is_there(run: Path, tmp_path: Path, capsys, caplog):
    bare = tmp_path / "bare"
    shutil.copytree(run, bare)
    (tmp_path / "empty").mkdir()
    assert fewshot_film("report", bare, "--root", tmp_path / "empty") == 0
    assert headings(bare / "report.html")[4:] == ["Episodes"]
    assert "the report shows no episodes: empty: no data at" in caplog.text
    shutil.rmtree(bare / "model")
    assert fewshot_film("report", bare) == 0
    assert headings(bare / "report.html")[4:] == ["Model"]
    assert fewshot_film("report", tmp_path) == 2
    assert "no run in" in capsys.readouterr().err
    assert fewshot_film("report", bare, "--episodes", 0) == 2
    assert "expected at least 1" in capsys.readouterr().err


@pytest.mark.parametrize("content", [b"{", b"\xff", b"[]", b'{"results": {"a": 1}}'])
def test_only_files_with_accuracies_are_results(run: Path, tmp_path: Path, content: bytes, capsys):
    given = tmp_path / "given.json"
    given.write_bytes(content)
    assert fewshot_film("report", run, "--results", f"[{given}]", "--out", tmp_path / "page.html") == 2
    assert capsys.readouterr().err == (
        f"fewshot-film report: results: {given} holds no accuracies; "
        "expected a file that `fewshot-film evaluate --out` wrote\n"
    )
    bare = tmp_path / "bare"
    shutil.copytree(run, bare, ignore=shutil.ignore_patterns("model"))
    shutil.copy(given, bare)
    assert fewshot_film("report", bare) == 0, "a file of another kind in the run folder is passed over"


def test_confusions_count_only_where_both_classes_met():
    seen = Seen()
    episodes = EpisodeSampler(noisy_classes(3), way=2, shot=1, query=2, seed=0)
    episode = episodes[0]
    seen.add(episode, [1 - label for label in episode.query_labels.tolist()])  # every query is taken for the other
    names, shares = seen.confusion(10)
    assert names == sorted(episode.class_names)
    np.testing.assert_array_equal(shares, [[0, 1], [1, 0]])


def test_a_learner_that_tells_all_apart_has_a_diagonal_of_ones():
    seen = look(small_learner().eval(), EpisodeSampler(noisy_classes(6, noise=0.5), way=3, shot=2, query=3), 8)
    _, shares = seen.confusion(10)
    np.testing.assert_array_equal(np.diag(shares), 1)
    assert np.nansum(shares) == len(shares)
    assert len(seen.flat) == 8


def test_maps_after_film_are_gamma_times_those_before_plus_beta():
    learner = small_learner().eval()
    for parameter in learner.generator.parameters():
        torch.nn.init.normal_(parameter, std=0.1)  # away from the identity
    maps = filmed_maps(learner, EpisodeSampler(noisy_classes(), way=3, shot=1, query=2)[0])
    assert [site.name for site in maps] == ["layer1.0.bn2", "layer2.0.bn2"]
    for site in maps:
        expected = site.gamma[:, None, None] * site.before + site.beta[:, None, None]
        np.testing.assert_allclose(site.after, expected, rtol=1e-4, atol=1e-5)
        assert np.abs(site.after - site.before).max() > 1e-4
    assert not any(module._forward_hooks for module in learner.backbone.modules() if "Conv" in type(module).__name__)
