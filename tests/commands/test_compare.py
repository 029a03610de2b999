from __future__ import annotations

import csv
import json
import logging
import os
import re
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from fewshot_film.classifier.pretrained import load_pretrained
from fewshot_film.commands.baselines import without_training
from fewshot_film.commands.compare import markdown_table, with_differences
from fewshot_film.config.learners import LDAConfig
from fewshot_film.episodes import HoldOutSampler
from fewshot_film.errors import ConfigError
from fewshot_film.extras import MissingExtraError
from fewshot_film.learners.registry import LEARNERS
from fewshot_film.learners.task_runners import CachedFeatures, FullLearner, Pixels, task_runner
from fewshot_film.run.results import summary
from tests.classifier.small import film_learner, prototypes
from tests.commands.pictures import fewshot_film, place  # noqa: F401 - a fixture
from tests.commands.test_commands import draw_classes
from tests.learners.small import noisy_classes


@pytest.fixture(scope="module")
def compared(place: Path) -> Path:  # noqa: F811
    out = place / "comparison"
    words = ["--data", place / "labelled", f"--models=[{place / 'model'}]", "--splits=6", "--out", out]
    assert fewshot_film("compare", *words) == 0
    return out


def test_everything_is_written(compared: Path, place: Path):  # noqa: F811
    result = json.loads((compared / "comparison.json").read_text())
    learners = result["results"]["learners"]
    model = str(place / "model")
    assert {model, "pixels", "simple-cnaps", "prototypes"} <= set(learners)
    assert {"command", "config", "seed", "versions", "hardware"} <= set(result)
    means = [row["mean"] for row in learners.values()]
    assert means == sorted(means, reverse=True)
    table = (compared / "comparison.md").read_text()
    assert "| 6 classes of folder 'labelled', 6 splits | accuracy, % |" in table
    assert "\npixels: nearest class means of the pixels, without a network.\n" in table
    assert table.count("the best") >= 1
    rows = list(csv.DictReader((compared / "comparison.csv").read_text().splitlines()))
    assert len(rows) == 6
    assert [float(row[model]) for row in rows] == pytest.approx(learners[model]["values"], abs=1e-6)


def test_names_of_models_are_text(tmp_path: Path):
    row = {**summary([0.5, 0.75]), "processor_seconds": 1.0}
    table = markdown_table("2 classes of folder '<b>'", {"[x](y)|z": row, "runs/my_model": row})
    assert table.startswith("| 2 classes of folder '&#60;b&#62;', 2 splits |")
    assert "| \\[x\\](y)\\|z | 62.50" in table
    assert "| runs/my_model | 62.50" in table


def test_splits_are_replayed(compared: Path, place: Path, tmp_path: Path, capsys):  # noqa: F811
    words = [
        "--data",
        place / "labelled",
        f"--models=[{place / 'model'}]",
        f"--episode_list={compared / 'splits.json'}",
    ]
    assert fewshot_film("compare", *words, "--learners=[pixels]", "--seed=9", "--out", tmp_path / "again") == 0
    one, two = (json.loads((folder / "comparison.json").read_text()) for folder in (compared, tmp_path / "again"))
    assert one["results"]["episodes_sha256"] == two["results"]["episodes_sha256"]
    again = two["results"]["learners"]
    assert set(again) == {"pixels", str(place / "model")}
    for name, row in again.items():
        assert row["values"] == one["results"]["learners"][name]["values"]
    assert "| pixels | " in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ["--learners=[pixel]"],
            "learner 'pixel' is unknown (did you mean 'pixels'?); learners that need no training: pixels, ",
        ),
        (["--models=[]"], "models are none; expected at least one, each once"),
        (["--models=[a,a]"], "models are a, a; expected at least one, each once"),
        (["--models=[nothing]"], "there is no model 'nothing'"),
        (["--splits=1"], "splits is 1; expected at least 2"),
        (["--shot=8"], "has 8 usable images, but an episode needs 9 (8 support and 1 query)"),
        (["--data=nowhere"], "data: there is no 'nowhere'; expected the path of an existing"),
        (["--episode_list=nowhere.json"], "nowhere.json"),
    ],
)
def test_mistakes_end_with_a_message(place: Path, words, message, capsys):  # noqa: F811
    given = {"--data": place / "labelled", "--models": f"[{place / 'model'}]", "--learners": "[pixels]"}
    given |= dict(word.split("=", 1) for word in words)
    assert fewshot_film("compare", *(f"{key}={value}" for key, value in given.items())) == 2
    assert message in capsys.readouterr().err


