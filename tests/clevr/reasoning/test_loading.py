from __future__ import annotations

from pathlib import Path

import pytest
import torch

from clevr.config import ReasonerConfig, TrainConfig
from clevr.reasoning.loading import load, save_reasoner
from clevr.reasoning.network import FiLMReasoner
from fewshot_film.run.errors import ConfigError, SavedModelError
from fewshot_film.run.saved_model import save_model
from tests.clevr.models import SMALL, a_batch

CONFIG = TrainConfig(out=Path("out"), model=SMALL)


@pytest.mark.parametrize("half", [False, True])
def test_there_and_back(tmp_path: Path, half: bool) -> None:
    network = FiLMReasoner(SMALL).eval()
    folder = save_reasoner(tmp_path / "model", network, {"steps": 3}, CONFIG, half=half)
    loaded = load(folder)
    asked, _ = a_batch([2])
    assert loaded.config == network.config
    assert not loaded.training
    for one, other in zip(network.state_dict().values(), loaded.state_dict().values(), strict=True):
        assert one.dtype == other.dtype
        assert torch.equal(other, one.half().float() if half and one.is_floating_point() else one)
    if not half:
        assert torch.equal(loaded(asked), network(asked))
    assert "3 of 875,000 steps" in (folder / "README.md").read_text()


def test_no_such_model() -> None:
    with pytest.raises(SavedModelError, match=r"no model nowhere; expected a folder that `clevr-film train` wrote"):
        load("nowhere")


def test_a_model_of_another_kind(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    save_model(folder, FiLMReasoner(SMALL).state_dict(), {"kind": "simple-cnaps"}, "")
    with pytest.raises(SavedModelError, match=r"model of kind 'simple-cnaps'; expected 'clevr-reasoner'"):
        load(folder)


def test_other_settings_than_expected(tmp_path: Path) -> None:
    folder = save_reasoner(tmp_path / "model", FiLMReasoner(SMALL), {}, CONFIG)
    assert load(folder, SMALL).config.maps == SMALL.maps
    with pytest.raises(ConfigError, match="was built with other settings of `model`"):
        load(folder, ReasonerConfig())
