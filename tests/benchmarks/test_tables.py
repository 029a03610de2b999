"""What a table says beside its measured numbers follows from the project too."""

from __future__ import annotations

import re

import pytest
from torch import nn

import clevr
from benchmarks import tables
from clevr.inputs import SHIPPED

PAPERS = 59_103_428
"""Parameters of the paper's model from pixels; `tests/clevr/reasoning/test_network.py` derives them."""


def times_in_the_table() -> int:
    found = re.search(r"; (\d+) times the parameters", tables.clevr_small())
    assert found is not None
    return int(found[1])


def test_the_size_of_the_model_that_ships() -> None:
    card = (SHIPPED / "clevr-small" / "README.md").read_text(encoding="utf-8")
    found = re.search(r"([\d,]+) parameters", card)
    assert found is not None
    assert times_in_the_table() == round(PAPERS / int(found[1].replace(",", "")))


def test_the_size_follows_the_model(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clevr, "load", lambda name: nn.Linear(1_000_000, 2, bias=False))
    assert times_in_the_table() == 30


@pytest.mark.parametrize(
    ("pretrain", "train", "said"),
    [
        ("plain", "plain", ""),
        ("roots-mirrored", "plain", "of the pre-trained model are"),
        ("plain", "roots-mirrored", "of the meta-trained model are"),
        ("roots-mirrored", "roots-mirrored", "of both models are"),
    ],
)
def test_which_features_are_meant(pretrain: str, train: str, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    row = {"5-way 1-shot": {"mean": 0.5, "interval": 0.01}}
    stages = {"pretrain": {"features": pretrain}, "train": {"features": train}}
    results = {stage: {**found, "test": row, "seconds": 60} for stage, found in stages.items()}
    monkeypatch.setattr(tables, "read_result", lambda name: {"results": results})
    remark = tables.few_shot("cifar_fs", "Mine").split("Pre-training and meta-training took 2 minutes. ")[1]
    assert (f" Features {said} square roots, averaged over mirror images.\n" in remark) == bool(said)
    assert remark.startswith("The gap is between the meta-trained model and MetaOptNet-RR, ResNet-12.")