def test_a_learner_for_other_backbones_is_refused_and_not_offered():
    learner = load_pretrained("photos-small").learner
    for name, why in (
        ("fit", "does not fit the backbone of the first model: no layer is named 'layer*.*.bn[12]'"),
        ("prototype", "is unknown (did you mean 'prototypes'?); learners that need no training: pixels, "),
    ):
        with pytest.raises(ConfigError, match=re.escape(f"learner '{name}' {why}")) as raised:
            without_training((name,), learner.backbone, learner.config)
        offered = str(raised.value).partition("training: ")[2].split(", ")
        assert {"pixels", "prototypes", "ridge"} <= set(offered)
        assert not {"fit", "tsa"} & set(offered)


def test_names_that_are_no_text_are_kept(tmp_path: Path, place: Path):  # noqa: F811
    odd = tmp_path / os.fsdecode(b"\xff")
    draw_classes(odd, 2)
    (odd / "class 00").rename(odd / os.fsdecode(b"\xe9"))
    words = ["--data", odd, f"--models=[{place / 'model'}]", "--learners=[pixels]", "--splits=2"]
    for out, more in ((tmp_path / "one", []), (tmp_path / "two", [f"--episode_list={tmp_path / 'one/splits.json'}"])):
        assert fewshot_film("compare", *words, *more, "--out", out) == 0
        assert "\udce9" in json.loads((out / "splits.json").read_text(encoding="utf-8"))["classes"]


def test_differences_by_hand():
    """Accuracies 1, 0.5 and 0, 0.5: a difference of -1 and 0, so -0.5 with a deviation of sqrt(1/2) over sqrt(2).

    Student's t of one degree of freedom is 12.706.
    """
    results = {
        "worse": {"mean": 0.25, "values": [0.0, 0.5], "interval": 0.1, "count": 2, "processor_seconds": 1.0},
        "better": {"mean": 0.75, "values": [1.0, 0.5], "interval": 0.1, "count": 2, "processor_seconds": 2.0},
    }
    rows = with_differences(results)
    assert list(rows) == ["better", "worse"]
    assert rows["worse"]["to_best"] == -0.5
    assert rows["worse"]["to_best_interval"] == pytest.approx(12.7062 * 0.5, rel=1e-5)
    table = markdown_table("two", results)
    assert "| better | 75.00 ± 10.00 | best | 2.0 |" in table
    assert "| worse | 25.00 ± 10.00 | -50.00 ± 635.31 | 1.0 |" in table
    assert "over these 2 random splits" in table
    assert "pixels" not in table, "it was not compared"


