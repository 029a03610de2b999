"""Saved classifiers from strangers: what they declare is held against what they hold."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks.reliability.declared import CHANGES, KINDS, Kind, try_out
from clevr.reasoning.loading import load
from fewshot_film.classifier import FewShotClassifier
from fewshot_film.errors import ConfigError, SavedModelError
from fewshot_film.learners import load_learner
from fewshot_film.run.declared import build_as_declared, check_types
from fewshot_film.run.model_folder import SavedModel, load_model, replace_config, save_model
from fewshot_film.run.settings import LoopConfig
from tests.classifier.small import fitted


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> SavedModel:
    classifier, _, _ = fitted()
    folder = tmp_path_factory.mktemp("classifier") / "mine"
    classifier.save_pretrained(folder)
    return load_model(folder)


def backbone(config: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = config["learner"]["learner"]["backbone"]
    return found


HOSTILE: dict[str, tuple[Callable[[dict[str, Any], dict[str, Any]], object], str]] = {
    "image_size": (lambda config, _: backbone(config).update(image_size=10**6), r"image_size is 1000000; expected"),
    "another image_size": (lambda config, _: backbone(config).update(image_size=24), "support.images is"),
    "width": (lambda config, _: backbone(config).update(width=10**6), "weights that do not fit the network that its"),
    "blocks": (lambda config, _: backbone(config).update(blocks=[10**9] * 4), "a network of more than"),
    "a size beyond all": (lambda config, _: backbone(config).update(width=10**30), "does not hold what|do not fit"),
    "a type": (lambda config, _: backbone(config).update(flip_tta="yes"), "flip_tta is .yes., which is not of"),
    "a file": (lambda config, _: backbone(config).update(weights="/etc/passwd"), "a saved model holds them itself"),
    "a download": (lambda config, _: backbone(config).update(weights="IMAGENET1K_V1"), "holds them itself"),
    "code of others": (lambda config, _: backbone(config).update(name="timm:hf-hub:a/b"), "no network's plain name"),
    "a class twice": (lambda config, _: config["classes"].__setitem__(1, config["classes"][0]), "listed twice"),
    "equal classes": (lambda config, _: config.update(classes=[1, True, 2, 3, 4]), "a class is listed twice"),
    "no classes": (lambda config, _: config.update(classes=[]), "classes is no list of names"),
    "a list as a class": (lambda config, _: config.update(classes=[[1], 2, 3, 4, 5]), "is no text, number or truth"),
    "a long name": (lambda config, _: config["classes"].__setitem__(1, "x" * 10**6), "has 1,000,000 characters"),
    "temperature": (lambda config, _: config.update(temperature=-1.0), "temperature is -1.0; expected a number"),
    "resize": (lambda config, _: config.update(resize="melt"), "resize is 'melt'; expected one of stretch, crop, pad"),
    "kind": (lambda config, _: config["learner"].update(kind=["a"]), "holds a model of kind"),
    "no learner": (lambda config, _: config.update(learner=5), "does not hold what a saved model's settings declare"),
    "labels out of range": (lambda _, weights: weights["support.labels"].fill_(5), "are 5 to 5; expected 0 to 4"),
    "negative labels": (lambda _, weights: weights["support.labels"].fill_(-1), "are -1 to -1; expected 0 to 4"),
    "features": (lambda _, weights: weights["support.features"].fill_(float("nan")), "features is not finite"),
    "fewer labels": (lambda _, weights: weights.update({"support.labels": torch.zeros(1, dtype=torch.int64)}),
                     r"support.labels is \(1,\)"),
    "other gammas": (lambda _, weights: weights.update({"gamma.x": torch.ones(1, 1)}), "gamma and beta are those of"),
    "more": (lambda _, weights: weights.update({"x": torch.ones(1)}), "there is 'x', which no classifier has"),
}  # fmt: skip


def test_an_outline_does_not_wake_the_compiler():
    """Torch imports it, which takes seconds, to draw normal numbers on ``meta``; an embedding draws such."""
    code = (
        "import sys, torch; from pathlib import Path; from fewshot_film.run.declared import build_as_declared\n"
        "weights = {'weight': torch.ones(3, 2)}\n"
        "found = build_as_declared(lambda: torch.nn.Embedding(3, 2), weights, Path('mine'))\n"
        "assert found.weight.device.type == 'meta'\n"
        "sys.exit('torch._dynamo' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_whole_number_is_the_temperature_nearest_to_it(tmp_path: Path):
    (classifiers,) = (kind for kind in KINDS if kind.title == "classifiers")
    classifiers.make(tmp_path / "saved")
    replace_config(tmp_path / "saved", {**load_model(tmp_path / "saved").config, "temperature": 10**30})
    classifiers.check(tmp_path / "saved")


@pytest.mark.parametrize("name", HOSTILE)
def test_what_is_declared_must_be_held(saved: SavedModel, tmp_path: Path, name: str):
    change, message = HOSTILE[name]
    found = load_model(saved.folder)
    change(found.config, found.weights)
    save_model(tmp_path / "mine", found.weights, found.config, "")
    with pytest.raises(SavedModelError, match=message):
        FewShotClassifier.from_pretrained(tmp_path / "mine", device="cpu")


def test_a_learners_folder_is_checked_too(saved: SavedModel, tmp_path: Path):
    own = {name.removeprefix("learner."): value for name, value in saved.weights.items() if name.startswith("learner.")}
    config = load_model(saved.folder).config["learner"]
    save_model(tmp_path / "mine", own, config, "")
    assert load_learner(tmp_path / "mine") is not None
    config["learner"]["code_dim"] = 10**6
    save_model(tmp_path / "mine", own, config, "")
    with pytest.raises(SavedModelError, match="do not fit the network that its settings declare"):
        load_learner(tmp_path / "mine")


def test_a_reasoning_models_folder_is_checked_too(tmp_path: Path):
    KINDS[1].make(tmp_path / "mine")
    assert load(tmp_path / "mine").config.maps == 4
    for key, value, message in (
        ("hidden_dim", 10**6, "do not fit the network"),
        ("blocks", 10**9, "blocks is 1000000000; expected"),
        ("blocks", 500, "do not fit the network"),
        ("width", 10**6, "width is 1000000; expected"),
        ("residual", "no", "residual is 'no', which is not of the type"),
    ):
        found = load_model(tmp_path / "mine")
        found.config["model"][key] = value
        save_model(tmp_path / "other", found.weights, found.config, "")
        with pytest.raises(SavedModelError, match=re.escape(message)):
            load(tmp_path / "other")


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.title)
@pytest.mark.parametrize("title", CHANGES)
def test_changed_folders_are_refused_or_equal(kind, title: str, tmp_path: Path):
    kind.make(tmp_path / "base")
    count = try_out(kind, tmp_path / "base", CHANGES[title][0], 40, seed=1)
    assert count.tried == 40
    assert count.faults == []


def test_a_fault_is_found(tmp_path: Path):
    KINDS[0].make(tmp_path / "base")
    careless = Kind("careless", KINDS[0].make, lambda folder: {"classes": 3}[str(load_model(folder).config["classes"])])
    count = try_out(careless, tmp_path / "base", CHANGES["tensors"][0], 3)
    assert "KeyError" in count.faults[0]


def test_types_are_those_of_the_class():
    check_types(LoopConfig(learning_rate=1))
    for name, value in (
        ("steps", 10.0),
        ("learning_rate", 10**30),
        ("steps", True),
        ("learning_rate", True),
        ("monitor", 5),
    ):
        with pytest.raises(ConfigError, match=f"{name} is {value}, which is not of the type"):
            check_types(LoopConfig(**{name: value}))


def test_networks_are_outlined_without_memory():
    with pytest.raises(SavedModelError, match="do not fit the network"):
        build_as_declared(lambda: torch.nn.Linear(10**7, 10**7), {"weight": torch.ones(1, 1)}, Path("mine"))
