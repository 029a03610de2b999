"""The model of a run, saved by its command."""

from __future__ import annotations

import logging
import shutil
from pathlib import Path

import numpy as np
import pytest

from clevr.commands.export import run as export
from clevr.commands.train import run as train
from clevr.config.commands import ExportConfig
from clevr.config.features import ExtractorConfig, ExtractorOverrides
from clevr.config.model import ClevrDataConfig, ReasonerConfig, TrainConfig
from clevr.data.feature_store import FeatureWriter
from clevr.data.reader import ClevrSplit
from clevr.reasoning.loading import training_record
from fewshot_film.run.settings import LoopConfig, plain
from tests.clevr.models import SMALL
from tests.clevr.worlds import make_world

EXTRACTOR = ExtractorConfig("resnet18", "layer1", normalisation="film", size=24)


def features_of(root: Path, split: str, folder: Path) -> None:
    names = sorted(ClevrSplit.open(root, split).images)
    writer = FeatureWriter(folder / split, names, (5, 6, 6), "float16", plain(EXTRACTOR))
    writer.append(np.random.default_rng(0).random((len(names), 5, 6, 6), np.float32))
    writer.finish()


def test_a_model_keeps_how_its_features_were_made(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    root, features = make_world(tmp_path / "world", {"train": 3, "val": 2}), tmp_path / "features"
    for split in ("train", "val"):
        features_of(root, split, features)
    changes = {"inputs": "features", "input_maps": 5, "width": 6, "height": 6, "trunk_maps": (), "trunk_stride": 1}
    model = ReasonerConfig(**{**plain(SMALL), **changes, "vocabulary": ()})
    data = ClevrDataConfig(root, features=str(features), images=2, questions=2)
    train(TrainConfig(tmp_path / "run", data, model, loop=LoopConfig(steps=1, validate_every=1)))
    export(ExportConfig(tmp_path / "run", tmp_path / "again"))
    for folder in (tmp_path / "run" / "model", tmp_path / "again"):
        assert ExtractorOverrides().complete(training_record(folder)) == EXTRACTOR
    shutil.rmtree(features)
    with caplog.at_level(logging.INFO):
        export(ExportConfig(tmp_path / "run", tmp_path / "later"))
    assert "will not know how the features that it reads are made: no features of train" in caplog.text
    assert "extractor" not in training_record(tmp_path / "later")
