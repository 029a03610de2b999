"""The row of Teach that keeps the classifier."""

from __future__ import annotations

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


def test_the_onnx_file_of_photographs_is_written_in_silence(photos, capfd):
    assert photos.export_onnx().stat().st_size > 10_000_000
    assert capfd.readouterr() == ("", "")
