"""Values alone on disk, and the networks that they are refused on."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import safetensors.torch
import torch
import torchvision
from torch import nn

from fewshot_film.errors import MissingFileError
from fewshot_film.film import (
    FiLMedNetwork,
    LearnedModulations,
    Modulation,
    SavedValuesError,
    Site,
    SiteError,
    fingerprint,
    inject_film,
    load_modulations,
    save_modulations,
)
from tests.film.networks import RESNET_SITES, TINY_SITES, images, random_modulations, tiny


def saved(tmp_path: Path, rows: int = 1) -> tuple[Path, FiLMedNetwork, dict[str, Modulation]]:
    filmed, path = inject_film(tiny(), [TINY_SITES]), tmp_path / "task.safetensors"
    values = random_modulations(filmed.sites, rows, dtype=torch.float64)
    save_modulations(path, filmed, values)
    return path, filmed, values


@pytest.mark.parametrize("rows", [1, 5])
def test_values_come_back_exactly_on_a_network_made_anew(tmp_path: Path, rows: int) -> None:
    path, filmed, values = saved(tmp_path, rows)
    again = inject_film(tiny(), [TINY_SITES])
    loaded = load_modulations(path, again)
    assert loaded.keys() == values.keys()
    for name, pair in values.items():
        assert all(map(torch.equal, pair, loaded[name]))
    assert torch.equal(again(images(rows), loaded), filmed(images(rows), values))
    assert list(tmp_path.iterdir()) == [path]


def test_a_resnet_18_takes_kilobytes(tmp_path: Path) -> None:
    filmed, path = inject_film(torchvision.models.resnet18(), [RESNET_SITES]), tmp_path / "task.safetensors"
    save_modulations(path, filmed, LearnedModulations(filmed.sites)(), note="birds")
    assert path.stat().st_size < 40_000
    assert sum(t.numel() * t.element_size() for t in filmed.network.state_dict().values()) > 46_000_000
    with safetensors.safe_open(path, framework="pt") as file:
        assert file.metadata()["note"] == "birds"


def test_some_sites_and_forms_with_one_part(tmp_path: Path) -> None:
    network = nn.Sequential(nn.Linear(3, 4), nn.LayerNorm(4))
    filmed, path = inject_film(network, [Site("0", 4, form="scale"), "1"]), tmp_path / "values.safetensors"
    save_modulations(path, filmed, {"0": filmed.sites.from_residuals(torch.rand(2, 12))["0"]})
    loaded = load_modulations(path, filmed)
    assert loaded.keys() == {"0"}
    assert loaded["0"].beta.shape == (2, 4)
    assert not loaded["0"].beta.any()


def test_values_for_sites_that_do_not_exist_are_not_saved(tmp_path: Path) -> None:
    filmed = inject_film(tiny(), [TINY_SITES])
    with pytest.raises(SiteError, match="there is no site 'bn'"):
        save_modulations(tmp_path / "x", filmed, {"bn": Modulation(torch.ones(1, 4), torch.zeros(1, 4))})
    assert not list(tmp_path.iterdir())


def test_a_network_with_other_sites_is_refused(tmp_path: Path) -> None:
    path, _, _ = saved(tmp_path)
    message = "is for other sites: 'layer1.bn1' (4 channels in the file, no such site here)"
    with pytest.raises(SavedValuesError, match=re.escape(message)):
        load_modulations(path, inject_film(tiny(), ["layer1.bn2", "layer2.*"]))
    wider = nn.Module()
    wider.layer1, wider.layer2 = (nn.ModuleDict({"bn1": nn.BatchNorm2d(9), "bn2": nn.BatchNorm2d(9)}) for _ in "12")
    message = r"\(8 channels in the file, 9 here\) and 1 more; expected a network with FiLM at: layer1.bn1, layer1.bn2"
    with pytest.raises(SavedValuesError, match=message):
        load_modulations(path, inject_film(wider, [TINY_SITES]))


def test_a_network_with_other_layers_is_refused(tmp_path: Path) -> None:
    path, filmed, _ = saved(tmp_path)
    filmed.network.head = nn.Linear(8, 2)
    with pytest.raises(
        SavedValuesError, match=r"another network: the names or shapes of the weights of this TinyResNet"
    ):
        load_modulations(path, filmed, same_weights=False)


@pytest.mark.parametrize(
    "change",
    [
        lambda network: network.layer2.conv2.weight[3, 2, 1, 0].mul_(1 + 1e-15),
        lambda network: network.layer1.bn1.running_mean.copy_(network.layer1.bn1.running_mean.flip(0)),
        lambda network: network.half(),
    ],
    ids=["one bit", "statistics in another order", "another precision"],
)
def test_a_network_with_other_weights_is_refused_unless_they_may_differ(tmp_path: Path, change) -> None:
    path, filmed, values = saved(tmp_path)
    with torch.no_grad():
        change(filmed.network)
    with pytest.raises(SavedValuesError, match=r"with the same layers and other weights; .* same_weights=False"):
        load_modulations(path, filmed)
    assert load_modulations(path, filmed, same_weights=False).keys() == values.keys()


def test_a_fingerprint_is_of_the_network_and_not_of_film() -> None:
    network = tiny()
    before = fingerprint(network)
    filmed = inject_film(network, [TINY_SITES])
    assert fingerprint(filmed.network) == before == fingerprint(tiny())
    other = fingerprint(tiny(seed=1))
    assert other["layers"] == before["layers"]
    assert other["weights"] != before["weights"]
    bf16 = nn.Linear(2, 2).bfloat16()
    assert fingerprint(bf16) == fingerprint(bf16)


def test_other_files_are_refused(tmp_path: Path) -> None:
    path, filmed, _ = saved(tmp_path)
    with pytest.raises(MissingFileError, match=r"there is no file .*none.safetensors; expected one that save_mod"):
        load_modulations(tmp_path / "none.safetensors", filmed)
    weights = tmp_path / "weights.safetensors"
    safetensors.torch.save_file({"a": torch.zeros(1)}, weights)
    with pytest.raises(SavedValuesError, match="holds no FiLM values"):
        load_modulations(weights, filmed)
    safetensors.torch.save_file({"a": torch.zeros(1)}, weights, {"format": "fewshot-film modulations", "version": "9"})
    with pytest.raises(SavedValuesError, match="is of version 9 of the format, expected 1"):
        load_modulations(weights, filmed)
    for kept in (0, 5, path.stat().st_size - 1):
        weights.write_bytes(path.read_bytes()[:kept])
        with pytest.raises(SavedValuesError, match=r"weights.safetensors is damaged \("):
            load_modulations(weights, filmed)


def test_a_write_that_fails_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, filmed, values = saved(tmp_path)
    before = path.read_bytes()

    def fail(_tensors: object, file: Path, _header: object) -> None:
        file.write_bytes(b"half")
        raise OSError("No space left on device")

    monkeypatch.setattr(safetensors.torch, "save_file", fail)
    with pytest.raises(OSError, match="No space left"):
        save_modulations(path, filmed, values)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_without_safetensors_only_saving_is_missing(tmp_path: Path) -> None:
    code = """
