"""The main job of every command of both programs, on tiny data: ``python -m tests.main_jobs FOLDER [HIDDEN ...]``.

What is HIDDEN cannot be imported, as where it is not installed. The last line printed is JSON: the exit status of every
command, by its program and name.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

NETWORK = ("--backbone.width=4", "--backbone.blocks=[1,1]", "--backbone.image_size=16", "--backbone.channels=1")
SIZES = ("--batch_size=16", "--validation.way=2", "--validation.query=2", "--validation.episodes=2")
LOOP = ("--loop.steps=2", "--loop.validate_every=2", "--loop.log_every=1")
FOLDERS = ("--data.source=folder", "--data.root=labelled", "--data.split_seed=0")

JOBS: dict[tuple[str, str], str] = {
    (
        "fewshot-film",
        "pretrain",
    ): f"--out pre {' '.join((*NETWORK, *LOOP, *FOLDERS, *SIZES))}",
    ("fewshot-film", "train"): (
        f"--out meta --learner.method prototypes --learner.backbone.weights pre/model {' '.join((*LOOP, *FOLDERS))} "
        "--learner.backbone.width=4 --learner.backbone.blocks=[1,1] --learner.backbone.image_size=16 "
        "--learner.backbone.channels=1 --learner.train_backbone "
        "--episodes.way=[2] --episodes.query=2 --validation.way=2 --validation.query=2 --validation.episodes=2"
    ),
    (
        "fewshot-film",
        "evaluate",
    ): f"model {' '.join(FOLDERS)} --ways [2] --shots [1] --query 2 --episodes 3 --processes 1",
    ("fewshot-film", "classify"): "--support labelled --query labelled --model model --out named",
    ("fewshot-film", "embed"): "--query labelled --model model --out embedded --workers 1",
    ("fewshot-film", "share"): "--support labelled --model model --out shared",
    ("fewshot-film", "join"): "--models [pre/model,pre/model] --out joined",
    ("fewshot-film", "calibrate"): f"model {' '.join(FOLDERS)} --way=2 --shots=[1] --query=2 --episodes=3 --out cal",
    ("fewshot-film", "compare"): "--data labelled --models [model] --splits 3 --out compared",
    ("fewshot-film", "app"): "--models [model]",
    ("fewshot-film", "report"): "meta --root labelled",
    ("clevr-film", "generate"): (
        "--out world --split val --scenes 100 --width 32 --height 24 --questions_per_scene 2 --workers 1"
    ),
    ("clevr-film", "objects"): "--out objects --scenes 2 --width 96 --height 64 --size 12 --min_side 5 --workers 1",
    ("clevr-film", "tasks"): "counting --items 2 --difficulty 1 --width 32 --height 24 --out tasks --sheet tasks.png",
    ("clevr-film", "train"): (
        "--out reasoning --data.root world --data.train_split val --model.width=32 --model.height=24 "
        "--model.trunk_maps=[6] --model.maps=8 --model.word_dim=6 --model.hidden_dim=16 --model.classifier_maps=12 "
        "--model.classifier_dim=10 --model.blocks=2 --data.images=2 --data.questions=2 --loop.steps=2 "
        "--loop.validate_every=2 --loop.log_every=1"
    ),
    ("clevr-film", "export"): "reasoning --out exported",
    ("clevr-film", "calibrate"): "exported world --split val --images 100",
    ("clevr-film", "inspect"): "world --sheet sheet.png",
    ("clevr-film", "render"): "world --scenes 2 --parts [images,whole] --out rendered",
    ("clevr-film", "confound"): (
        "classes.yaml --out confounded --train 2 --val 2 --test 2 --width 32 --height 24 --workers 1"
    ),
    ("clevr-film", "features"): (
        "world --split val --out features --extractor.backbone=resnet18 --extractor.weights=random "
        "--extractor.size=32 --batch_size 2"
    ),
    ("clevr-film", "evaluate"): "exported world --split val",
    ("clevr-film", "ask"): 'world/images/val/CLEVR_val_000000.png "How many cubes are there?" --model exported',
    ("clevr-film", "analyse"): "exported world --train_split val --questions 100 --out analysis",
    ("clevr-film", "report"): "reasoning",
    ("clevr-film", "import"): "film.pt --out imported",
}
"""Command lines, in an order in which each finds what it needs."""


class Without:
    """A finder of modules that does not see some packages, as if they were not installed."""

    def __init__(self, finder: Any, names: Sequence[str]) -> None:
        self._finder = finder
        self._names = frozenset(names)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._finder, name)

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        """See `importlib.abc.MetaPathFinder`."""
        return None if name.partition(".")[0] in self._names else self._finder.find_spec(name, path, target)


def prepare(folder: Path) -> None:
    """A saved learner, images of six classes, and a checkpoint of the FiLM authors' kind."""
    import torch

    from fewshot_film.learners import save_learner
    from tests.classifier.small import film_learner
    from tests.clevr.reasoning.test_published import a_checkpoint
    from tests.commands.test_commands import draw_classes

    save_learner(folder / "model", film_learner(), {}, "")
    draw_classes(folder / "labelled", 12, per_class=3)
    torch.save(a_checkpoint(), folder / "film.pt")
    classes = "red-cube: {holds: [{color: red, shape: cube}]}\nblue-ball: {holds: [{color: blue, shape: sphere}]}\n"
    (folder / "classes.yaml").write_text(classes, encoding="utf-8")


def first_page(words: Sequence[str]) -> int:
    """The app up to the first page that it answers with; 0 is success."""
    from fewshot_film.app.server import serving
    from fewshot_film.config.commands import AppConfig
    from fewshot_film.errors import exit_status_of
    from fewshot_film.run.parsing import parse

    try:
        with serving(parse("fewshot-film app", AppConfig, words)) as server:
            from fastapi.testclient import TestClient

            page = TestClient(server.config.app, base_url="http://127.0.0.1").get("/")
            return int(page.status_code != 200)
    except ImportError as error:
        print(error, file=sys.stderr)
        return exit_status_of(error) or 1


def status_of(prog: str, name: str) -> int:
    """Run one job."""
    import shlex

    import clevr.cli
    import fewshot_film.cli
    from fewshot_film.run.command import main

    words = shlex.split(JOBS[prog, name])
    if (prog, name) == ("fewshot-film", "app"):
        return first_page(words)
    commands = {"fewshot-film": fewshot_film.cli.COMMANDS, "clevr-film": clevr.cli.COMMANDS}[prog]
    return main(prog, commands, [name, *words])


def run_all(folder: Path, hidden: Sequence[str]) -> dict[str, int]:
    """Exit status of every job, run in ``folder`` with some packages hidden."""
    import contextlib

    sys.meta_path[:] = [Without(finder, hidden) for finder in sys.meta_path]
    prepare(folder)
    with contextlib.chdir(folder):
        return {f"{prog} {name}": status_of(prog, name) for prog, name in JOBS}


if __name__ == "__main__":
    print(json.dumps(run_all(Path(sys.argv[1]), sys.argv[2:])))
