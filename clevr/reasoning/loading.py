"""Saved reasoning models: a folder with ``config.json``, ``model.safetensors`` and a model card."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from clevr.config.model import ReasonerConfig, TrainConfig
from clevr.inputs import model_folder
from clevr.reasoning.familiarity import Familiarity
from clevr.reasoning.hop_reasoner import build_reasoner
from clevr.reasoning.network import Reasoner
from clevr.world.spec import CLEVR
from clevr.world.world_file import world_from, world_record
from fewshot_film.errors import ConfigError, SavedModelError
from fewshot_film.run.declared import build_as_declared, check_types, refusing
from fewshot_film.run.model_folder import CONFIG, SavedModel, load_model, read_config, replace_config, save_model
from fewshot_film.run.old_keys import current
from fewshot_film.run.settings import plain

KIND = "clevr-reasoner"
WORLD = "world"
"""Entry of the settings with the world of the model; CLEVR's have none."""
FAMILIARITY = "familiarity"
"""Entry of the settings with what the training images look like; models that were saved without it have none."""


def load(name: str | Path, expected: ReasonerConfig | None = None) -> Reasoner:
    """A saved model, on the CPU, in evaluation mode.

    Args:
        name: a model that comes with the package, such as ``clevr-small``, or the folder of another.
        expected: settings that it must have been built with.

    Raises:
        SavedModelError: there is no such model, a file is missing or damaged, or it is of another kind.
        ConfigError: it has other settings than ``expected``.
    """
    folder = model_folder(name)
    saved = load_model(folder)
    if saved.config.get("kind") != KIND:
        raise SavedModelError(f"{folder} holds a model of kind {saved.config.get('kind')!r}; expected {KIND!r}")
    with refusing(folder):
        config = _config(saved)
        world = world_from(saved.config[WORLD], f"{folder / CONFIG}: {WORLD}") if WORLD in saved.config else CLEVR
    build_as_declared(lambda: build_reasoner(config, world), saved.weights, folder)
    reasoner = build_reasoner(config, world)
    wanted = None if expected is None else build_reasoner(expected, world).config
    if wanted is not None and wanted != reasoner.config:
        raise ConfigError(f"{folder} was built with other settings of `model`; take those of its config.json")
    saved.load_into(reasoner)
    known = saved.config.get(FAMILIARITY)
    with refusing(folder):
        reasoner.familiarity = None if known is None else Familiarity.from_json(known)
    return reasoner.eval()


TRUNK_SETTINGS = (
    "inputs",
    "width",
    "height",
    "input_maps",
    "trunk_maps",
    "trunk_kernel",
    "trunk_stride",
    "trunk_blocks",
    "trunk_fine_blocks",
    "trunk_width",
    "trunk_colors",
    "maps",
    "positions",
    "merge_positions",
)
"""What two models must have in common for one to take over the other's trunk."""


def take_trunk(reasoner: Reasoner, name: str | Path) -> None:
    """Give a network the trunk of a saved model, and what chooses its positions.

    Args:
        reasoner: changed in place.
        name: as for :func:`load`.

    Raises:
        SavedModelError: as for :func:`load`.
        ConfigError: the settings of the two trunks differ.
    """
    source = load(name)
    sees_coordinates = reasoner.config.trunk_stride == 1
    for setting in (*TRUNK_SETTINGS, *(["coordinates"] if sees_coordinates else [])):
        own, other = getattr(reasoner.config, setting), getattr(source.config, setting)
        if own != other:
            raise ConfigError(
                f"model.{setting} is {own}, that of {name} is {other}; to take over its trunk, set it to the same"
            )
    for part, given in ((reasoner.trunk, source.trunk), (reasoner.objects, source.objects)):
        if part is not None and given is not None:
            part.load_state_dict(given.state_dict())


def training_record(name: str | Path) -> dict[str, Any]:
    """What a model was trained on and how far, as it was saved with it; its weights are not read.

    Raises:
        SavedModelError: there is no such model, or its record is damaged.
    """
    return _entry(name, "training")


def training_settings(name: str | Path) -> dict[str, Any]:
    """Settings of a model's training as plain values, as they were saved with it.

    Raises:
        SavedModelError: there is no such model, or its record is damaged.
    """
    return _entry(name, "settings")


