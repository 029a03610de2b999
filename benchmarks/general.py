"""The general small learner that ships with the package, and whether FiLM helps on kinds of images never trained on.

    python -m benchmarks.general run --omniglot omniglot.zip --cifar cifar-100.zip

pre-trains, meta-trains, gives FiLM, calibrates and stores it, with the settings in ``configs/general``, on the training
classes of Omniglot, CIFAR-FS, the generated domains and, in the last step, objects cut out of CLEVR's scenes:
``pretrain.yaml``, ``train.yaml``, and ``templates.yaml``, which leaves the backbone as it is. Measured on test classes
of these, and on kinds of images that no training saw: scikit-learn's digits, and any that ``--unseen`` names. The
weights are stored in half precision in ``fewshot_film/pretrained/general-small``; no image is in them.

    python -m benchmarks.general leave-one-out --omniglot omniglot.zip --cifar cifar-100.zip

holds out each domain in turn: a backbone is pre-trained on the others and frozen, and FiLM is meta-trained on episodes
of the others (``film.yaml``). Simple CNAPS, the same backbone without FiLM, and the nearest class mean of raw pixels
then classify the same episodes of the held-out domain's test classes. ``--weights`` takes the place of the pre-training
where there is a backbone that never saw the held-out domains; domains can be done one at a time.

Started again, both go on where they were stopped.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Annotated, Any, cast

import numpy as np
from sklearn.datasets import load_digits

from benchmarks.experiment import without_folders
from benchmarks.methods import as_table, paired
from clevr.cli import COMMANDS as CLEVR_COMMANDS
from fewshot_film.cli import COMMANDS as FEW_SHOT_COMMANDS
from fewshot_film.commands.common import open_images
from fewshot_film.config import BackboneConfig, SimpleCNAPSConfig
from fewshot_film.config.data import DataConfig, SourceConfig
from fewshot_film.data import ImageSet
from fewshot_film.data.arrays import ArraySource
from fewshot_film.data.decoding import decode
from fewshot_film.data.domains import domains_of
from fewshot_film.learners import Learner, SimpleCNAPS, load_learner
from fewshot_film.run.command import Command, main
from fewshot_film.run.files import write_text_atomically
from fewshot_film.run.model_folder import load_model, save_model
from fewshot_film.run.results import write_result
from fewshot_film.run.settings import Settings, at_least

HERE = Path(__file__).resolve().parent
CONFIGS = HERE.parent / "configs" / "general"
OUT = HERE / "results" / "general.json"
FILM, PLAIN, PIXELS = "Simple CNAPS", "without FiLM", "raw pixels"
UNSEEN = "a kind not trained on"
SHIPPED = HERE.parent / "fewshot_film" / "pretrained" / "general-small"


@dataclass(frozen=True)
class GeneralConfig(Settings):
    """Where the data are and the runs go."""

    omniglot: str
    """Omniglot: the zip or the folder."""
    cifar: str
    """CIFAR-100: the zip or the folder."""
    runs: str = "runs/general"
    """Folder for the runs and the decoded images."""
    weights: str = ""
    """A backbone to start meta-training from; empty: pre-train one on the same domains."""
    episodes: Annotated[int, at_least(2)] = 600
    """Episodes for each row of the measurements."""
    unseen: tuple[str, ...] = ()
    """Folders or zips of further kinds of images that no training saw, a sub-folder a class, to measure on too."""

    @property
    def objects(self) -> Path:
        """Folder of the objects cut out of CLEVR's scenes."""
        return Path(self.runs) / "clevr-objects"

    def flags(self, *, objects: bool = True) -> list[str]:
        """What the commands are told of the data."""
        given = [item if isinstance(item, str) else asdict(item) for item in sources(self, objects=objects)]
        return [f"--data.sources={json.dumps(given)}", f"--data.cache={Path(self.runs) / 'images'}"]


def sources(config: GeneralConfig, *, objects: bool = True) -> tuple[str | SourceConfig, ...]:
    """The domains, as the data settings have them."""
    omniglot = SourceConfig(source="omniglot", root=config.omniglot, rotations=True)
    cifar = SourceConfig(source="cifar-fs", root=config.cifar, weight=2)
    cut_out = SourceConfig(source="folder", name="objects", root=str(config.objects))
    return (omniglot, cifar, "generated", *([cut_out] if objects else []))