import sys
sys.modules["safetensors"] = None
from torch import nn
from fewshot_film.film import SavedValuesError, inject_film, save_modulations
filmed = inject_film(nn.Sequential(nn.BatchNorm1d(2)), ["0"])
try:
    save_modulations("x", filmed, filmed.sites.identity())
except SavedValuesError as error:
    print(error)
"""
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path, env=os.environ
    )
    assert result.stdout.strip() == "saved values need the package safetensors; pip install safetensors"


def test_a_model_with_film_goes_to_the_hub_and_comes_back(tmp_path: Path) -> None:
    hub = pytest.importorskip("huggingface_hub")

    class Model(nn.Module, hub.PyTorchModelHubMixin):
        def __init__(self, width: int) -> None:
            super().__init__()
            network = nn.Sequential(nn.Conv2d(3, width, 3), nn.BatchNorm2d(width))
            self.filmed = inject_film(network, ["1"])
            self.values = LearnedModulations(self.filmed.sites, 3)

        def forward(self, x: torch.Tensor, task: torch.Tensor) -> torch.Tensor:
            return self.filmed(x, self.values(task))

    model, x, task = Model(width=4).eval(), images(2, dtype=torch.float32), torch.tensor([2, 0])
    nn.init.normal_(model.values.residuals)
    model.save_pretrained(tmp_path)
    again = Model.from_pretrained(tmp_path).eval()
    assert torch.equal(again(x, task), model(x, task))
