"""The cost of FiLM: every side is measured, and what is compared computes the same."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from torch import nn

from benchmarks import film_speed


def test_the_cost_of_every_side_is_written(tmp_path: Path, capsys) -> None:
    out = tmp_path / "cost.json"
    film_speed.cost(film_speed.CostConfig(images=2, size=32, rounds=1, out=out))
    results = json.loads(out.read_text())["results"]
    for part in results["network"].values():
        assert len(part["ratio"]) == 6
        assert part["ratio"]["plain"] == 1
        assert all(milliseconds > 0 for milliseconds in part["milliseconds"].values())
    assert results["one site"].keys() == film_speed.STAGES.keys()
    assert "one site of layer4, forward and backward: plain 1.000, film_relu " in capsys.readouterr().out


def test_the_cost_of_many_tasks_is_written(tmp_path: Path, capsys) -> None:
    out = tmp_path / "tasks.json"
    film_speed.tasks(film_speed.TasksConfig(tasks=5, images=3, size=32, rounds=1, out=out))
    results = json.loads(out.read_text())["results"]
    assert results["batch"]["ratio"].keys() == {"plain", "rows gathered", "a call per image"}
    assert 0 < results["share of the gather in the batch"] < 1
    assert "tasks, batch: plain 1.000, rows gathered " in capsys.readouterr().out


def test_film_written_out_is_ours() -> None:
    filmed, x = film_speed.filmed_resnet().eval(), torch.rand(2, 3, 32, 32)
    rows = film_speed.values(filmed, 2)
    by_hand = film_speed.same_weights(filmed.network).eval()
    film_speed.write_out(by_hand, rows)
    shared = dict(filmed.network.named_parameters())
    assert all(parameter is shared[name] for name, parameter in by_hand.named_parameters())
    torch.testing.assert_close(by_hand(x), filmed(x, rows), rtol=1e-4, atol=1e-4)


def test_the_sites_are_those_of_the_stages() -> None:
    filmed = film_speed.filmed_resnet().eval()
    assert filmed.sites.num_channels == 3840
    sides: dict[str, torch.Size] = {}
    for stage in film_speed.STAGES:
        layer: nn.Module = filmed.network.get_submodule(f"{stage}.1.bn2")
        layer.register_forward_hook(lambda _m, _a, out, stage=stage: sides.update({stage: out.shape[1:]}))
    with torch.no_grad():
        filmed(torch.zeros(1, 3, 84, 84))
    assert sides == {stage: (width, side, side) for stage, (width, side) in film_speed.STAGES.items()}
