"""Small images, worlds, runs and models that the attempts work on, and every command with settings that suit them."""

from __future__ import annotations

import shlex
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from benchmarks.reliability.process import Line, run_all

Places = Mapping[str, Any]
"""Where things lie, by the names that command lines have in braces."""


@dataclass(frozen=True)
class Case:
    """One command of one program."""

    program: str
    """``fewshot-film`` or ``clevr-film``."""
    text: str
    """The command line after it, with the names of places in braces; ``{out}`` is what it writes to."""
    writes: bool = True
    """Whether it leaves files."""
    resumes: bool = False
    """Whether it needs ``--resume`` to go on with what it began."""
    changes: str = ""
    """Name of an input that it writes to: each attempt gets a copy of it in ``{out}``."""

    @property
    def name(self) -> str:
        """The command's name."""
        return self.text.split()[0]

    def reads(self) -> list[str]:
        """Names of the places that it reads from."""
        return [name for name in INPUTS if f"{{{name}}}" in self.text]

    def line(self, places: Places, out: Path) -> Line:
        """The command line."""
        if self.changes:
            places = {**places, self.changes: out / self.changes}
        return Line(
            self.program, tuple(word.format(**places, out=out) for word in shlex.split(f"{self.text} --overwrite"))
        )

    def prepare(self, places: Places, out: Path) -> None:
        """Put into ``out`` what the command expects there."""
        if self.changes and not (out / self.changes).exists():
            shutil.copytree(places[self.changes], out / self.changes)


RULES = Path(__file__).parents[2] / "examples" / "confounded" / "classes.yaml"
INPUTS = (
    "images", "queries", "few_model", "few_run", "world", "clevr_model", "clevr_run", "published", "image",
)  # fmt: skip
FOLDER = "--data.source=folder --data.root={images} --data.split_seed=0"
BACKBONE = "backbone.width=4 backbone.blocks=[1,1] backbone.image_size=16 backbone.channels=1"
EPISODES = "--validation.way=2 --validation.query=4 --validation.episodes=4"
LOOP = "--loop.log_every=5 --loop.validate_every=10 --loop.checkpoint_seconds=0"
REASONER = (
    "--model.width=32 --model.height=24 --model.trunk_maps=[6] --model.maps=8 --model.word_dim=6 --model.hidden_dim=16 "
    "--model.classifier_maps=12 --model.classifier_dim=10 --model.blocks=2 --data.images=2 --data.questions=2 "
    "--scene_weight=0.5 --trace_weight=1 --augmentation.noise=2 --unknown_words=0.1 --loop.patience=null"
)
EXTRACTOR = "--extractor.backbone=resnet18 --extractor.weights=random --extractor.size=64"
WORLD = "--width=32 --height=24 --questions_per_scene=4 --chunk=2"


def _flags(prefix: str, settings: str) -> str:
    return " ".join(f"--{prefix}{setting}" for setting in settings.split())


