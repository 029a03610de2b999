"""Simple CNAPS on one set of images, from the images to the result file: pre-train, meta-train, evaluate, collect.

    python -m benchmarks.experiment run cifar-fs --root cifar-100.zip
    python -m benchmarks.experiment run cifar-fs-record --root cifar-100.zip
    python -m benchmarks.experiment folder --root images.zip --split_seed 0 --name mine

``run`` knows the experiments in `EXPERIMENTS`; ``folder`` takes any folder or zip with a sub-folder per class, by
default with the settings of CIFAR-FS, and splits its classes into training, validation and test classes by their
folders (``train/``, ``val/``, ``test/``), by a file, or at random with a seed (64 : 16 : 20).

An experiment is the two files ``pretrain.yaml`` and ``train.yaml`` of a folder in ``configs``, or the first alone, and
the tasks that its numbers are for. Started again, it goes on where it was stopped; a training whose model is there is
not repeated. Some train several networks apart and join them to one model. Which of the models is the result, and what
is made of its features, is decided by the validation classes, before the test classes are looked at.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean
from typing import Annotated, Any, Literal

from fewshot_film.cli import COMMANDS as FEW_SHOT_COMMANDS
from fewshot_film.run.command import Command, main
from fewshot_film.run.results import write_result
from fewshot_film.run.settings import Settings, at_least

HERE = Path(__file__).resolve().parent
STAGES = ("pretrain", "train")
PLAIN: dict[str, tuple[str, ...]] = {"plain": ()}
ROOTS_MIRRORED = "roots-mirrored"
PHOTOGRAPHS = {**PLAIN, ROOTS_MIRRORED: ("--tukey_power=0.5", "--flip_tta=true")}
"""What can be made of the features of images that may be mirrored: names, and flags of ``fewshot-film evaluate``."""
_FOLDERS = re.compile(r"""(?<![\w./:])/(?:[^/\s"']+/)+""")


@dataclass(frozen=True)
class ExperimentConfig(Settings):
    """Where an experiment finds its images and leaves its runs."""

    root: str
    """The images: the zip or the folder."""
    runs: str = ""
    """Folder for the runs and the decoded images; empty: runs/NAME."""
    out: str = ""
    """The result file; empty: benchmarks/results/NAME.json."""
    episodes: Annotated[int, at_least(2)] = 600
    """Episodes for each row."""
    processes: Annotated[int, at_least(0)] = 0
    """Processes to evaluate with, 0: one a core."""


@dataclass(frozen=True)
class Experiment:
    """What distinguishes one experiment from another."""

    name: str
    """Of its runs and of its result file."""
    source: tuple[str, ...]
    """Flags that name the source of the images: ``--data.source=...``."""
    ways: tuple[int, ...] = (5,)
    """Numbers of classes that are evaluated, each with every shot."""
    shots: tuple[int, ...] = (1, 5)
    """Numbers of support images a class that are evaluated."""
    settings: str = ""
    """Folder with pretrain.yaml, and train.yaml for meta-training, in ``configs`` or by its path; empty: the name."""
    network: tuple[str, ...] = ()
    """Settings of the backbone that differ from the files: ``image_size=48``."""
    features: Mapping[str, tuple[str, ...]] = field(default_factory=PLAIN.copy)
    """What may be made of the features, by name; the validation classes choose for each model."""
    networks: int = 1
    """How many are pre-trained, with seeds 0, 1 and so on, and joined to one model."""

    def run(self, config: ExperimentConfig) -> int:
        """Do what is not done yet and write the result file; the exit status of the first command that fails, or 0."""
        runs = Path(config.runs or f"runs/{self.name}")
        for words in self.commands(config, runs):
            print(f"\n$ fewshot-film {' '.join(words)}", flush=True)
            status = main("fewshot-film", FEW_SHOT_COMMANDS, words)
            if status:
                return status
        out = Path(config.out or HERE / "results" / f"{self.file_name}.json")
        write_result(out, config=config, seed=0, results=collect(runs, self.features, self.stages))
        return 0

    @property
    def folder(self) -> Path:
        """Where its settings are."""
        return HERE.parent / "configs" / (self.settings or self.name)

    @property
    def stages(self) -> tuple[str, ...]:
        """The trainings that there are settings for."""
        return tuple(stage for stage in STAGES if (self.folder / f"{stage}.yaml").is_file())

    @property
    def file_name(self) -> str:
        """Of the result file, without its ending."""
        return self.name.replace("-", "_")

    def commands(self, config: ExperimentConfig, runs: Path) -> Iterator[list[str]]:
        """The commands that are left, each made when the one before it is done."""
        data = [*self.source, f"--data.root={config.root}", f"--data.cache={runs / 'images'}"]
        flags = {
            "pretrain": [f"--backbone.{setting}" for setting in self.network],
            "train": [
                f"--learner.backbone.weights={runs / 'pretrain' / 'model'}",
                *(f"--learner.backbone.{setting}" for setting in self.network),
            ],
        }
        for stage in self.stages:
            if (runs / stage / "model").is_dir():
                continue
            words = [stage, f"--config={self.folder / f'{stage}.yaml'}", "--resume", *flags[stage], *data]
            if stage == "train" or self.networks == 1:
                yield [*words, f"--out={runs / stage}"]
            else:
                yield from self._apart(words, runs / stage)
        tasks = [f"--ways={list(self.ways)}", f"--shots={list(self.shots)}", f"--episodes={config.episodes}"]
        tasks.append(f"--processes={config.processes}")
        models = {stage: [str(runs / stage / "model"), *tasks, *data] for stage in self.stages}
        for stage, model in models.items():
            for name, changes in self.features.items():
                out = f"--out={_validation_file(runs / stage, name)}"
                yield ["evaluate", *model, "--split=val", out, "--overwrite", *changes]
        for stage, model in models.items():
            chosen = preferred(_validation(runs / stage, self.features))
            out = f"--out={runs / stage / 'test.json'}"
            yield ["evaluate", *model, "--split=test", out, "--overwrite", *self.features[chosen]]

    def _apart(self, words: Sequence[str], folder: Path) -> Iterator[list[str]]:
        """The commands that train networks of different seeds, where that is not done, and join them."""
        folders = [folder / f"seed-{seed}" for seed in range(self.networks)]
        for seed, one in enumerate(folders):
            if not (one / "model").is_dir():
                yield [*words, f"--out={one}", f"--loop.seed={seed}"]
        yield ["join", f"--models=[{','.join(str(one / 'model') for one in folders)}]", f"--out={folder / 'model'}"]


EXPERIMENTS = {
    experiment.name: experiment
    for experiment in (
        Experiment("cifar-fs", ("--data.source=cifar-fs",), features=PHOTOGRAPHS),
        Experiment("cifar-fs-record", ("--data.source=cifar-fs",), features=PHOTOGRAPHS),
        Experiment("cifar-fs-record-long", ("--data.source=cifar-fs",), features=PHOTOGRAPHS),
        Experiment(
            "cifar-fs-record-joined",
            ("--data.source=cifar-fs",),
            settings="cifar-fs-record-long",
            features=PHOTOGRAPHS,
            networks=3,
        ),
        Experiment("fc100", ("--data.source=fc100",), features=PHOTOGRAPHS),
        Experiment("fc100-record", ("--data.source=fc100",), features=PHOTOGRAPHS),
        Experiment("mini-imagenet", ("--data.source=mini-imagenet",), features=PHOTOGRAPHS),
        Experiment("omniglot", ("--data.source=omniglot", "--data.rotations=true"), ways=(5, 20)),
    )
}
"""The 20 test classes of Bertinetto et al. 2019 (CIFAR-FS), of Oreshkin et al. 2018, of superclasses that training
never saw (FC100), and of Ravi and Larochelle 2017 (mini-ImageNet: the published network at 84 x 84, hours on a GPU);
the test characters of Vinyals' split with rotations (Omniglot)."""


@dataclass(frozen=True, kw_only=True)
class KnownConfig(ExperimentConfig):
    """One of the known experiments."""

    experiment: Literal[
        "cifar-fs",
        "cifar-fs-record",
        "cifar-fs-record-long",
        "cifar-fs-record-joined",
        "fc100",
        "fc100-record",
        "mini-imagenet",
        "omniglot",
    ]
    """Which of them."""


@dataclass(frozen=True)
class FolderConfig(ExperimentConfig):
    """A set of one's own and how its classes are split."""

    name: str = "small-images"
    """Of the runs and of the result file."""
    split_file: str = ""
    """JSON file with the class names of train, val and test."""
    split_seed: Annotated[int | None, at_least(0)] = None
    """Split the classes into train, val and test at random with this seed."""
    image_size: Annotated[int, at_least(1)] = 32
    """Side that every image is resized to, pixels; 24 to 64 suit the network."""
    shots: Annotated[tuple[int, ...], at_least(1)] = (1, 5)
    """Numbers of support images per class that are evaluated."""
    flip_tta: bool = True
    """Try on the validation classes whether averaging over mirror images helps; false for images with writing."""
    settings: str = "cifar-fs"
    """Folder with pretrain.yaml, and with train.yaml if it is to be meta-trained: one of ``configs``, or any other by
    its path."""


def run(config: KnownConfig) -> int:
    """Train and evaluate one of `EXPERIMENTS`."""
    return EXPERIMENTS[config.experiment].run(config)


def run_folder(config: FolderConfig) -> int:
    """Train and evaluate on a folder of images."""
    source = ["--data.source=folder"]
    if config.split_file:
        source.append(f"--data.split_file={config.split_file}")
    if config.split_seed is not None:
        source.append(f"--data.split_seed={config.split_seed}")
    network = (f"image_size={config.image_size}",)
    features = PHOTOGRAPHS if config.flip_tta else PLAIN
    return Experiment(
        config.name, tuple(source), shots=config.shots, settings=config.settings, network=network, features=features
    ).run(config)


def preferred(validation: Mapping[str, Mapping[str, Any]]) -> str:
    """The name whose rows have the highest mean accuracy."""
    return max(validation, key=lambda name: fmean(row["mean"] for row in validation[name].values()))


def collect(runs: Path, features: Iterable[str], stages: Iterable[str] = STAGES) -> dict[str, Any]:
    """What the trainings cost and reached, with their curves, and which of them the validation classes prefer.

    Of networks that were trained apart, the curve is that of the first, the cost that of all.

    Args:
        runs: folder of the trainings.
        features: names of what was made of the features in the evaluations.
        stages: names of the trainings.
    """
    found: dict[str, Any] = {stage: _collect_stage(runs / stage, features) for stage in stages}
    best = {stage: found[stage]["validation"][found[stage]["features"]] for stage in found}
    return {"chosen_by_validation": preferred(best), **found}


def _collect_stage(folder: Path, features: Iterable[str]) -> dict[str, Any]:
    trained = sorted(folder.glob("seed-*")) or [folder]
    curves = [
        [json.loads(line) for line in (one / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
        for one in trained
    ]
    curve = curves[0]
    validation = _validation(folder, features)
    return {
        "starts": without_folders([start for one in trained for start in _read(one / "environment.json")]),
        "networks": len(trained),
        "seconds": sum(max(line["seconds"] for line in each) for each in curves),
        "features": preferred(validation),
        "validation": validation,
        "test": _read(folder / "test.json")["results"],
        "curve": curve,
    }


def _validation(folder: Path, features: Iterable[str]) -> dict[str, Any]:
    """Rows of the validation classes for everything that was made of the features, without the single episodes."""
    found = {name: _read(_validation_file(folder, name))["results"] for name in features}
    for rows in found.values():
        for row in rows.values():
            del row["values"]
    return found


def _validation_file(folder: Path, features: str) -> Path:
    return folder / f"val-{features}.json"


def without_folders(record: Any) -> Any:
    """A record whose absolute paths are reduced to their last part: where data lay says nothing to others."""
    if isinstance(record, dict):
        return {key: without_folders(value) for key, value in record.items()}
    if isinstance(record, list):
        return [without_folders(value) for value in record]
    return _FOLDERS.sub("", record) if isinstance(record, str) else record


def _read(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


COMMANDS = [
    Command(
        name="run",
        config=KnownConfig,
        run="benchmarks.experiment:run",
        help="One of the known experiments, from the images to its result file.",
        examples=(
            "python -m benchmarks.experiment run cifar-fs --root cifar-100.zip",
            "python -m benchmarks.experiment run cifar-fs-record --root cifar-100.zip",
            "python -m benchmarks.experiment run cifar-fs-record-joined --root cifar-100.zip",
            "python -m benchmarks.experiment run fc100 --root cifar-100.zip",
            "python -m benchmarks.experiment run fc100-record --root cifar-100.zip",
            "python -m benchmarks.experiment run mini-imagenet --root mini-imagenet.zip",
            "python -m benchmarks.experiment run omniglot --root omniglot.zip",
        ),
        positionals=("experiment",),
    ),
    Command(
        name="folder",
        config=FolderConfig,
        run="benchmarks.experiment:run_folder",
        help="The same on a folder of small images.",
        examples=(
            "python -m benchmarks.experiment folder --root images.zip --split_seed 0 --name mine",
            "python -m benchmarks.experiment folder --root images --split_file split.json --name mine",
            "python -m benchmarks.experiment folder --root images --settings cifar-fs-record --name mine",
        ),
    ),
]

if __name__ == "__main__":
    sys.exit(main("python -m benchmarks.experiment", COMMANDS))
