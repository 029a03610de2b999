"""Training and evaluation over several sources."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fewshot_film.cli import COMMANDS
from fewshot_film.config import SimpleCNAPSConfig
from fewshot_film.learners import load_learner
from fewshot_film.run.command import main
from tests.commands.test_commands import NETWORK, draw_classes


def fewshot_film(*words: object) -> int:
    return main("fewshot-film", COMMANDS, [str(word) for word in words])


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A YAML file with two folders, one of them held out, and where they lie."""
    root = tmp_path_factory.mktemp("domains")
    for seed, name in enumerate(("seen", "other", "unseen")):
        draw_classes(root / name, 30, seed=seed)
    (root / "data.yaml").write_text(
        "data:\n"
        "  held_out: unseen\n"
        "  sources:\n"
        f"  - {{source: folder, name: seen, root: {root / 'seen'}, split_seed: 0}}\n"
        f"  - {{source: folder, name: unseen, root: {root / 'unseen'}, split_seed: 0}}\n"
        f"  - {{source: folder, name: other, root: {root / 'other'}, split_seed: 1, weight: 0.5}}\n"
    )
    return root / "data.yaml"


def test_train_on_some_domains_and_evaluate_on_all(settings: Path, tmp_path: Path, capsys) -> None:
    words = [f"--config={settings}", f"--out={tmp_path / 'run'}"]
    learner = [word.replace("--backbone", "--learner.backbone") for word in NETWORK]
    loop = ["--loop.steps=3", "--loop.accumulate=2", "--loop.validate_every=3", "--learner.set_encoder_layers=2"]
    episodes = ["--episodes.query=4", "--validation.query=4", "--validation.episodes=3"]
    assert fewshot_film("train", *words, *learner, *loop, *episodes) == 0
    model = tmp_path / "run" / "model"
    assert "Trained on: seen+other, 38 classes of its training split" in (model / "README.md").read_text()
    assert load_learner(model).config.backbone.channels == 1
    out = tmp_path / "result.json"
    rows = ["--shots=[1]", "--query=4", "--episodes=4", "--processes=1", f"--out={out}"]
    assert fewshot_film("evaluate", model, f"--config={settings}", *rows) == 0
    results = json.loads(out.read_text())["results"]
    assert list(results) == ["seen, 5-way 1-shot", "unseen, 5-way 1-shot", "other, 5-way 1-shot"]
    assert "| seen+unseen+other, test classes |" in capsys.readouterr().out


def test_every_domain_that_is_trained_on_gets_a_template(settings: Path, tmp_path: Path) -> None:
    words = [f"--config={settings}", f"--out={tmp_path / 'run'}", "--learner.adaptation=templates"]
    learner = [word.replace("--backbone", "--learner.backbone") for word in NETWORK]
    loop = ["--loop.steps=2", "--loop.accumulate=4", "--loop.validate_every=2", "--learner.set_encoder_layers=2"]
    episodes = ["--episodes.query=4", "--validation.query=4", "--validation.episodes=2"]
    assert fewshot_film("train", *words, *learner, *loop, *episodes) == 0
    config = load_learner(tmp_path / "run" / "model").config
    assert isinstance(config, SimpleCNAPSConfig)
    assert config.templates == ("seen", "other")


def test_a_backbone_is_pretrained_on_the_classes_of_all_domains(settings: Path, tmp_path: Path) -> None:
    words = [f"--config={settings}", f"--out={tmp_path / 'run'}", *NETWORK, "--loop.steps=2", "--batch_size=8"]
    assert fewshot_film("pretrain", *words, "--validation.query=4", "--validation.episodes=2") == 0
    config = json.loads((tmp_path / "run" / "model" / "config.json").read_text())["config"]
    assert config["training"]["classes"] == 19 + 19


def test_names_on_the_command_line(tmp_path: Path, capsys) -> None:
    words = ["train", f"--out={tmp_path / 'run'}", "--data.sources=[glyphs, {source: textures, rotat: true}]"]
    assert fewshot_film(*words) == 2
    assert "sources" in capsys.readouterr().err
