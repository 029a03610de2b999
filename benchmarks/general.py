"""The general small learner that ships with the package: pre-trained, meta-trained, calibrated, stored.

    python -m benchmarks.general run --omniglot omniglot.zip --cifar cifar-100.zip

Trained with the settings in ``configs/general`` on the training classes of Omniglot, CIFAR-FS and the generated
domains. The weights are stored in half precision in ``fewshot_film/pretrained/general-small``; no picture is in them.
Started again, it goes on where it was stopped.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

from benchmarks.experiment import without_folders
from benchmarks.paired import as_table, paired
from fewshot_film.cli import COMMANDS
from fewshot_film.commands.common import open_images
from fewshot_film.config import BackboneConfig, SimpleCNAPSConfig
from fewshot_film.config.data import DataConfig, SourceConfig
from fewshot_film.data import ImageSet
from fewshot_film.data.domains import domains_of
from fewshot_film.learners import Learner, SimpleCNAPS, load_learner
from fewshot_film.run.command import Command, main
from fewshot_film.run.files import write_text_atomically
from fewshot_film.run.results import write_result
from fewshot_film.run.saved_model import load_model, save_model

HERE = Path(__file__).resolve().parent
CONFIGS = HERE.parent / "configs" / "general"
OUT = HERE / "results" / "general.json"
FILM, PLAIN, PIXELS = "Simple CNAPS", "without FiLM", "raw pixels"
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
    episodes: int = 600
    """Episodes for each row of the measurements."""

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


def test_pictures(data: DataConfig, domain: str, backbone: BackboneConfig) -> ImageSet:
    """Pictures of the test classes of one domain."""
    (chosen,) = [one for one in domains_of(data) if one.name == domain]
    return open_images(DataConfig(sources=(chosen,), cache=data.cache), "test", backbone)


def run(config: GeneralConfig) -> int:
    """Train what is missing, store, calibrate, measure, describe."""
    train = Path(config.runs) / "train" / "model"
    for words in trainings(config):
        print(f"\n$ fewshot-film {' '.join(words)}", flush=True)
        status = main("fewshot-film", COMMANDS, [*words, *config.flags()])
        if status:
            return status
    store(train, SHIPPED)
    status = main("fewshot-film", COMMANDS, ["calibrate", str(SHIPPED), *config.flags()])
    if status:
        return status
    results = measure(config, load_learner(SHIPPED))
    write_result(OUT, config=config, seed=0, results=results)
    write_text_atomically(SHIPPED / "README.md", card(results, config.weights))
    return 0


def trainings(config: GeneralConfig) -> Iterator[list[str]]:
    """The commands that are left to do."""
    pretrain, train = (Path(config.runs) / stage for stage in ("pretrain", "train"))
    if not config.weights and not (pretrain / "model").is_dir():
        yield ["pretrain", f"--config={CONFIGS / 'pretrain.yaml'}", f"--out={pretrain}", "--resume"]
    if not (train / "model").is_dir():
        weights = f"--learner.backbone.weights={config.weights or pretrain / 'model'}"
        yield ["train", f"--config={CONFIGS / 'train.yaml'}", f"--out={train}", "--resume", weights]


def measure(config: GeneralConfig, learner: Learner) -> dict[str, Any]:
    """The learner on test classes of the domains it was trained on, beside the same weights without FiLM and pixels."""
    data = DataConfig(sources=sources(config), cache=str(Path(config.runs) / "pictures"))
    settings = cast(SimpleCNAPSConfig, learner.config)
    off = SimpleCNAPS(replace(settings, adaptation="none"), learner.backbone).eval()
    found: dict[str, Any] = {}
    for domain in domains_of(data):
        images = test_pictures(data, domain.name, learner.config.backbone)
        found[domain.name] = paired(images, {FILM: learner, PLAIN: off, PIXELS: None}, (1, 5), config.episodes)
        print(as_table(domain.name, found[domain.name]), flush=True)
    return found


def store(model: Path, folder: Path) -> None:
    """Copy a saved model with its weights in half precision, in half the room; loaded, they are single again."""
    saved = load_model(model)
    half = {name: value.half() if value.is_floating_point() else value for name, value in saved.weights.items()}
    text = (model / "README.md").read_text(encoding="utf-8")
    save_model(folder, half, {**saved.config, "training": without_folders(saved.config["training"])}, text)


def card(results: dict[str, Any], weights: str = "") -> str:
    """The model card, with the numbers measured.

    Args:
        results: what was measured.
        weights: what the backbone started from; empty: `configs/general/pretrain.yaml`.
    """
    start = "a backbone pre-trained on CIFAR-FS alone" if weights else "`configs/general/pretrain.yaml`"
    learner = load_learner(SHIPPED)
    backbone, size = learner.config.backbone, (SHIPPED / "model.safetensors").stat().st_size / 2**20
    tables = "\n\n".join(as_table(domain, rows) for domain, rows in results.items())
    return f"""# general-small

A few-shot classifier for small pictures of any kind: Simple CNAPS, {backbone.name} of width {backbone.width} at
{backbone.image_size} x {backbone.image_size} pixels, {sum(p.numel() for p in learner.parameters()):,} parameters in
half precision, {size:.1f} MiB.

- **Trained on** the training classes of Omniglot (MIT licence; Vinyals' split, with rotations), of CIFAR-FS (pictures
  of CIFAR-100, for research), and of the generated domains (glyphs, creatures, textures). No picture is contained.
- **How:** from {start}, then `configs/general/train.yaml`; `config.json` has every
  setting, and the temperatures measured on validation episodes.
- **Limits:** it sees {backbone.image_size} x {backbone.image_size} pixels; fine detail of larger ones is lost to it.
  The numbers below are for classes that it was not trained on, of kinds of pictures that it was;
  `benchmarks/leave_one_domain_out.py` measures kinds that were held out.
- **Licence:** MIT, as the project.

Accuracy in %, 5-way episodes of test classes, 10 queries a class; gains are paired, with 95 % intervals.

{tables}
"""


COMMAND = Command(
    name="run",
    config=GeneralConfig,
    run="benchmarks.general:run",
    help="Make the general small learner that ships with the package.",
    examples=("python -m benchmarks.general run --omniglot omniglot.zip --cifar cifar-100.zip",),
)

if __name__ == "__main__":
    sys.exit(main("python -m benchmarks.general", [COMMAND]))
