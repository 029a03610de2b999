"""What a command reads, looked for before torch starts: saved models, and the splits of a data set."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from clevr.config.model import TrainConfig
from clevr.data.layout import find_split
from fewshot_film.errors import SavedModelError

SHIPPED = Path(__file__).resolve().parent / "models"
"""Models that come with the package, a folder each."""


class AsksModel(Protocol):
    """Settings of a command that loads a model."""

    @property
    def model(self) -> str:
        """Its folder, or the name of one that comes with the package."""


class AsksModelAboutSplit(AsksModel, Protocol):
    """Settings of a command that loads a model and reads a split."""

    @property
    def data(self) -> Path:
        """Folder or zip in CLEVR's format."""

    @property
    def split(self) -> str:
        """Name of the split."""


def model_folder(name: str | Path) -> Path:
    """Where a model is, by the name under which it comes with the package or by its folder.

    Raises:
        SavedModelError: there is none.
    """
    folder = SHIPPED / str(name) if (SHIPPED / str(name)).is_dir() else Path(name)
    if not folder.is_dir():
        shipped = ", ".join(sorted(path.name for path in SHIPPED.glob("*/"))) or "none"
        raise SavedModelError(f"no model {name}; expected a folder that `clevr-film train` wrote, or one of: {shipped}")
    return folder


def check_model(config: AsksModel) -> None:
    """Look whether the model is there.

    Raises:
        SavedModelError: it is not.
    """
    model_folder(config.model)


def check_model_and_split(config: AsksModelAboutSplit) -> None:
    """Look whether the model and the split are there.

    Raises:
        SavedModelError: there is no such model.
        DataNotFoundError: there is no such split.
    """
    model_folder(config.model)
    find_split(config.data, config.split)


def check_training(config: TrainConfig) -> None:
    """Look whether both splits of a training are there, and the model to start from.

    Raises:
        SavedModelError: there is no such model.
        DataNotFoundError: there is no such split.
    """
    if config.weights:
        model_folder(config.weights)
    for split in (config.data.train_split, config.data.val_split):
        find_split(config.data.root, split)