CASES = (
    Case(
        "fewshot-film",
        f"pretrain --out={{out}} {FOLDER} {_flags('', BACKBONE)} {EPISODES} {LOOP} --batch_size=16 "
        "--loop.steps={steps} --data.cache={out}/cache",
        resumes=True,
    ),
    Case(
        "fewshot-film",
        f"train --out={{out}} {FOLDER} {_flags('learner.', BACKBONE)} {EPISODES} {LOOP} --learner.set_encoder_layers=2 "
        "--learner.backbone.weights={few_model} --episodes.query=4 --loop.steps={steps} --loop.accumulate=2",
        resumes=True,
    ),
    Case(
        "fewshot-film",
        f"evaluate {{few_model}} {FOLDER} --ways=[2] --shots=[1,2] --query=4 --episodes={{episodes}} --processes=1 "
        "--data.cache={out}/cache --out={out}/result.json --save_episodes={out}/episodes.json",
    ),
    Case("fewshot-film", "classify --model {few_model} --support {images} --query {queries} --out {out}"),
    Case("fewshot-film", "embed --model {few_model} --query {queries} --out {out} --workers 1 --piece 2"),
    Case(
        "fewshot-film",
        f"calibrate {{few_model}} {FOLDER} --way=2 --shots=[1,2] --query=4 --episodes=4 --out={{out}}",
        changes="few_model",
    ),
    Case(
        "fewshot-film",
        "compare --data {images} --models [{few_model}] --learners [pixels,lda] --splits 4 --out {out}",
    ),
    Case("fewshot-film", "join --models [{few_model},{few_model}] --out {out}"),
    Case("fewshot-film", "report {few_run} --episodes 2 --out {out}/report.html --figures {out}/figures"),
    Case("clevr-film", f"generate --out={{out}} --split=val --scenes={{scenes}} --workers=1 {WORLD}"),
    Case(
        "clevr-film",
        f"confound {RULES} --out={{out}} --train=3 --val=3 --test=3 --width=32 --height=24 --workers=1",
    ),
    Case("clevr-film", "render {world} --out={out} --parts=[images,visible,depth,boxes] --workers=1"),
    Case(
        "clevr-film",
        "objects --out={out} --scenes={scenes} --width=96 --height=64 --size=16 --min_side=4 --workers=1 --chunk=2",
    ),
    Case(
        "clevr-film",
        f"train --out={{out}} --data.root={{world}} --data.cache={{out}}/cache {REASONER} {LOOP} "
        "--loop.steps={steps} --validation_questions=8",
        resumes=True,
    ),
    Case("clevr-film", "export {clevr_run} --out={out}"),
    Case(
        "clevr-film", "tasks --kind=counting --items=2 --width=64 --height=48 --out={out}/tasks --sheet={out}/sheet.png"
    ),
    Case("clevr-film", "inspect {world} --out={out}/found.json --sheet={out}/sheet.png"),
    Case("clevr-film", f"features {{world}} --split=val --out={{out}} {EXTRACTOR} --batch_size=1"),
    Case(
        "clevr-film",
        "evaluate {clevr_model} {world} --cache={out}/cache --out={out}/result.json --predictions={out}/answers.json "
        "--sheet={out}/sheet.png",
    ),
    Case("clevr-film", "ask {image} 'Is there a cube?' --model={clevr_model} --out={out}/answer.png"),
    Case(
        "clevr-film",
        "analyse {clevr_model} {world} --out={out} --cache={out}/cache --analyses=[histograms] --questions=100",
    ),
    Case("clevr-film", "report {clevr_run} --out={out}/report.html --figures={out}/figures --questions=8"),
    Case("clevr-film", "import {published} --out={out}"),
)
"""Every command of both programs but the apps, which serve until they are stopped."""


def case(program: str, name: str) -> Case:
    """One of the cases."""
    return next(case for case in CASES if (case.program, case.name) == (program, name))


def make_inputs(root: Path, logs: Path) -> dict[str, Any]:
    """Make everything that the commands read, mostly by the commands themselves; returns the places.

    Raises:
        RuntimeError: a command failed.
    """
    places: dict[str, Any] = {name: root / name for name in ("images", "queries", "world", "few_run", "clevr_run")}
    places |= {"few_model": root / "few_pretrained/model", "clevr_model": root / "clevr_run/model"}
    places |= {"published": root / "film.pt", "image": root / "world/images/val/CLEVR_val_000000.png"}
    places |= {"steps": 10, "episodes": 4, "scenes": 4}
    draw_classes(places["images"], 10)
    draw_classes(places["queries"], 3, per_class=2)
    generate = f"generate --out={places['world']} --scenes=10 --workers=1 {WORLD}".split()
    worlds = [Line("clevr-film", (*generate, f"--split={split}")) for split in ("train", "val")]
    runs = [
        case("fewshot-film", "pretrain").line(places, root / "few_pretrained"),
        case("fewshot-film", "train").line(places, places["few_run"]),
        case("clevr-film", "train").line(places, places["clevr_run"]),
    ]
    run_all([*worlds, *runs], logs)
    _write_published(places["published"])
    return places


def draw_classes(root: Path, num_classes: int, per_class: int = 8) -> None:
    """Folders of images; every class is one random pattern with noise on it."""
    rng = np.random.default_rng(0)
    for label in range(num_classes):
        pattern = np.kron(rng.integers(0, 2, size=(4, 4)), np.ones((4, 4))) * 180
        folder = root / f"class-{label:02d}"
        folder.mkdir(parents=True)
        for index in range(per_class):
            pixels = (pattern + rng.integers(0, 70, size=pattern.shape)).astype(np.uint8)
            Image.fromarray(pixels).save(folder / f"{index}.png")


def _write_published(path: Path) -> None:
    """A checkpoint as the FiLM authors' code writes it, of a model that was never trained."""
    from clevr.config.model import ReasonerConfig
    from clevr.reasoning.network import FiLMReasoner
    from clevr.reasoning.published import to_published

    config = ReasonerConfig(
        inputs="features", width=4, height=4, input_maps=7, trunk_maps=(), trunk_kernel=3, trunk_stride=1, maps=6,
        blocks=2, word_dim=5, hidden_dim=10, classifier_maps=8, classifier_dim=9,
    )  # fmt: skip
    torch.save(to_published(FiLMReasoner(config)), path)
