"""Parts of the network that do not learn."""

from __future__ import annotations

from pathlib import Path

import torch

from clevr.commands.train import ReasonerTraining, run
from clevr.config.model import ClevrDataConfig, TrainConfig
from clevr.reasoning import load
from fewshot_film.run.settings import LoopConfig
from tests.clevr.models import a_reasoner, a_saved_model, a_world


def test_frozen_parts_keep_weights_and_statistics(tmp_path: Path) -> None:
    world = a_world(a_world(tmp_path / "world", "train", 4), "val", 2)
    start = a_saved_model(tmp_path / "start")
    before = load(start)
    run(
        TrainConfig(
            out=tmp_path / "run",
            data=ClevrDataConfig(root=world, images=2, questions=3),
            model=before.config,
            weights=str(start),
            frozen=("trunk", "blocks", "classifier"),
            loop=LoopConfig(steps=3, learning_rate=1e-2, validate_every=3),
        )
    )
    after = load(tmp_path / "run" / "model").state_dict()
    same = {key for key, value in before.state_dict().items() if torch.equal(value, after[key])}
    seeing = {key for key in after if key.startswith(("trunk", "blocks", "classifier"))}
    assert same == seeing


def test_frozen_parts_stay_in_evaluation_mode() -> None:
    training = ReasonerTraining(a_reasoner(), frozen=("trunk", "classifier")).train()
    modes = {name: module.training for name, module in training.reasoner.named_children()}
    assert modes == {"questions": True, "generator": True, "trunk": False, "blocks": True, "classifier": False}
    assert not any(module.training for module in training.reasoner.trunk.modules())
