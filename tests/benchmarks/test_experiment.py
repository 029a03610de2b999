"""One experiment from a folder of pictures to its result file and table."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmarks import tables
from benchmarks.cifar_fs import EXPERIMENT
from benchmarks.experiment import ExperimentConfig
from benchmarks.published import PUBLISHED, Published
from benchmarks.small_pictures import SmallPicturesConfig, run

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
    """30 classes of 12 noisy pictures about a colour each."""
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
    config = SmallPicturesConfig(
        root=str(pictures), runs=str(tmp_path / "runs"), out=str(out), episodes=4, name="mine", split_seed=0,
        image_size=16, shots=(1,), processes=1, settings=str(settings),
    )  # fmt: skip
    assert run(config) == 0
    results = json.loads(out.read_text())["results"]
    for stage, steps in (("pretrain", 3), ("train", 2)):
        assert results[stage]["curve"][-1]["step"] == steps
        assert len(results[stage]["test"]["5-way 1-shot"]["values"]) == 4
    better = max(("pretrain", "train"), key=lambda stage: results[stage]["validation"]["5-way 1-shot"]["mean"])
    assert results["chosen_by_validation"] == better
    sha = [results[stage]["test"]["5-way 1-shot"]["episodes_sha256"] for stage in ("pretrain", "train")]
    assert sha[0] == sha[1]  # both models saw the same episodes

    began = (tmp_path / "runs" / "train" / "metrics.jsonl").read_bytes()
    assert run(config) == 0  # nothing is trained twice
    assert (tmp_path / "runs" / "train" / "metrics.jsonl").read_bytes() == began

    monkeypatch.setattr(tables, "HERE", tmp_path)
    monkeypatch.setitem(PUBLISHED, "mine", (Published("guessing", "arithmetic", {"5-way 1-shot": 20.0}),))
    row = tables.few_shot("mine", "Mine").splitlines()[2]
    mean = results[better]["test"]["5-way 1-shot"]["mean"]
    assert row.startswith("| 5-way 1-shot |")
    assert row.endswith(f"| 20.0 | {100 * mean - 20:+.1f} |")


def test_commands_name_source_weights_and_tasks(tmp_path: Path):
    runs = tmp_path / "runs"
    (runs / "pretrain" / "model").mkdir(parents=True)
    first, *rest = EXPERIMENT.commands(ExperimentConfig(root="cifar-100.zip", episodes=7), runs)
    assert first[0] == "train"  # the backbone is there already
    assert f"--learner.backbone.weights={runs / 'pretrain' / 'model'}" in first
    assert all({"--data.source=cifar-fs", "--data.root=cifar-100.zip"} <= set(words) for words in [first, *rest])
    assert [words[2] for words in rest] == ["--split=val", "--split=val", "--split=test", "--split=test"]
    assert all({"--ways=[5]", "--shots=[1, 5]", "--episodes=7"} <= set(words) for words in rest)
