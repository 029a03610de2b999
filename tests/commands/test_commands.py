"""The whole path on a folder of small images: pretrain, train, evaluate."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from fewshot_film.cli import COMMANDS
from fewshot_film.commands.common import open_images
from fewshot_film.commands.pretrain import whiten
from fewshot_film.config.backbone import BackboneConfig
from fewshot_film.config.data import DataConfig
from fewshot_film.learners import load_learner
from fewshot_film.learners.networks import build_backbone
from fewshot_film.learners.whitened_vgg import whitening_filters
from fewshot_film.run.command import main
from tests.conftest import CHECKOUT

NETWORK = ["--backbone.width=4", "--backbone.blocks=[1,1]", "--backbone.image_size=16", "--backbone.channels=1"]


def fewshot_film(*words: object) -> int:
    return main("fewshot-film", COMMANDS, [str(word) for word in words])


def draw_classes(root: Path, num_classes: int, per_class: int = 8, seed: int = 0) -> Path:
    """Every class is one random 4 x 4 pattern, enlarged, with noise."""
    rng = np.random.default_rng(seed)
    for label in range(num_classes):
        pattern = np.kron(rng.integers(0, 2, size=(4, 4)), np.ones((4, 4))) * 180
        folder = root / f"class {label:02d}"
        folder.mkdir(parents=True)
        for index in range(per_class):
            pixels = (pattern + rng.integers(0, 70, size=pattern.shape)).astype(np.uint8)
            Image.fromarray(pixels).save(folder / f"{index}.png")
    return root


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> Path:
    """A folder with ``pictures``, and the runs ``pretrain`` and ``train`` on it."""
    root = tmp_path_factory.mktemp("runs")
    draw_classes(root / "pictures", 30)
    data = [f"--data.root={root / 'pictures'}", "--data.source=folder", "--data.split_seed=0"]
    validation = ["--validation.query=4", "--validation.episodes=5"]
    loop = ["--loop.log_every=5", "--loop.validate_every=10"]
    pretrain = ["pretrain", f"--out={root / 'pretrain'}", *data, *NETWORK, *validation, *loop]
    assert fewshot_film(*pretrain, "--batch_size=16", "--loop.steps=30", "--loop.learning_rate=0.01") == 0
    learner = [word.replace("--backbone", "--learner.backbone") for word in NETWORK]
    train = ["train", f"--out={root / 'train'}", *data, *learner, *validation, *loop]
    settings = ["--learner.set_encoder_layers=2", "--episodes.query=4", "--loop.steps=6", "--loop.accumulate=2"]
    weights = f"--learner.backbone.weights={root / 'pretrain' / 'model'}"
    assert fewshot_film(*train, *settings, weights) == 0
    return root


def test_pretraining_leaves_curves_and_a_model(runs: Path):
    lines = [json.loads(line) for line in (runs / "pretrain" / "metrics.jsonl").read_text().splitlines()]
    losses = [line["loss"] for line in lines if line["split"] == "train"]
    assert losses[-1] < losses[0]
    assert [line["step"] for line in lines if line["split"] == "validation"] == [10, 20, 30]
    assert load_learner(runs / "pretrain" / "model").config.adaptation == "none"
    config = json.loads((runs / "pretrain" / "model" / "config.json").read_text())["config"]
    assert config["training"]["classes"] == 19
    assert "19 classes of its training split" in (runs / "pretrain" / "model" / "README.md").read_text()


def test_a_whitened_layer_is_set_by_training_images_and_stays(runs: Path, tmp_path: Path):
    network = ["--backbone.name=whitened-vgg", *NETWORK]
    data = [f"--data.root={runs / 'pictures'}", "--data.source=folder", "--data.split_seed=0"]
    loop = ["--loop.steps=2", "--batch_size=16", "--validation.query=4", "--validation.episodes=5"]
    assert fewshot_film("pretrain", f"--out={tmp_path / 'run'}", *data, *network, *loop) == 0
    backbone = load_learner(tmp_path / "run" / "model").backbone
    config = DataConfig(source="folder", root=str(runs / "pictures"), split_seed=0)
    images = open_images(config, "train", BackboneConfig(image_size=16, channels=1))
    everything = images.get(np.arange(len(images))).float() / 255
    expected = whitening_filters(backbone.normalize(everything))
    torch.testing.assert_close(backbone.state_dict()["conv1.weight"], expected)


def test_only_a_whitened_layer_is_set_by_images():
    other = build_backbone(BackboneConfig(width=4, blocks=(1,), image_size=32))
    before = other.state_dict()["conv1.weight"].clone()
    whiten(other, None)  # type: ignore[arg-type]  # no image is read
    assert torch.equal(other.state_dict()["conv1.weight"], before)


def test_training_starts_from_the_pretrained_backbone(runs: Path):
    before, after = load_learner(runs / "pretrain" / "model"), load_learner(runs / "train" / "model")
    assert after.config.adaptation == "film"
    expected = before.backbone.state_dict()
    for key, value in after.backbone.state_dict().items():
        assert value.equal(expected[key]), key


@pytest.mark.parametrize("steps", [0, 2])
def test_any_method_is_trained_by_its_name(runs: Path, tmp_path: Path, steps, capsys, caplog):
    """Without anything to train the model is saved as it is."""
    caplog.set_level("INFO")
    words = ["--learner.method=prototypes", f"--learner.backbone.weights={runs / 'pretrain' / 'model'}"]
    words += [word.replace("--backbone", "--learner.backbone") for word in NETWORK]
    words += [f"--data.root={runs / 'pictures'}", "--data.source=folder", "--data.split_seed=0", "--episodes.query=4"]
    words += ["--validation.query=4", "--validation.episodes=2"]
    if steps:
        words += ["--learner.train_backbone", f"--loop.steps={steps}", "--loop.accumulate=1"]
    assert fewshot_film("train", f"--out={tmp_path / 'run'}", *words) == 0
    model = load_learner(tmp_path / "run" / "model")
    expected = load_learner(runs / "pretrain" / "model").backbone.state_dict()
    same = all(value.equal(expected[key]) for key, value in model.backbone.state_dict().items())
    assert model.config.method == "prototypes"
    assert same is (steps == 0)
    assert ("nothing to meta-train" in caplog.text) is (steps == 0)


def test_evaluation_writes_every_value(runs: Path, tmp_path: Path, capsys):
    data = [f"--data.root={runs / 'pictures'}", "--data.source=folder", "--data.split_seed=0"]
    words = ["--shots=[1,2]", "--query=4", "--episodes=6", f"--out={tmp_path / 'result.json'}"]
    assert fewshot_film("evaluate", runs / "train" / "model", *data, *words, "--processes=1") == 0
    printed = capsys.readouterr().out
    assert "| 5-way 1-shot |" in printed
    assert (tmp_path / "result.md").read_text() in printed
    result = json.loads((tmp_path / "result.json").read_text())
    assert set(result["results"]) == {"5-way 1-shot", "5-way 2-shot"}
    again = [*words[:-1], "--format=json"]
    assert fewshot_film("evaluate", runs / "train" / "model", *data, *again, "--processes=1") == 0
    rows = json.loads(capsys.readouterr().out)["rows"]
    assert rows["5-way 1-shot"]["values"] == result["results"]["5-way 1-shot"]["values"]
    row = result["results"]["5-way 1-shot"]
    assert row["count"] == len(row["values"]) == 6
    assert row["mean"] == pytest.approx(sum(row["values"]) / 6)
    assert {"command", "config", "seed", "versions", "hardware", "commit"} <= set(result)


def test_a_shipped_model_is_evaluated_by_its_name(runs: Path, capsys):
    data = [f"--data.root={runs / 'pictures'}", "--data.source=folder", "--data.split_seed=0"]
    words = ["--ways=[2]", "--shots=[1]", "--query=4", "--episodes=2", "--processes=1"]
    assert fewshot_film("evaluate", "general-small", *data, *words) == 0
    assert "| 2-way 1-shot |" in capsys.readouterr().out


@pytest.mark.parametrize("processes", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_features_can_be_made_otherwise_for_an_evaluation(processes: int, runs: Path, tmp_path: Path):
    words = [f"--data.root={runs / 'pictures'}", "--data.source=folder", "--data.split_seed=0", "--shots=[1]"]
    given = {"plain": [], "both": ["--tukey_power=0.5", "--flip_tta=true"], "none": ["--tukey_power=1"]}
    values = {}
    for name, flags in given.items():
        for number in {1, processes} if name == "both" else {1}:
            out = tmp_path / f"{name}.json"
            more = ["--query=4", "--episodes=6", f"--processes={number}", f"--out={out}", "--overwrite", *flags]
            assert fewshot_film("evaluate", runs / "pretrain" / "model", *words, *more) == 0
            values[name, number] = json.loads(out.read_text())["results"]["5-way 1-shot"]["values"]
    assert values["none", 1] == values["plain", 1] != values["both", 1] == values["both", processes]


def test_episodes_are_kept_and_replayed(runs: Path, tmp_path: Path, capsys):
    data = [f"--data.root={runs / 'pictures'}", "--data.source=folder", "--data.split_seed=0"]
    evaluate = ["evaluate", runs / "train" / "model", *data, "--processes=1"]
    kept = tmp_path / "episodes.json"
    words = ["--shots=[1,2]", "--query=4", "--episodes=3", f"--save_episodes={kept}", f"--out={tmp_path / 'one.json'}"]
    assert fewshot_film(*evaluate, *words) == 0
    assert fewshot_film(*evaluate, f"--episode_list={kept}", f"--out={tmp_path / 'two.json'}") == 0
    one, two = (json.loads((tmp_path / name).read_text())["results"] for name in ("one.json", "two.json"))
    assert one == two
    assert one["5-way 2-shot"]["count"] == 3
    other = [word.replace("split_seed=0", "split_seed=1") for word in data]
    assert fewshot_film("evaluate", runs / "train" / "model", *other, f"--episode_list={kept}") == 2
    assert "was made of other images than" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ["evaluate", "nowhere", "--data.source=glyphs"],
            "there is no model 'nowhere'",
        ),
        (["evaluate", "{model}", "--data.source=folder"], "root is missing"),
        (["evaluate", "{model}", "--data.source=tree"], "no source is named 'tree'; there are folder"),
        (
            ["evaluate", "{model}", "--ways=[40]", "{data}", "--split="],
            "way is 40, more than the 30 classes of the images",
        ),
        (["evaluate", "{model}", "--shots=[9]", "{data}", "--split="], "an episode needs 19 (9 support and 10 query)"),
        (
            ["train", "--out=x", "--learner.backbone.weights=nowhere", "{data}", "--data.split_seed=0"],
            "no weights at 'nowhere'",
        ),
        (["train", "--out=x", "--loop.step=3"], "did you mean 'loop.steps'"),
        (["pretrain"], "out"),
    ],
)
def test_mistakes_end_with_a_message(runs: Path, words, message, capsys, monkeypatch, tmp_path: Path):
    monkeypatch.chdir(tmp_path)
    known = {"{data}": f"--data.root={runs / 'pictures'}"}
    filled = []
    for word in words:
        filled += ["--data.source=folder", known[word]] if word in known else [word]
    places = {"{model}": str(runs / "train" / "model"), "{pictures}": str(runs / "pictures")}
    for place, path in places.items():
        filled = [word.replace(place, path) for word in filled]
    assert fewshot_film(*filled) == 2
    assert message in capsys.readouterr().err


def test_a_finished_run_is_not_overwritten(runs: Path, capsys):
    data = [f"--data.root={runs / 'pictures'}", "--data.source=folder", "--data.split_seed=0"]
    settings = [*NETWORK, "--batch_size=16", "--validation.query=4"]
    assert fewshot_film("pretrain", f"--out={runs / 'pretrain'}", *data, *settings) == 2
    assert "already contains a run" in capsys.readouterr().err


@pytest.mark.slow
def test_two_processes_pretrain_together(tmp_path: Path):
    draw_classes(tmp_path / "pictures", 12)
    words = [f"--out={tmp_path / 'run'}", f"--data.root={tmp_path / 'pictures'}", "--data.source=folder"]
    settings = ["--data.split_seed=0", "--batch_size=8", "--loop.steps=4", "--validation.way=2", "--validation.query=2"]
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=2", "--standalone", "-m"]
    done = subprocess.run(
        [*torchrun, "fewshot_film", "pretrain", *words, *settings, *NETWORK, "--validation.episodes=2"],
        cwd=CHECKOUT,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert load_learner(tmp_path / "run" / "model").config.backbone.width == 4
    assert done.stderr.count("saved ") == 1
