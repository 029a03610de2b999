"""One experiment from a folder of images to its result file and table."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from benchmarks import tables
from benchmarks.experiment import (
    COMMANDS,
    EXPERIMENTS,
    Experiment,
    ExperimentConfig,
    FolderConfig,
    KnownConfig,
    run_folder,
)
from benchmarks.published import PUBLISHED, Published
from fewshot_film.learners import load_learner
from fewshot_film.run.parsing import parse

NETWORK = "width: 16\n{0}blocks: [1, 1]\n{0}stem_kernel: 3\n"
TASKS = "validation: {way: 3, shot: 1, query: 2, episodes: 4}\n"
PRETRAIN = f"""
out: unused
backbone:
  {NETWORK.format("  ")}batch_size: 16
{TASKS}loop: {{steps: 3, validate_every: 3}}
"""
TRAIN = f"""
out: unused
learner:
  set_encoder_layers: 4
  backbone:
    {NETWORK.format("    ")}episodes: {{way: [3], shot: [1], query: 2}}
{TASKS}loop: {{steps: 2, accumulate: 1, validate_every: 2}}
"""


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """30 classes of 12 noisy images about a colour each."""
    rng = np.random.default_rng(0)
    for number in range(30):
        folder = tmp_path / "pictures" / f"class{number:02}"
        folder.mkdir(parents=True)
        colour = rng.integers(0, 256, 3)
        for picture in range(12):
            noisy = np.clip(colour + rng.normal(0, 10, (16, 20, 3)), 0, 255).astype(np.uint8)
            Image.fromarray(noisy).save(folder / f"{picture}.png")
    return tmp_path / "pictures"


def test_from_a_folder_to_the_table(pictures: Path, tmp_path: Path, monkeypatch, capsys):
    settings = tmp_path / "settings"
    settings.mkdir()
    (settings / "pretrain.yaml").write_text(PRETRAIN)
    (settings / "train.yaml").write_text(TRAIN)
    out = tmp_path / "results" / "mine.json"
    config = FolderConfig(
        root=str(pictures), runs=str(tmp_path / "runs"), out=str(out), episodes=4, name="mine", split_seed=0,
        image_size=16, shots=(1,), processes=1, settings=str(settings),
    )  # fmt: skip
    assert run_folder(config) == 0
    results = json.loads(out.read_text())["results"]
    for stage, steps in (("pretrain", 3), ("train", 2)):
        assert results[stage]["curve"][-1]["step"] == steps
        assert len(results[stage]["test"]["5-way 1-shot"]["values"]) == 4
    means = {
        (stage, features): rows["5-way 1-shot"]["mean"]
        for stage in ("pretrain", "train")
        for features, rows in results[stage]["validation"].items()
    }
    better, features = max(means, key=means.__getitem__)
    assert list(results["train"]["validation"]) == ["plain", "roots-mirrored"]
    assert (results["chosen_by_validation"], results[better]["features"]) == (better, features)
    sha = [results[stage]["test"]["5-way 1-shot"]["episodes_sha256"] for stage in ("pretrain", "train")]
    assert sha[0] == sha[1]  # both models saw the same episodes

    began = (tmp_path / "runs" / "train" / "metrics.jsonl").read_bytes()
    assert run_folder(config) == 0  # nothing is trained twice
    assert (tmp_path / "runs" / "train" / "metrics.jsonl").read_bytes() == began

    monkeypatch.setattr(tables, "HERE", tmp_path)
    monkeypatch.setitem(PUBLISHED, "mine", (Published("guessing", "arithmetic", {"5-way 1-shot": 20.0}),))
    row = tables.few_shot("mine", "Mine").splitlines()[2]
    mean = results[better]["test"]["5-way 1-shot"]["mean"]
    assert row.startswith("| 5-way 1-shot |")
    assert row.endswith(f"| 20.0 | {100 * mean - 20:+.1f} |")


def test_without_settings_for_meta_training_there_is_none(pictures: Path, tmp_path: Path):
    (tmp_path / "settings").mkdir()
    (tmp_path / "settings" / "pretrain.yaml").write_text(PRETRAIN)
    config = FolderConfig(
        root=str(pictures), runs=str(tmp_path / "runs"), out=str(tmp_path / "mine.json"), episodes=4, name="mine",
        split_seed=0, image_size=16, shots=(1,), processes=1, settings=str(tmp_path / "settings"),
    )  # fmt: skip
    assert run_folder(config) == 0
    results = json.loads((tmp_path / "mine.json").read_text())["results"]
    assert set(results) == {"chosen_by_validation", "pretrain"}
    assert results["chosen_by_validation"] == "pretrain"


def test_networks_are_trained_apart_and_joined(pictures: Path, tmp_path: Path):
    (tmp_path / "settings").mkdir()
    (tmp_path / "settings" / "pretrain.yaml").write_text(PRETRAIN)
    source = ("--data.source=folder", "--data.split_seed=0")
    experiment = Experiment(
        "mine", source, shots=(1,), settings=str(tmp_path / "settings"), network=("image_size=16",), networks=2
    )
    config = ExperimentConfig(
        root=str(pictures), runs=str(tmp_path / "runs"), out=str(tmp_path / "mine.json"), episodes=4, processes=1
    )
    assert experiment.run(config) == 0
    found = json.loads((tmp_path / "mine.json").read_text())["results"]["pretrain"]
    runs = [tmp_path / "runs" / "pretrain" / f"seed-{seed}" for seed in (0, 1)]
    ends = [json.loads((run / "metrics.jsonl").read_text().splitlines()[-1]) for run in runs]
    assert (found["networks"], len(found["starts"])) == (2, 2)
    assert found["seconds"] == pytest.approx(sum(end["seconds"] for end in ends), abs=0.1)
    assert found["curve"][-1] == ends[0]
    joined = load_learner(tmp_path / "runs" / "pretrain" / "model").backbone
    images = torch.rand(2, 3, 16, 16)
    alone = [load_learner(run / "model").backbone(images) for run in runs]
    assert not torch.equal(*alone)
    torch.testing.assert_close(joined(images), torch.cat(alone, 1))


def test_commands_name_source_and_weights(tmp_path: Path):
    runs = tmp_path / "runs"
    (runs / "pretrain" / "model").mkdir(parents=True)
    first = next(EXPERIMENTS["cifar-fs"].commands(ExperimentConfig(root="cifar-100.zip"), runs))
    assert first[0] == "train"  # the backbone is there already
    assert f"--learner.backbone.weights={runs / 'pretrain' / 'model'}" in first
    assert {"--data.source=cifar-fs", "--data.root=cifar-100.zip"} <= set(first)


def test_validation_classes_choose_the_features_of_each_model(tmp_path: Path):
    better = {"pretrain": "roots-mirrored", "train": "plain"}
    evaluated = []
    for stage in better:
        (tmp_path / stage / "model").mkdir(parents=True)
    for command, model, *flags in EXPERIMENTS["cifar-fs"].commands(
        ExperimentConfig(root="cifar-100.zip", episodes=7), tmp_path
    ):
        assert command == "evaluate"
        assert {"--data.source=cifar-fs", "--data.root=cifar-100.zip"} <= set(flags)
        assert {"--ways=[5]", "--shots=[1, 5]", "--episodes=7"} <= set(flags)
        stage = Path(model).parent.name
        (out,) = [Path(flag.removeprefix("--out=")) for flag in flags if flag.startswith("--out=")]
        assert f"--split={out.stem.partition('-')[0]}" in flags
        changed = {"--tukey_power=0.5", "--flip_tta=true"} <= set(flags)
        evaluated.append((stage, out.name, changed))
        mean = 0.5 + 0.1 * (changed == (better[stage] == "roots-mirrored"))
        row = {"mean": mean, "values": [mean]}
        out.write_text(json.dumps({"results": {"5-way 1-shot": row, "5-way 5-shot": row}}))
    assert evaluated == [
        ("pretrain", "val-plain.json", False),
        ("pretrain", "val-roots-mirrored.json", True),
        ("train", "val-plain.json", False),
        ("train", "val-roots-mirrored.json", True),
        ("pretrain", "test.json", True),  # after all that decides
        ("train", "test.json", False),
    ]


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_an_experiment_is_asked_for_by_its_name(name: str):
    (command, _) = COMMANDS
    config = parse("experiment", KnownConfig, [name, "--root=images.zip"], positionals=command.positionals)
    assert config == KnownConfig(experiment=name, root="images.zip")  # type: ignore[arg-type]
    first = next(EXPERIMENTS[config.experiment].commands(config, Path("runs")))
    assert f"--data.source={name.partition('-record')[0]}" in first
    (settings,) = [Path(flag.removeprefix("--config=")) for flag in first if flag.startswith("--config=")]
    assert settings.is_file()
    assert EXPERIMENTS[name].stages == (("pretrain",) if "-record" in name else ("pretrain", "train"))
