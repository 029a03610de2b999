from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from fewshot_film.classifier import FewShotClassifier
from fewshot_film.commands.calibrate import FITTED, MEASURED, PLAIN, EpisodeLogits, errors, measured_temperature
from fewshot_film.errors import InvalidValueError
from fewshot_film.learners import load_learner
from tests.commands.pictures import fewshot_film, place  # noqa: F401 - a fixture
from tests.commands.test_commands import draw_classes


def test_temperatures_are_measured_and_kept(place: Path, tmp_path: Path, capsys):  # noqa: F811
    draw_classes(tmp_path / "pictures", 20, per_class=6)
    before = load_learner(place / "model").state_dict()
    data = [f"--data.root={tmp_path / 'pictures'}", "--data.source=folder", "--data.split_seed=0"]
    sizes = ["--way=3", "--shots=[1,2]", "--query=3", "--episodes=8"]
    assert fewshot_film("calibrate", place / "model", *data, *sizes, "--out", tmp_path / "out") == 0
    kept = json.loads((place / "model" / "config.json").read_text())["config"]["training"]["temperatures"]
    assert set(kept) == {"1", "2"}
    assert all(value > 0 for value in kept.values())
    assert all(torch.equal(value, before[name]) for name, value in load_learner(place / "model").state_dict().items())
    printed = capsys.readouterr().out
    assert f"| 1-shot | {kept['1']:.3g} | " in printed
    result = json.loads((tmp_path / "out" / "calibration.json").read_text())["results"]
    of_one = result["1-shot"]
    assert of_one[MEASURED]["error"] < of_one[PLAIN]["error"]
    assert of_one[MEASURED]["error"] == pytest.approx(of_one[FITTED]["error"])
    assert sum(of_one[MEASURED]["count"]) == 8 * 3 * 3
    with Image.open(tmp_path / "out" / "calibration.png") as diagrams:
        assert diagrams.size[0] > 500

    classifier = FewShotClassifier.from_pretrained(place / "model", device="cpu")
    one_each = np.random.default_rng(0).integers(0, 256, (3, 16, 16), dtype=np.uint8)
    assert classifier.fit(one_each, list("abc")).temperature_ == pytest.approx(kept["1"])


def test_errors_by_hand():
    """Logits of 2 against 0 say 88 %, half of that 73 %, a quarter 62 %; three of four are right."""
    logits = torch.tensor([[2.0, 0.0]] * 4, dtype=torch.float64)
    judged = EpisodeLogits(logits, torch.tensor([0, 0, 0, 1]), torch.full((4,), 4.0, dtype=torch.float64))
    found = errors(judged, 2.0)
    expected = {PLAIN: 1.0, MEASURED: 2.0, FITTED: 4.0}
    for name, temperature in expected.items():
        confidence = 1 / (1 + np.exp(-2 / temperature))
        assert found[name].error == pytest.approx(abs(confidence - 0.75))


def test_a_folder_without_a_model(tmp_path: Path, capsys):
    assert fewshot_film("calibrate", tmp_path, "--data.source=glyphs") == 2
    assert "lacks config.json and model.safetensors" in capsys.readouterr().err


def test_a_run_folder_in_place_of_its_model(place: Path, tmp_path: Path, capsys):  # noqa: F811
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "model").symlink_to(place / "model")
    assert fewshot_film("calibrate", tmp_path / "run", "--data.source=glyphs") == 2
    assert f"expected a whole saved model, such as {tmp_path / 'run' / 'model'}" in capsys.readouterr().err


def test_queries_that_no_temperature_fits():
    wrong = torch.tensor([[2.0, 0.0]] * 6, dtype=torch.float64)
    judged = EpisodeLogits(wrong, torch.ones(6, dtype=torch.int64), torch.ones(6, dtype=torch.float64))
    message = r"no temperature fits the 6 1-shot queries, of which 0% are told right: it would be 1e\+06; .* --episodes"
    with pytest.raises(InvalidValueError, match=message):
        measured_temperature(judged, 1)
    labels = torch.tensor([0, 0, 0, 0, 0, 1])
    assert 0.1 < measured_temperature(EpisodeLogits(wrong, labels, judged.temperatures), 1) < 10
