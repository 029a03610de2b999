from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from clevr.config.model import ReasonerConfig, TrainConfig
from clevr.reasoning.loading import load, save_reasoner
from clevr.reasoning.network import FiLMReasoner
from clevr.reasoning.objectives import ReasonerTraining
from fewshot_film.errors import ConfigError, SavedModelError
from fewshot_film.run.checkpoint import put_weights
from fewshot_film.run.model_folder import read_config, save_model
from tests.clevr.models import SMALL, a_batch, a_fresh_reasoner, a_reasoner
from tests.precision import double_by_default

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


def test_what_torch_makes_by_default_changes_nothing(tmp_path: Path) -> None:
    folder = save_reasoner(tmp_path / "model", a_reasoner(), {}, CONFIG)
    asked, _ = a_batch([2])
    with torch.no_grad():
        expected = load(folder)(asked)
        with double_by_default():
            assert torch.equal(load(folder)(asked), expected)


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


OLD = {"concat_projection": "joining", "input_projection": "placing", "questions.attention": "questions.looking"}
OLD |= {"questions.norm": "questions.scaling", "trace_head": "referent_head", "program_head": "outline_head"}
BY_POSITIONS = {"positions": 7, "block_kernel": 1, "question_code": "attention", "question_heads": 4}


def under_old_names(weights: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    changed = dict(weights)
    for now, before in OLD.items():
        changed = {re.sub(rf"(^|\.){re.escape(now)}\.", rf"\g<1>{before}.", key): changed[key] for key in changed}
    assert set(changed) != set(weights)
    return changed


@pytest.mark.parametrize("changes", [BY_POSITIONS, {"conditioning": "concatenation"}])
def test_models_and_checkpoints_of_version_0_1_are_read(tmp_path: Path, changes: dict[str, Any]) -> None:
    network = a_reasoner(**changes)
    folder = save_reasoner(tmp_path / "model", network, {}, CONFIG)
    config = read_config(folder)["config"]
    save_model(folder, under_old_names(network.state_dict()), config, "")
    asked, _ = a_batch([2])
    with torch.no_grad():
        assert torch.equal(load(folder)(asked), network(asked))
    networks = (network, a_fresh_reasoner(**changes).float().eval())
    training, other = (ReasonerTraining(each, trace_weight=1, program_weight=1) for each in networks)
    put_weights(other, under_old_names(training.state_dict()), tmp_path / "last.ckpt")
    with torch.no_grad():
        assert torch.equal(other.reasoner(asked), network(asked))


def test_loading_does_not_wake_the_compiler() -> None:
    """Torch would import it, which takes seconds, for arithmetic on ``meta``, where a network is outlined first."""
    code = "import sys, clevr; clevr.load('clevr-small'); sys.exit('torch._dynamo' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