def _entry(name: str | Path, key: str) -> dict[str, Any]:
    path = model_folder(name) / CONFIG
    try:
        record: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))["config"][key]
    except (OSError, ValueError, KeyError) as error:
        raise SavedModelError(f"{path} is missing or damaged ({error}); copy the whole folder again") from None
    return record


def save_reasoner(
    folder: Path, reasoner: Reasoner, training: Mapping[str, Any], config: TrainConfig, *, half: bool = False
) -> Path:
    """Save a model; the folder is complete or, after a kill, as it was before. Returns the folder.

    Args:
        folder: made, or replaced.
        reasoner: what to save.
        training: what it was trained on and how far.
        config: settings of its training.
        half: keep the weights in 16 bits.
    """
    weights = reasoner.state_dict()
    if half:
        weights = {name: value.half() if value.is_floating_point() else value for name, value in weights.items()}
    record = {"kind": KIND, "model": plain(reasoner.config), "training": dict(training), "settings": plain(config)}
    if reasoner.world != CLEVR:
        record[WORLD] = world_record(reasoner.world)
    if reasoner.familiarity is not None:
        record[FAMILIARITY] = reasoner.familiarity.to_json()
    save_model(folder, weights, record, _card(reasoner, training, config))
    return folder


def set_familiarity(name: str | Path, familiarity: Familiarity) -> Path:
    """Write into a saved model what its training images look like; the rest stays as it is. Returns its folder.

    Raises:
        SavedModelError: there is no such model, it is damaged, or of another kind.
    """
    folder = model_folder(name)
    record = read_config(folder)["config"]
    if record.get("kind") != KIND:
        raise SavedModelError(f"{folder} holds a model of kind {record.get('kind')!r}; expected {KIND!r}")
    replace_config(folder, {**record, FAMILIARITY: familiarity.to_json()})
    return folder


def _config(saved: SavedModel) -> ReasonerConfig:
    try:
        record = current(ReasonerConfig, saved.config["model"])
        values: dict[str, Any] = {
            key: tuple(value) if isinstance(value, list) else value for key, value in record.items()
        }
        config = ReasonerConfig(**values)
        check_types(config)
        return config
    except (TypeError, ConfigError) as error:
        raise SavedModelError(
            f"{saved.folder} was written by another version of this project: its settings do not fit ({error}); use "
            "that version, or train again"
        ) from None


def _card(reasoner: Reasoner, training: Mapping[str, Any], settings: TrainConfig) -> str:
    config, data = reasoner.config, settings.data
    asked = data.images * data.questions * settings.loop.accumulate
    kind = "new questions in every epoch" if data.fresh else "questions from files"
    minutes = f", {training['seconds'] / 60:.0f} minutes" if "seconds" in training else ""
    accuracy = training.get("validation_accuracy")
    pretraining = settings.trunk_pretraining
    before = ""
    if pretraining is not None:
        before = f"\n- Trunk pre-training: {pretraining.loop.steps:,} steps of {pretraining.images} images."
    reads = "questions are read as hops" if config.hop_by_hop else f"GRU of {config.hidden_dim}"
    reached = "" if accuracy is None else f"; validation accuracy {100 * accuracy:.1f} %"
    world = "CLEVR" if reasoner.world == CLEVR else f"the world '{reasoner.world.name}'"
    warned = "" if reasoner.familiarity is None else ", and it warns about most of them"
    return f"""# FiLM reasoning model for {world}

- Answers questions about images of {world}: `clevr-film ask IMAGE "question" --model FOLDER`.
- Network: {config.blocks} blocks of {config.maps} maps, images of {config.width} x {config.height} ({config.inputs}),
  {reads}; {sum(p.numel() for p in reasoner.parameters()):,} parameters.
- Training: {training.get("steps", 0):,} of {settings.loop.steps:,} steps of up to {asked} questions,
  {kind}{minutes}{reached}.{before}
- Limits: knows only the shapes, colours, materials and words of {world}; its answers about other images mean
  nothing{warned}.
- Source: Perez et al., "FiLM", AAAI 2018, https://arxiv.org/abs/1709.07871

`config.json` has all settings.
"""