def test_features_once_or_anew_are_the_same():
    images, learner, cpu = noisy_classes(4, 6), prototypes(), torch.device("cpu")
    plan = HoldOutSampler(images, 2)[0], HoldOutSampler(images, 2).plan(0)
    once, anew = task_runner(learner, images, cpu), FullLearner(learner, images, cpu)
    assert isinstance(once, CachedFeatures)
    assert isinstance(task_runner(film_learner(), images, cpu), FullLearner)
    torch.testing.assert_close(once.logits(plan[1]), anew.logits(plan[1]), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(anew.logits(plan[1]), learner(plan[0]), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", ["fine-tuning", "logistic-regression", "pt-map", "transductive-cnaps"])
def test_heads_on_a_frozen_backbone_take_features_that_are_computed_once(name):
    """Those that classify queries together too; by default they are not compared, as they see more than the others."""
    images, learner, cpu = noisy_classes(4, 6), film_learner(), torch.device("cpu")
    (head,) = without_training((name,), learner.backbone, learner.config).values()
    plan = HoldOutSampler(images, 2).plan(0)
    once, anew = task_runner(head, images, cpu), FullLearner(head, images, cpu)
    assert isinstance(once, CachedFeatures)
    torch.testing.assert_close(once.logits(plan), anew.logits(plan), rtol=1e-3, atol=1e-3)
    assert name not in without_training((), learner.backbone, learner.config)


def test_pixels_by_a_loop():
    images = noisy_classes(3, 5)
    plan = HoldOutSampler(images, 3).plan(1)
    found = Pixels(images).logits(plan).argmax(1).tolist()
    pixels = images.get(np.arange(15)).numpy().reshape(15, -1) / 255
    means = [pixels[plan.support[plan.support_labels == label]].mean(0) for label in range(3)]
    assert found == [int(np.argmin([((pixels[q] - mean) ** 2).sum() for mean in means])) for q in plan.query]


def test_only_what_needs_no_training_goes_on_any_backbone():
    learner = film_learner()
    found = without_training((), learner.backbone, learner.config)
    assert found["pixels"] is None
    weights = found["prototypes"].backbone.state_dict()
    assert all(torch.equal(value, weights[name]) for name, value in learner.backbone.state_dict().items())
    assert found["simple-cnaps"].config.adaptation == "none"
    assert all(one is None or one.config.adaptation == "none" for one in found.values())
    named = without_training(("fine-tuning", "pixels"), learner.backbone, learner.config)
    assert list(named) == ["fine-tuning", "pixels"]
    with pytest.raises(ConfigError, match="learner 'relation' has parts that must be trained: give a trained model in"):
        without_training(("relation",), learner.backbone, learner.config)


@pytest.fixture
def no_learn2learn(monkeypatch):
    monkeypatch.setitem(sys.modules, "learn2learn", None)


@pytest.mark.usefixtures("no_learn2learn")
def test_without_learn2learn_only_what_needs_it_is_refused(caplog):
    learner = film_learner()
    with caplog.at_level(logging.INFO):
        assert "prototypes" in without_training((), learner.backbone, learner.config)
        assert list(without_training(("fit", "pixels"), learner.backbone, learner.config)) == ["fit", "pixels"]
    assert not caplog.records
    with pytest.raises(MissingExtraError, match="make learn2learn"):
        without_training(("prototypes", "maml"), learner.backbone, learner.config)


@pytest.mark.usefixtures("no_learn2learn")
def test_without_learn2learn_the_list_of_choices_leaves_it_out_and_says_so(caplog):
    learner = film_learner()
    with (
        caplog.at_level(logging.INFO),
        pytest.raises(ConfigError, match=r"'mine' is unknown; .*: pixels,.*, fit,") as found,
    ):
        without_training(("mine",), learner.backbone, learner.config)
    assert "maml" not in str(found.value)
    (line,) = caplog.messages
    assert line.startswith("left out maml, anil, meta-sgd: learn2learn cannot be imported")


def test_a_list_leaves_out_what_cannot_be_built(monkeypatch, caplog):
    def missing(config, backbone):
        raise MissingExtraError("lda needs a package")

    monkeypatch.setitem(LEARNERS, LDAConfig, missing)
    learner = film_learner()
    with caplog.at_level(logging.INFO):
        found = without_training((), learner.backbone, learner.config)
    assert list(found) == ["pixels", "simple-cnaps", "prototypes", "ridge", "qda", "svm"]
    assert caplog.messages == ["left out lda: lda needs a package"]