def test_images(data: DataConfig, domain: str, backbone: BackboneConfig) -> ImageSet:
    """Images of the test classes of one domain."""
    (chosen,) = [one for one in domains_of(data) if one.name == domain]
    return open_images(DataConfig(sources=(chosen,), cache=data.cache), "test", backbone)


def run(config: GeneralConfig) -> int:
    """Train what is missing, store, calibrate, measure, describe."""
    make_objects(config)
    for words in trainings(config):
        print(f"\n$ fewshot-film {' '.join(words)}", flush=True)
        status = main("fewshot-film", FEW_SHOT_COMMANDS, words)
        if status:
            return status
    store(Path(config.runs) / "templates" / "model", SHIPPED)
    status = main("fewshot-film", FEW_SHOT_COMMANDS, ["calibrate", str(SHIPPED), *config.flags()])
    if status:
        return status
    results = measure(config, load_learner(SHIPPED))
    write_result(OUT, config=config, seed=0, results=results)
    write_text_atomically(SHIPPED / "README.md", card(results, config.weights))
    return 0


def trainings(config: GeneralConfig) -> Iterator[list[str]]:
    """The commands that are left to do."""
    pretrain, train, templates = (Path(config.runs) / stage for stage in ("pretrain", "train", "templates"))
    backbone, film = config.flags(objects=False), config.flags()
    if not config.weights and not (pretrain / "model").is_dir():
        yield ["pretrain", f"--config={CONFIGS / 'pretrain.yaml'}", f"--out={pretrain}", "--resume", *backbone]
    if not (train / "model").is_dir():
        weights = f"--learner.backbone.weights={config.weights or pretrain / 'model'}"
        yield ["train", f"--config={CONFIGS / 'train.yaml'}", f"--out={train}", "--resume", weights, *backbone]
    if not (templates / "model").is_dir():
        weights = f"--learner.backbone.weights={train / 'model'}"
        yield ["train", f"--config={CONFIGS / 'templates.yaml'}", f"--out={templates}", "--resume", weights, *film]


def measure(config: GeneralConfig, learner: Learner) -> dict[str, Any]:
    """The learner on test classes, beside the same weights without FiLM and pixels.

    Domain by domain for those that it was trained on, then for kinds that it was not.
    """
    data = DataConfig(sources=sources(config), cache=str(Path(config.runs) / "images"))
    backbone = learner.config.backbone
    sets = {domain.name: partial(test_images, data, domain.name, backbone) for domain in domains_of(data)}
    sets[f"scikit-learn's digits ({UNSEEN})"] = partial(digits, backbone)
    for path in config.unseen:
        pictures = DataConfig(source="folder", root=path, cache=data.cache)
        sets[f"{Path(path).stem} ({UNSEEN})"] = partial(open_images, pictures, "", backbone)
    found: dict[str, Any] = {}
    for name, pictures_of in sets.items():
        found[name] = beside_plain(learner, pictures_of(), (1, 5), config.episodes)
        print(as_table(name, found[name]), flush=True)
    return found


def beside_plain(learner: Learner, images: ImageSet, shots: Sequence[int], episodes: int) -> dict[str, Any]:
    """A learner beside the same backbone and head with features as they are, and raw pixels; see `paired`."""
    settings = cast(SimpleCNAPSConfig, learner.config)
    plain = SimpleCNAPS(
        replace(settings, adaptation="none", templates=(), feature_scaling=0.0), learner.backbone
    ).eval()
    return paired(images, {FILM: learner, PLAIN: plain, PIXELS: None}, shots, episodes)


def make_objects(config: GeneralConfig) -> None:
    """Objects cut out of 1,000 generated scenes, where they are not there yet."""
    if main("clevr-film", CLEVR_COMMANDS, ["objects", f"--out={config.objects}"]):
        raise SystemExit("the objects could not be made; see above")


def digits(backbone: BackboneConfig) -> ImageSet:
    """The 1,797 drawings of digits, 8 x 8 pixels, that scikit-learn contains."""
    drawn = load_digits()
    pictures = (drawn.images * 255 / 16).round().astype(np.uint8)
    source = ArraySource("digits", [str(name) for name in drawn.target_names], drawn.target, pictures)
    return decode(source, backbone.image_size, backbone.channels)


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

A few-shot classifier for small images of any kind: Simple CNAPS, {backbone.name} of width {backbone.width} at
{backbone.image_size} x {backbone.image_size} pixels, {sum(p.numel() for p in learner.parameters()):,} parameters in
half precision, {size:.1f} MiB.

