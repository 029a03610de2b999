from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch

from clevr.cli import COMMANDS
from clevr.config.commands import AskConfig
from clevr.config.features import ExtractorConfig, ExtractorOverrides
from clevr.reasoning import load
from clevr.reasoning.loading import training_record
from fewshot_film.errors import SavedModelError
from fewshot_film.run.command import main
from tests.clevr.reasoning.test_published import a_checkpoint, ours, theirs


def test_a_checkpoint_becomes_a_saved_model(tmp_path: Path) -> None:
    checkpoint = a_checkpoint()
    torch.save(checkpoint, tmp_path / "film.pt")
    out = tmp_path / "models" / "film"
    assert main("clevr-film", COMMANDS, ["import", str(tmp_path / "film.pt"), "--out", str(out)]) == 0
    torch.testing.assert_close(ours(load(out)), theirs(checkpoint), rtol=1e-4, atol=1e-4)
    assert training_record(out)["origin"] == "film.pt"
    assert training_record(out)["extractor"]["normalisation"] == "film"


def test_no_checkpoint(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main("clevr-film", COMMANDS, ["import", str(tmp_path / "film.pt"), "--out", str(tmp_path / "out")]) == 2
    assert "checkpoint: there is no" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_the_extractor_is_the_recorded_one_unless_told_otherwise(tmp_path: Path) -> None:
    recorded = {
        "backbone": "resnet50",
        "layer": "layer2",
        "normalisation": "film",
        "weights_sha256": "0",
        "dtype": "float16",
    }
    asked = AskConfig(tmp_path)
    assert asked.extractor.complete({"extractor": recorded}) == ExtractorConfig(
        "resnet50", "layer2", normalisation="film"
    )
    told = dataclasses.replace(asked, extractor=ExtractorOverrides(weights="here.pth"))
    assert told.extractor.complete({"extractor": recorded}) == ExtractorConfig("resnet50", "layer2", "here.pth", "film")
    assert asked.extractor.complete({}) == ExtractorConfig()


def test_records_of_no_model(tmp_path: Path) -> None:
    with pytest.raises(SavedModelError, match="no model"):
        training_record(tmp_path / "none")
    with pytest.raises(SavedModelError, match=r"config\.json is missing or damaged"):
        training_record(tmp_path)
