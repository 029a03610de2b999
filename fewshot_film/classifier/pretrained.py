"""Where a model comes from: a folder, the package itself, the hub, or a plain backbone."""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from torch import nn

from fewshot_film.classifier.calibration import Measured
from fewshot_film.classifier.declared import check_fitted
from fewshot_film.config.backbone import PRETRAINED, STAGED_BACKBONES, TORCHVISION, WHITENED, BackboneConfig
from fewshot_film.config.learners import SimpleCNAPSConfig
from fewshot_film.errors import UserError, shown, suggestion
from fewshot_film.learners.backbone import Backbone
from fewshot_film.learners.learner import Learner
from fewshot_film.learners.libraries import torchvision_names
from fewshot_film.learners.networks import CNAPS, library_preprocessing
from fewshot_film.learners.registry import learner_of
from fewshot_film.learners.simple_cnaps import SimpleCNAPS
from fewshot_film.run.declared import refusing
from fewshot_film.run.model_folder import SavedModel, load_model

SHIPPED = Path(__file__).resolve().parent.parent / "pretrained"
"""One saved model's folder for each name that ships with the package."""
WITHOUT_WEIGHTS = (CNAPS, WHITENED)
"""Backbones that have to be trained before they are of use."""
WITH_WEIGHTS = tuple(name for name in STAGED_BACKBONES if name not in WITHOUT_WEIGHTS)
"""Backbones with weights from ImageNet whose stages are known."""
FITTED = "few-shot-classifier"
"""Kind of a saved model that has learned its classes already."""

_LIBRARY = re.compile(r"(timm|torchvision)[/:](.+)")
_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")


class ModelNotFoundError(UserError, LookupError):
    """There is no model with that name."""


@dataclass(frozen=True)
class Pretrained:
    """A learner, and what its training found out about it."""

    learner: Learner
    """In evaluation mode, on the CPU."""
    record: Mapping[str, Any]
    """What ``config.json`` says of it; empty for a learner that was never saved."""
    measured: Measured = field(default_factory=Measured)
    """Temperatures and distances, from validation episodes."""
    fitted: SavedModel | None = None
    """The saved classifier that the learner was found in, classes and all."""


def shipped_models() -> dict[str, Path]:
    """Folders of the models that ship with the package, by name."""
    folders = sorted(SHIPPED.iterdir()) if SHIPPED.is_dir() else []
    return {folder.name: folder for folder in folders if (folder / "config.json").is_file()}


def load_pretrained(model: Any) -> Pretrained:
    """A model by whatever names it.

    Args:
        model: a folder; a name of :func:`shipped_models`; a backbone with weights from ImageNet, without FiLM
            (``efficientnet-lite0``, ``resnet18`` or ``torchvision/resnet18``, ``timm/resnet18``), or with those in a
            file (``timm/resnet18@FILE``); ``owner/name`` on the Hugging Face hub; a learner; a backbone, which is
            copied as it is now; or what this function made of one of these, which is given back.

    Raises:
        ModelNotFoundError: nothing has that name.
        SavedModelError: the folder is damaged, or holds something else.
        WeightsError: weights could not be found, fetched or fitted.
        ConfigError: torchvision or timm has no network of that name.
        MissingExtraError: the network is timm's, and the extra ``timm`` is not installed.
    """
    if isinstance(model, Pretrained):
        return model
    if isinstance(model, Learner):
        return Pretrained(model.eval(), {})
    if isinstance(model, Backbone):
        # a copy: a learner freezes its backbone, and the user may go on training this one
        return Pretrained(SimpleCNAPS(SimpleCNAPSConfig(adaptation="none"), copy.deepcopy(model)).eval(), {})
    if isinstance(model, nn.Module):
        raise ModelNotFoundError(
            f"a {type(model).__name__} does not say what it reads; wrap it: WrappedBackbone(network, "
            "Preprocessing(size=224, mean=(...), std=(...))), both of fewshot_film.learners"
        )
    if not isinstance(model, str | Path) or not str(model):
        raise ModelNotFoundError(f"a model is given by its name or a path, got {shown(model)}; {_choices()}")
    shipped = shipped_models()
    if Path(model).is_dir():
        return _read(Path(model))
    if str(model) in shipped:
        return _read(shipped[str(model)])
    backbone = _backbone_config(str(model))
    if backbone is not None:
        return Pretrained(SimpleCNAPS(SimpleCNAPSConfig(backbone=backbone, adaptation="none")).float().eval(), {})
    if isinstance(model, str) and _HUB_ID.fullmatch(model) and not model.startswith("."):
        return _read(_download(model))
    if str(model) in WITHOUT_WEIGHTS:
        raise ModelNotFoundError(
            f"{model} has no published weights; train it by fewshot-film pretrain --backbone.name {model}, and "
            f"give the folder that it writes; {_choices()}"
        )
    known = [*shipped, *WITH_WEIGHTS, *torchvision_names()]
    raise ModelNotFoundError(f"there is no model {str(model)!r}{suggestion(str(model), known)}; {_choices()}")


def _choices() -> str:
    return (
        f"models that ship with the package: {', '.join(shipped_models()) or 'none'}; backbones without FiLM: "
        f"{', '.join(WITH_WEIGHTS)}, torchvision/NAME, timm/NAME; or give the folder of a saved model, or owner/name "
        "on the Hugging Face hub"
    )


def _read(folder: Path) -> Pretrained:
    saved = load_model(folder)
    with refusing(folder):
        return _read_declared(folder, saved)


def _read_declared(folder: Path, saved: SavedModel) -> Pretrained:
    if saved.config.get("kind") != FITTED:
        return _pretrained(saved, None)
    start = "learner."
    weights = {key.removeprefix(start): value for key, value in saved.weights.items() if key.startswith(start)}
    found = _pretrained(SavedModel(folder, saved.config["learner"], weights), saved)
    check_fitted(saved, found.learner)
    return found


def _pretrained(saved: SavedModel, fitted: SavedModel | None) -> Pretrained:
    measured = Measured.of(saved.config.get("training") or {})
    return Pretrained(learner_of(saved), saved.config, measured, fitted)


def _backbone_config(model: str) -> BackboneConfig | None:
    """The settings of the backbone that a text names, with the library's weights or those behind ``@``; None: none."""
    name, _, file = model.partition("@")
    in_library = _LIBRARY.fullmatch(name)
    if in_library:
        name = f"{in_library[1]}:{in_library[2]}"
    elif name not in WITH_WEIGHTS:
        if name not in torchvision_names():
            return None
        name = TORCHVISION + name
    if file and not Path(file).exists():
        raise ModelNotFoundError(f"there is no file {file!r} with weights for {name}")
    config = BackboneConfig(name=name, weights=file or PRETRAINED)
    return replace(config, image_size=0, preprocessing=library_preprocessing(config))


def _download(name: str) -> Path:
    try:
        from huggingface_hub import snapshot_download
    except ImportError:
        raise ModelNotFoundError(
            f"there is no folder {name!r}, and the Hugging Face hub needs the extra `hub`: "
            f"pip install 'fewshot-film[hub]'; {_choices()}"
        ) from None
    try:
        return Path(snapshot_download(name, allow_patterns=["config.json", "model.safetensors", "README.md"]))
    except Exception as error:  # the hub's client raises its own, requests' and plain errors of many kinds
        raise ModelNotFoundError(
            f"there is no folder {name!r}, and it could not be loaded from the Hugging Face hub "
            f"({type(error).__name__}: {(str(error).splitlines() or [''])[0]}); {_choices()}"
        ) from error
