"""Saved models: folders that are whole, or refused."""

from __future__ import annotations

import json
import shutil

import pytest
import torch

from fewshot_film.errors import SavedModelError
from fewshot_film.run import model_folder
from fewshot_film.run.model_folder import load_model, replace_config, save_model
from tests.precision import double_by_default
from tests.run.toy import make_toy, weights_hash


@pytest.fixture
def folder(tmp_path):
    save_model(tmp_path / "model", make_toy(seed=3).state_dict(), {"width": 16}, "# A toy\n")
    return tmp_path / "model"


def test_comes_back_bit_for_bit(folder):
    found = load_model(folder)
    toy = make_toy(seed=4)
    found.load_into(toy)
    assert weights_hash(toy) == weights_hash(make_toy(seed=3))
    assert found.config == {"width": 16}
    assert (folder / "README.md").read_text() == "# A toy\n"
    assert [entry.name for entry in folder.parent.iterdir()] == ["model"]


def test_a_network_built_in_double_precision_takes_that_of_the_weights(folder):
    with double_by_default():
        toy = make_toy(seed=4)
    load_model(folder).load_into(toy)
    assert {value.dtype for value in toy.state_dict().values() if value.is_floating_point()} == {torch.float32}
    assert weights_hash(toy) == weights_hash(make_toy(seed=3))


def test_other_dtypes_layouts_and_shared_memory(tmp_path):
    base = torch.arange(12.0).reshape(3, 4)
    state = {
        "half": base.half(),
        "view": base.t(),
        "same": base,
        "long": torch.tensor(3),
        "empty": torch.empty(0, 2),
    }
    save_model(tmp_path / "model", state, {}, "")
    found = load_model(tmp_path / "model").weights
    assert all(torch.equal(found[name], value) and found[name].dtype == value.dtype for name, value in state.items())


def test_replaces_a_saved_model(folder):
    save_model(folder, make_toy(seed=5).state_dict(), {"width": 16}, "new")
    toy = make_toy()
    load_model(folder).load_into(toy)
    assert weights_hash(toy) == weights_hash(make_toy(seed=5))
    assert [entry.name for entry in folder.parent.iterdir()] == ["model"]


def test_an_error_while_saving_leaves_the_old_one(folder, monkeypatch):
    monkeypatch.setattr(model_folder, "write_text_atomically", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        save_model(folder, make_toy(seed=5).state_dict(), {}, "new")
    assert load_model(folder).config == {"width": 16}
    assert [entry.name for entry in folder.parent.iterdir()] == ["model"]


def test_a_full_disk_leaves_the_old_one(folder, full_disk):
    with (
        full_disk(1000),
        pytest.raises(SavedModelError, match=r"could not be written: .*; free some space and save"),
    ):
        save_model(folder, {"weight": torch.zeros(10_000)}, {}, "new")
    assert load_model(folder).config == {"width": 16}
    assert [entry.name for entry in folder.parent.iterdir()] == ["model"]


def test_does_not_replace_other_files(folder):
    (folder / "thesis.tex").write_text("")
    with pytest.raises(SavedModelError, match=r"holds other files \(thesis.tex\); choose another folder"):
        save_model(folder, {}, {}, "")
    assert (folder / "thesis.tex").exists()


def test_no_folder(tmp_path):
    with pytest.raises(SavedModelError, match=r"no saved model .*none; expected a folder with config.json"):
        load_model(tmp_path / "none")


@pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
def test_a_missing_part(name, folder):
    (folder / name).unlink()
    with pytest.raises(SavedModelError, match=f"lacks {name}; expected a whole saved model"):
        load_model(folder)


@pytest.mark.parametrize("position", [0, 9, 60, -1])
def test_a_flipped_byte(position, folder):
    content = bytearray((folder / "model.safetensors").read_bytes())
    content[position] ^= 0x41
    (folder / "model.safetensors").write_bytes(content)
    with pytest.raises(SavedModelError, match=r"is damaged|is not the file that config.json describes"):
        load_model(folder)


@pytest.mark.parametrize("keep", [0, 5, 100])
def test_cut_weights(keep, folder):
    content = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(content[:keep])
    with pytest.raises(SavedModelError, match=r"model.safetensors is damaged \(.*\); copy the folder again"):
        load_model(folder)


def test_parts_of_two_models(folder, tmp_path):
    save_model(tmp_path / "other", make_toy(seed=9).state_dict(), {"width": 16}, "")
    shutil.copy(tmp_path / "other" / "model.safetensors", folder)
    with pytest.raises(SavedModelError, match=r"is not the file that config.json describes; copy the whole folder"):
        load_model(folder)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "config.json is damaged"),
        ("[]", "does not describe a saved model; expected one that this project wrote"),
        ('{"format": "other"}', "does not describe a saved model"),
        (
            '{"format": "fewshot-film model", "version": 9}',
            "has model format 9, this version reads 1 and 2; use the version",
        ),
        (
            '{"format": "fewshot-film model", "version": 1}',
            r"is damaged \(entries are missing\); copy the folder again",
        ),
    ],
)
def test_another_config(text, message, folder):
    (folder / "config.json").write_text(text)
    with pytest.raises(SavedModelError, match=message):
        load_model(folder)


def test_changed_settings_are_noticed(folder):
    path = folder / "config.json"
    path.write_text(path.read_text().replace('"width": 16', '"width": 17'))
    with pytest.raises(SavedModelError, match="its settings are not those that were written; copy the folder again"):
        load_model(folder)


def test_settings_are_replaced(folder):
    before = (folder / "model.safetensors").read_bytes()
    replace_config(folder, {"width": 16, "temperature": (1.5, None)})
    assert load_model(folder).config == {"width": 16, "temperature": [1.5, None]}
    assert (folder / "model.safetensors").read_bytes() == before


def test_a_model_of_the_first_version_is_read(folder):
    path = folder / "config.json"
    content = json.loads(path.read_text())
    del content["config_sha256"]
    path.write_text(json.dumps(content | {"version": 1}))
    assert load_model(folder).config == {"width": 16}
    path.write_text(json.dumps(content))
    with pytest.raises(SavedModelError, match="entries are missing"):
        load_model(folder)


def test_another_network(folder):
    with pytest.raises(SavedModelError) as caught:
        load_model(folder).load_into(make_toy(width=8))
    assert "does not fit the network: layers.0.weight is (16, 4), expected (8, 4)" in str(caught.value)
    assert str(caught.value).endswith("and 2 more; build the network from config.json beside it")


def test_the_config_is_readable(folder):
    content = json.loads((folder / "config.json").read_text())
    assert content["config"] == {"width": 16}
    assert len(content["weights_sha256"]) == 64
