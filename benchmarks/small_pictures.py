"""Simple CNAPS on any set of small pictures, by default with the settings of CIFAR-FS: see `benchmarks.experiment`.

The pictures lie in one folder or zip with a sub-folder for each class. Its classes are training, validation and test
classes by their folders (``train/``, ``val/``, ``test/``), by a file, or by a draw with a seed (64 : 16 : 20).
"""

from __future__ import annotations

import sys
from dataclasses import dataclass

from benchmarks.experiment import PHOTOGRAPHS, PLAIN, Experiment, ExperimentConfig
from fewshot_film.run.command import Command, main


@dataclass(frozen=True)
class SmallPicturesConfig(ExperimentConfig):
    """A set of one's own and how its classes are split."""

    name: str = "small-pictures"
    """Of the runs and of the result file."""
    split_file: str = ""
    """JSON file with the class names of train, val and test."""
    split_seed: int | None = None
    """Deal the classes to train, val and test by a draw with this seed."""
    image_size: int = 32
    """Side that every picture is brought to, pixels; 24 to 64 suit the network."""
    shots: tuple[int, ...] = (1, 5)
    """Numbers of support pictures a class that are evaluated."""
    mirror: bool = True
    """Try on the validation classes whether averaging over mirror images helps; false for pictures with writing."""
    settings: str = "cifar-fs"
    """Folder with pretrain.yaml and train.yaml: one of ``configs``, or any other by its path."""


def run(config: SmallPicturesConfig) -> int:
    """Train and evaluate."""
    source = ["--data.source=folder"]
    if config.split_file:
        source.append(f"--data.split_file={config.split_file}")
    if config.split_seed is not None:
        source.append(f"--data.split_seed={config.split_seed}")
    network = (f"image_size={config.image_size}",)
    features = PHOTOGRAPHS if config.mirror else PLAIN
    return Experiment(
        config.name, tuple(source), shots=config.shots, settings=config.settings, network=network, features=features
    ).run(config)


COMMAND = Command(
    name="run",
    config=SmallPicturesConfig,
    run="benchmarks.small_pictures:run",
    help="Simple CNAPS on a folder of small pictures, from the pictures to the result file.",
    examples=(
        "python -m benchmarks.small_pictures run --root pictures.zip --split_seed 0 --name mine",
        "python -m benchmarks.small_pictures run --root pictures --split_file split.json --name mine",
    ),
)

if __name__ == "__main__":
    sys.exit(main("python -m benchmarks.small_pictures", [COMMAND]))
