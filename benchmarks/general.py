"""The general small learner that ships with the package: pre-trained, meta-trained, calibrated, stored.

    python -m benchmarks.general run --omniglot omniglot.zip --cifar cifar-100.zip

Trained with the settings in ``configs/general`` on the training classes of Omniglot, CIFAR-FS and the generated
domains. The weights are stored in half precision in ``fewshot_film/pretrained/general-small``; no picture is in them.
Started again, it goes on where it was stopped.
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path

from fewshot_film.cli import COMMANDS
from fewshot_film.config.data import SourceConfig
from fewshot_film.run.command import Command, main
from fewshot_film.run.saved_model import load_model, save_model

HERE = Path(__file__).resolve().parent
CONFIGS = HERE.parent / "configs" / "general"
SHIPPED = HERE.parent / "fewshot_film" / "pretrained" / "general-small"


@dataclass(frozen=True)
class GeneralConfig:
    """Where the data are and the runs go."""

    omniglot: str
    """Omniglot: the zip or the folder."""
    cifar: str
    """CIFAR-100: the zip or the folder."""
    runs: str = "runs/general"
    """Folder for the runs and the decoded pictures."""
    weights: str = ""
    """A backbone to start meta-training from; empty: pre-train one on the same domains."""

    def flags(self) -> list[str]:
        """What the commands are told of the data."""
        given = json.dumps(
            [
                {"source": "omniglot", "root": self.omniglot, "rotations": True},
                {"source": "cifar-fs", "root": self.cifar, "weight": 2},
                "generated",
            ]
        )
        return [f"--data.sources={given}", f"--data.cache={Path(self.runs) / 'pictures'}"]


def sources(config: GeneralConfig) -> tuple[str | SourceConfig, ...]:
    """The domains, as the data settings have them."""
    omniglot = SourceConfig(source="omniglot", root=config.omniglot, rotations=True)
    return (omniglot, SourceConfig(source="cifar-fs", root=config.cifar, weight=2), "generated")


def run(config: GeneralConfig) -> int:
    """Train what is missing, calibrate, store."""
    pretrain, train = (Path(config.runs) / stage for stage in ("pretrain", "train"))
    weights = f"--learner.backbone.weights={config.weights or pretrain / 'model'}"
    steps = []
    if not config.weights and not (pretrain / "model").is_dir():
        steps.append(["pretrain", f"--config={CONFIGS / 'pretrain.yaml'}", f"--out={pretrain}", "--resume"])
    if not (train / "model").is_dir():
        steps.append(["train", f"--config={CONFIGS / 'train.yaml'}", f"--out={train}", "--resume", weights])
    for words in steps:
        print(f"\n$ fewshot-film {' '.join(words)}", flush=True)
        status = main("fewshot-film", COMMANDS, [*words, *config.flags()])
        if status:
            return status
    store(train / "model", SHIPPED)
    return main("fewshot-film", COMMANDS, ["calibrate", str(SHIPPED), *config.flags()])


def store(model: Path, folder: Path) -> None:
    """Copy a saved model with its weights in half precision, in half the room; loaded, they are single again."""
    saved = load_model(model)
    half = {name: value.half() if value.is_floating_point() else value for name, value in saved.weights.items()}
    card = (model / "README.md").read_text(encoding="utf-8")
    save_model(folder, half, saved.config, card)


COMMAND = Command(
    name="run",
    config=GeneralConfig,
    run="benchmarks.general:run",
    help="Make the general small learner that ships with the package.",
    examples=("python -m benchmarks.general run --omniglot omniglot.zip --cifar cifar-100.zip",),
)

if __name__ == "__main__":
    sys.exit(main("python -m benchmarks.general", [COMMAND]))
