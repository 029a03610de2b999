"""Every method that works on a backbone as it is, on the same episodes: what the head alone makes of given features.

    python -m benchmarks.methods run --model runs/cifar-fs/pretrain/model --root cifar-100.zip

One pre-trained backbone, frozen; no method is meta-trained. Simple CNAPS's head comes first, and its paired gain over
each of the others is given. FiT can be named too; its gradient steps go through the backbone for every support set,
which takes far longer than all the others together: name it with few episodes.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

from benchmarks.paired import as_table, paired
from fewshot_film.commands.baselines import PIXELS, without_training
from fewshot_film.commands.common import open_images
from fewshot_film.config.data import DataConfig
from fewshot_film.learners import load_learner
from fewshot_film.run.command import Command, main
from fewshot_film.run.results import write_result

FIRST = "simple-cnaps"


@dataclass(frozen=True)
class MethodsConfig:
    """Which backbone, asked about what."""

    model: str
    """Folder of a model; its backbone is used."""
    root: str
    """The pictures: the zip or the folder."""
    source: str = "cifar-fs"
    """What the pictures are; the test classes are used."""
    cache: str = ""
    """Folder for the decoded pictures; empty: none."""
    methods: tuple[str, ...] = (
        "prototypes",
        "lda",
        "qda",
        "transductive-cnaps",
        "fine-tuning",
        PIXELS,
    )
    """What stands beside Simple CNAPS."""
    shots: tuple[int, ...] = (1, 5)
    """Support pictures a class."""
    episodes: int = 600
    """Episodes for each row."""
    out: str = "benchmarks/results/cifar_fs_methods.json"
    """The result file."""


def run(config: MethodsConfig) -> int:
    """Evaluate, print, write."""
    trained = load_learner(config.model)
    learners = without_training((FIRST, *config.methods), trained.backbone, trained.config)
    data = DataConfig(source=config.source, root=config.root, cache=config.cache)
    images = open_images(data, "test", trained.config.backbone)
    results = paired(images, learners, config.shots, config.episodes)
    print(as_table(config.source, results))
    write_result(Path(config.out), config=config, seed=0, results={config.source: results})
    return 0


COMMAND = Command(
    name="run",
    config=MethodsConfig,
    run="benchmarks.methods:run",
    help="Every method that works on a backbone as it is, on the same episodes.",
    examples=("python -m benchmarks.methods run --model runs/cifar-fs/pretrain/model --root cifar-100.zip",),
)

if __name__ == "__main__":
    sys.exit(main("python -m benchmarks.methods", [COMMAND]))
