"""Where a model comes from: a folder, the package itself, the hub, or a plain backbone."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_args

from fewshot_film.config.learners import BackboneConfig, BackboneName, SimpleCNAPSConfig
from fewshot_film.errors import shown
from fewshot_film.learners.learner import Learner
from fewshot_film.learners.registry import learner_of
from fewshot_film.learners.simple_cnaps import SimpleCNAPS
from fewshot_film.run.errors import UserError
from fewshot_film.run.saved_model import SavedModel, load_model

SHIPPED = Path(__file__).resolve().parent.parent / "pretrained"
"""One saved model's folder for each name that ships with the package."""
TORCHVISION = tuple(name for name in get_args(BackboneName) if name != "cnaps-resnet18")
TORCHVISION_SIZE = 224
FITTED = "few-shot-classifier"
"""Kind of a saved model that has learned its classes already."""

_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")


class ModelNotFoundError(UserError, LookupError):
    """No model has that name."""


@dataclass(frozen=True)
class Pretrained:
    """A learner, and what its training found out about it."""

    learner: Learner
    """In evaluation mode, on the CPU."""
    record: Mapping[str, Any]
    """What ``config.json`` says of it; empty for a learner that was never saved."""
    temperatures: Mapping[float, float] = field(default_factory=dict)
    """Temperature by images per class, measured on validation episodes."""
    fitted: SavedModel | None = None
    """The saved classifier that the learner was found in, classes and all."""


def shipped_models() -> dict[str, Path]:
    """Folders of the models that come with the package, by name."""
    folders = sorted(SHIPPED.iterdir()) if SHIPPED.is_dir() else []
    return {folder.name: folder for folder in folders if (folder / "config.json").is_file()}


def load_pretrained(model: Any) -> Pretrained:
    """A model by whatever names it.

    Args:
        model: a folder; a name of :func:`shipped_models`; a torchvision network (``resnet18``: its ImageNet weights,
            without FiLM); ``owner/name`` on the Hugging Face hub; or a learner.

    Raises:
        ModelNotFoundError: nothing has that name.
        SavedModelError: the folder is damaged, or holds something else.
        WeightsError: torchvision's weights could not be fetched.
    """
    if isinstance(model, Learner):
        return Pretrained(model.eval(), {})
    if not isinstance(model, str | Path) or not str(model):
        raise ModelNotFoundError(f"a model is given by its name or a path, got {shown(model)}; {_choices()}")
    shipped = shipped_models()
    if Path(model).is_dir():
        return _read(Path(model))
    if str(model) in shipped:
        return _read(shipped[str(model)])
    if str(model) in TORCHVISION:
        return Pretrained(_plain_backbone(str(model)), {})
    if isinstance(model, str) and _HUB_ID.fullmatch(model) and not model.startswith("."):
        return _read(_download(model))
    raise ModelNotFoundError(f"there is no model {str(model)!r}; {_choices()}")


def _choices() -> str:
    return (
        f"models that ship with the package: {', '.join(shipped_models()) or 'none'}; backbones without FiLM: "
        f"{', '.join(TORCHVISION)}; or give the folder of a saved model, or owner/name on the Hugging Face hub"
    )


def _read(folder: Path) -> Pretrained:
    saved = load_model(folder)
    if saved.config.get("kind") != FITTED:
        return _pretrained(saved, None)
    start = "learner."
    weights = {key.removeprefix(start): value for key, value in saved.weights.items() if key.startswith(start)}
    return _pretrained(SavedModel(folder, saved.config["learner"], weights), saved)


def _pretrained(saved: SavedModel, fitted: SavedModel | None) -> Pretrained:
    measured = (saved.config.get("training") or {}).get("temperatures") or {}
    temperatures = {float(shot): float(value) for shot, value in measured.items()}
    return Pretrained(learner_of(saved), saved.config, temperatures, fitted)


def _plain_backbone(name: str) -> Learner:
    weights = BackboneConfig(name=name, image_size=TORCHVISION_SIZE, weights="IMAGENET1K_V1")
    return SimpleCNAPS(SimpleCNAPSConfig(backbone=weights, adaptation="none")).eval()


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
            f"({type(error).__name__}: {str(error).splitlines()[0]}); {_choices()}"
        ) from error
