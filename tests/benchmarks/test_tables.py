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


def heads_row(episodes: str, first: float, **others: float) -> dict:
    found = {"simple-cnaps": first, **others}
    accuracy = {name: {"mean": mean, "interval": 0.01, "values": [mean, mean]} for name, mean in found.items()}
    gain = {name: {"mean": mean - first, "interval": 0.01} for name, mean in others.items()}
    return {"episodes_sha256": episodes, "accuracy": accuracy, "gain": gain, "seconds": dict.fromkeys(found, 1.0)}


def test_heads_of_two_runs_make_one_table(monkeypatch: pytest.MonkeyPatch) -> None:
    """In the order of the benchmark, stars last."""
    runs = {
        "heads_fc100": {"5-way 1-shot": heads_row("a", 0.5, ridge=0.55, tim=0.6)},
        "more": {"5-way 1-shot": heads_row("a", 0.5, dn4=0.45)},
        "other": {"5-way 1-shot": heads_row("b", 0.5, dn4=0.45)},
        "features": {"5-way 1-shot": heads_row("a", 0.7, dn4=0.45)},
    }
    monkeypatch.setattr(tables, "read_result", lambda name: {"results": runs[name]})
    table = tables.heads("heads_fc100", "FC100", "more").splitlines()
    assert [line.split("|")[1].strip() for line in table[2:6]] == ["simple-cnaps", "ridge", "dn4", r"tim \*"]
    assert "| 50.0 ± 1.0 |" in table[2]
    assert "| 45.0 (-5.0 ± 1.0) |" in table[4]
    assert table[-1].startswith("Not measured on these features: prototypes, simple-shot, ")
    for other in ("other", "features"):
        with pytest.raises(ValueError, match="5-way 1-shot: the runs differ in their episodes or features; expected"):
            tables.heads("heads_fc100", "FC100", other)


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