- **Trained on** the training classes of Omniglot (MIT licence; Vinyals' split, with rotations), of CIFAR-FS (images
  of CIFAR-100, for research), of the generated data sets (glyphs, creatures, textures), and, for FiLM only, of objects
  cropped from CLEVR scenes. It contains no images.
- **How:** from {start}, then `configs/general/train.yaml`, then
  `configs/general/templates.yaml`: FiLM is a blend of learned values, one set for each of these kinds of
  images, weighted by how similar the support set is to each kind. To the extent that it resembles none of them,
  features are divided by the square root of their standard deviation over the support set. `config.json` has all
  settings of the last step, and the temperatures measured on validation episodes.
- **Limits:** it sees {backbone.image_size} x {backbone.image_size} pixels; fine detail in larger images is lost.
  The results below are for classes that it was not trained on, of kinds of images that it was trained on unless marked.
- **Licence:** MIT, like the project.

Accuracy in %, 5-way episodes of test classes, 10 queries per class; gains are paired, with 95 % intervals.

{tables}
"""


@dataclass(frozen=True)
class LeaveOneOutConfig(GeneralConfig):
    """Which domains are held out, and where the data and the runs are."""

    domains: tuple[str, ...] = ()
    """Domains to hold out, each in turn; empty: all."""
    out: str = "benchmarks/results/leave_one_domain_out.json"
    """The result file."""
    shots: Annotated[tuple[int, ...], at_least(1)] = (1, 5)
    """Support images a class that are evaluated."""


def leave_one_out(config: LeaveOneOutConfig) -> int:
    """Train what is missing, evaluate, print, write."""
    data = DataConfig(sources=sources(config, objects=False), cache=str(Path(config.runs) / "images"))
    results: dict[str, Any] = {}
    for domain in config.domains or [domain.name for domain in domains_of(data)]:
        for words in held_out_trainings(config, domain):
            print(f"\n$ fewshot-film {' '.join(words)}", flush=True)
            status = main("fewshot-film", FEW_SHOT_COMMANDS, words)
            if status:
                return status
        learner = load_learner(held_out_folders(config, domain)[1] / "model")
        images = test_images(data, domain, learner.config.backbone)
        results[domain] = beside_plain(learner, images, config.shots, config.episodes)
        print(as_table(f"{domain} held out", results[domain]), flush=True)
        write_result(Path(config.out), config=config, seed=0, results=results)
    return 0


def held_out_folders(config: LeaveOneOutConfig, domain: str) -> tuple[Path, Path]:
    """Runs of one held-out domain: pre-training, and FiLM."""
    runs = Path(config.runs) / f"without-{domain}"
    return runs / "pretrain", runs / "film"


def held_out_trainings(config: LeaveOneOutConfig, domain: str) -> Iterator[list[str]]:
    """The commands that are left to do for a domain."""
    pretrain, film = held_out_folders(config, domain)
    common = [*config.flags(objects=False), f"--data.held_out={domain}", "--resume"]
    weights = f"--learner.backbone.weights={config.weights or pretrain / 'model'}"
    if not config.weights and not (pretrain / "model").is_dir():
        yield ["pretrain", f"--config={CONFIGS / 'pretrain.yaml'}", f"--out={pretrain}", *common]
    if not (film / "model").is_dir():
        yield ["train", f"--config={CONFIGS / 'film.yaml'}", f"--out={film}", weights, *common]


COMMANDS = [
    Command(
        name="run",
        config=GeneralConfig,
        run="benchmarks.general:run",
        help="Make the general small learner that ships with the package.",
        examples=("python -m benchmarks.general run --omniglot omniglot.zip --cifar cifar-100.zip",),
    ),
    Command(
        name="leave-one-out",
        config=LeaveOneOutConfig,
        run="benchmarks.general:leave_one_out",
        help="Hold out each domain in turn; Simple CNAPS beside the same without FiLM and raw pixels.",
        examples=(
            "python -m benchmarks.general leave-one-out --omniglot omniglot.zip --cifar cifar-100.zip",
            "python -m benchmarks.general leave-one-out --omniglot omniglot.zip --cifar cifar.zip --domains [textures]",
        ),
    ),
]

if __name__ == "__main__":
    sys.exit(main("python -m benchmarks.general", COMMANDS))
