from __future__ import annotations

from pathlib import Path

import pytest
import torch

from benchmarks.clevr_seen import SeenConfig, look, run, summarize, value_odds, visible_shares
from clevr.config.model import TrainConfig
from clevr.questions.actions import filters_of
from clevr.reasoning.hop_reasoner import HopReasoner
from clevr.reasoning.loading import save_reasoner
from clevr.world.placement import Scenes
from fewshot_film.errors import ConfigError
from tests.clevr.models import a_saved_model
from tests.clevr.reasoning.test_hop_reasoner import HOPS


def test_it_runs_on_a_saved_model(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = TrainConfig(out=tmp_path, model=HOPS, program_weight=1.0)
    model = save_reasoner(tmp_path / "model", HopReasoner(HOPS), {}, config)
    run(SeenConfig(model=str(model), scenes=2, out=tmp_path / "seen.json"))
    assert (tmp_path / "seen.json").is_file()
    assert capsys.readouterr().out.startswith("all objects ")


def test_a_model_without_sets_is_refused(tmp_path: Path) -> None:
    with pytest.raises(
        ConfigError, match=r"answers without sets of objects; give a model trained with model.hop_by_hop"
    ):
        run(SeenConfig(model=str(a_saved_model(tmp_path / "model"))))


def test_an_object_in_front_is_seen_whole() -> None:
    scene = Scenes(0, "seen", width=96, height=72)[0]
    shares = visible_shares(scene, (96, 72))
    assert len(shares) == len(scene.objects)
    assert all(0 < share <= 1 for share in shares)
    nearest = max(range(len(shares)), key=lambda index: -scene.objects[index].pixel_coords[2])
    assert shares[nearest] == 1


def test_what_is_seen_is_the_likeliest_value_where_the_object_stands(monkeypatch: pytest.MonkeyPatch) -> None:
    scene = Scenes(0, "seen", width=32, height=24)[0]
    network = HopReasoner(HOPS).eval()
    held = torch.zeros(1, 10, 6, dtype=torch.bool)
    held[0, 0, 3] = True  # the other objects are not found
    monkeypatch.setattr("benchmarks.clevr_seen.held_objects", lambda maps, scenes: held)
    odds = torch.zeros(15, 6)
    for attribute in ("size", "color", "shape"):
        odds[filters_of().index((attribute, getattr(scene.objects[0], attribute))), 3] = 5
    wrong = next(value for value in scene.world.values["material"] if value != scene.objects[0].material)
    odds[filters_of().index(("material", wrong)), 3] = 5
    monkeypatch.setattr("benchmarks.clevr_seen.value_odds", lambda reasoner, maps: odds)
    first, *others = look(network, scene, (32, 24))
    assert first | {"visible": 1} == {
        "visible": 1,
        "found": True,
        "size": True,
        "color": True,
        "material": False,
        "shape": True,
    }
    assert not any(row["found"] or row["color"] for row in others)


def test_the_odds_are_of_all_values() -> None:
    network = HopReasoner(HOPS).eval()
    maps = torch.randn(1, HOPS.maps + 5, 1, 6)
    assert value_odds(network, maps).shape == (15, 6)


def test_groups_by_visible_share() -> None:
    seen = {"found": True, "size": True, "color": True, "material": True, "shape": True}
    rows = [{"visible": share, **seen} for share in (1.0, 0.9, 0.6)] + [{"visible": 0.2, **seen, "shape": False}]
    found = summarize(rows)
    assert {name: scores["all"]["count"] for name, scores in found.items()} == {
        "all objects": 4,
        "visible 0.9 or more": 2,
        "visible 0.5 or more": 1,
        "visible below 0.5": 1,
    }
    assert found["visible below 0.5"]["shape"]["right"] == found["visible below 0.5"]["all"]["right"] == 0
    assert found["visible below 0.5"]["color"]["right"] == 1
