"""The row of Teach that keeps the classifier."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from fewshot_film.app.teaching import Teaching
from fewshot_film.classifier import FewShotClassifier
from fewshot_film.page import Limits


@pytest.fixture
def photos(tmp_path: Path) -> Teaching:
    teaching = Teaching(FewShotClassifier.from_pretrained("photos-small", device="cpu"), tmp_path, Limits())
    teaching.add_example("photos")
    return teaching


def test_the_onnx_file_of_photographs_takes_less_than_5_seconds(photos, capfd):
    photos.export_onnx()  # imports what it needs
    began = time.process_time()  # of this process, as others may be busy
    assert photos.export_onnx().stat().st_size > 10_000_000
    assert time.process_time() - began < 5
    assert capfd.readouterr() == ("", "")
