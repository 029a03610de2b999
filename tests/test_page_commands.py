"""Commands on the pages are run, one page after the other in a folder of its own, not only read by the parsers.

A line that would take minutes is run smaller (`SMALLER`); one that needs what a test has not is left to the parsers
(`ONLY_PARSED`), with the reason. A new line on a page is run as it stands unless it is added to one of the two.
"""

from __future__ import annotations

import json
import re
import shlex
import shutil
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch

from fewshot_film.classifier import FewShotClassifier
from fewshot_film.run.command import Command, main
from tests.commands.test_commands import draw_classes
from tests.conftest import CHECKOUT
from tests.test_docs import LINES, PROGRAMS, blocks

ONLY_PARSED = {
    r"make |git |cd ": "`.ci/run` and other tests run the targets",
    r"pip |npm |CYTHON": "installs",
    r"torchrun |srun |first=|export |.*\$SLURM": "several processes or machines; tests/run starts some",
    r"python -m benchmarks": "minutes to hours",
    r"python examples/": "tests/test_examples.py runs them",
    r"fewshot-film app": "serves until it is stopped; tests/app looks at the page",
    r".*(timm/|resnet50@)": "weights that are not here",
    r"clevr-film render CLEVR_v1.0": "data that are not here",
}
"""Beginnings of lines that are not run, and why not."""
if find_spec("learn2learn") is None:
    ONLY_PARSED[r".*--learner\.method (maml|anil|meta-sgd)"] = "learn2learn is missing"

_FOLDER = "--data.source folder --data.root images"
_DEALT = f"{_FOLDER} --data.split_seed 0 --data.rotations false"
_STEPS = (
    "--loop.steps 2 --loop.warmup_steps 0 --loop.validate_every 2 --validation.way 3 --validation.shot 1 "
    "--validation.query 2 --validation.episodes 2"
)
_EPISODES = "--episodes.way [2,3] --episodes.shot [1,2] --episodes.query 2 --loop.accumulate 1"
_FEW = "--ways [2,3] --shots [1] --query 2 --episodes 2 --processes 1"
_BACKBONE = ("width 4", "image_size 28", "stem_kernel 3", "stem_stride 2", "channels 3")
_REASONER = (
    "--model.word_dim 6 --model.hidden_dim 16 --model.classifier_maps 12 --model.classifier_dim 10 --model.blocks 2 "
    "--data.images 2 --data.questions 2 --validation_questions 4 "
    "--loop.steps 2 --loop.warmup_steps 0 --loop.cooldown_steps 0 --loop.validate_every 2"
)
_TRUNK = "'{images: 2, loop: {steps: 2, warmup_steps: 0, cooldown_steps: 0, validate_every: 2}}'"
_PIXELS = f"{_REASONER} --model.width 64 --model.height 48 --trunk_pretraining {_TRUNK}"


def _backbone(prefix: str = "") -> str:
    return " ".join(f"--{prefix}backbone.{setting}" for setting in _BACKBONE)


SMALLER: Mapping[str, str] = {
    r"fewshot-film pretrain": (f"{_STEPS} --batch_size 8 --loop.precision 32-true {_DEALT} {_backbone()}"),
    r"fewshot-film train .*(maml|anil|meta-sgd)": f"{_STEPS} {_EPISODES} {_DEALT} {_backbone('learner.')}",
    r"fewshot-film train .*--data.split_file": (
        f"{_STEPS} {_EPISODES} {_backbone('learner.')} --learner.set_encoder_layers 2"
    ),
    r"fewshot-film train .*heads/": (
        f"{_STEPS} {_EPISODES} {_DEALT} --learner.backbone.name cnaps-resnet18 --learner.backbone.weights= "
        f"{_backbone('learner.')}"
    ),
    r"fewshot-film train": f"{_STEPS} {_EPISODES} {_DEALT} {_backbone('learner.')} --learner.set_encoder_layers 2",
    r"fewshot-film evaluate .*--episode_list": f"{_DEALT} --processes 1",
    r"fewshot-film evaluate": f"{_FEW} {_DEALT}",
    r"fewshot-film report": "--episodes 2 --root images",
    r"fewshot-film compare": "--splits 2 --shot 2 --query 2",
    r"clevr-film generate .*--start 0": "--scenes 4 --stop 2 --chunk 2 --width 64 --height 48 --workers 1",
    r"clevr-film generate .*--start": "--scenes 4 --start 2 --stop 4 --chunk 2 --width 64 --height 48 --workers 1",
    r"clevr-film generate .*--scenes 70000": "--scenes 4 --chunk 2 --width 64 --height 48 --workers 1",
    r"clevr-film generate": "--scenes 6 --width 64 --height 48 --questions_per_scene 20 --workers 1",
    r"clevr-film objects": "--scenes 1 --width 120 --height 80 --size 12 --min_side 5 --workers 1",
    r"clevr-film tasks \w": "--items 2 --width 64 --height 48",
    r"clevr-film features": (
        "--data clevr-world --extractor.backbone resnet18 --extractor.weights random --extractor.size 32 "
        "--extractor.layer layer2 --batch_size 2"
    ),
    r"clevr-film confound": "--train 12 --val 3 --test 6 --width 64 --height 48 --workers 1",
    r"clevr-film train .*film-features": (
        f"{_REASONER} --model.width 4 --model.height 4 --model.input_maps 128 --model.maps 8 --data.root clevr-world"
    ),
    r"clevr-film train .*(clevr-world|clevr-shards|harbour)": _PIXELS,
    r"clevr-film train": f"{_PIXELS} --data.root worlds/first --data.val_split train",
    r"clevr-film analyse clevr-small": "--questions 100 --analyses [histograms]",
    r"clevr-film analyse": "--questions 100",
}
"""Beginnings of lines, and what is added to them; the first that fits counts."""


def _first(line: str, table: Mapping[str, str]) -> str | None:
    return next((value for pattern, value in table.items() if re.match(pattern, line)), None)


def page_lines() -> dict[str, list[str]]:
    """Lines to run, by page."""
    pages: dict[str, list[str]] = {}
    for block, line in LINES:
        for one in line.split(" && "):
            if block.runs and _first(one, ONLY_PARSED) is None:
                pages.setdefault(str(block.page.relative_to(CHECKOUT)), []).append(one)
    return pages


PAGES = page_lines()
FAST = {"README.md", "docs/tutorials/many-gpus.md"}
"""Pages that `make test` runs; the others are left to `make test-all`."""


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What pages take for granted: folders of images, a list of classes, the configurations."""
    draw_classes(tmp_path / "images", 25)
    names = sorted(folder.name for folder in (tmp_path / "images").iterdir())
    split = {"train": names[:15], "val": names[15:20], "test": names[20:]}
    (tmp_path / "split.json").write_text(json.dumps(split), encoding="utf-8")
    photos = CHECKOUT / "examples" / "photos"
    shutil.copytree(CHECKOUT / "examples", tmp_path / "examples")
    for part in ("labelled", "unknown"):
        shutil.copytree(photos / part, tmp_path / part)
    shutil.copytree(CHECKOUT / "configs", tmp_path / "configs")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write_configurations(page: str, folder: Path) -> None:
    """The YAML blocks of a page as the files that its commands name."""
    for block in blocks("yaml"):
        if str(block.page.relative_to(CHECKOUT)) == page:
            first = block.text.splitlines()[0].removeprefix("# ").split()
            name = first[0] if len(first) == 1 else f"mine-{first[1]}.yaml"  # a file's name, or the command it is for
            (folder / name).write_text(block.text, encoding="utf-8")


def prepare(page: str, folder: Path) -> None:
    """What earlier pages would have left: trained models, in the places where this page looks for them."""
    if page == "docs/sharing.md":
        files = sorted((folder / "labelled").glob("*/*.jpg"))
        classifier = FewShotClassifier("general-small").fit(files, [path.parent.name for path in files])
        classifier.save_pretrained(folder / "saved-classifier")
    if page == "docs/tutorials/beyond-one-machine.md":
        for name, part in (("birds", "labelled"), ("boats", "labelled"), ("many", "unknown"), ("more", "unknown")):
            shutil.copytree(folder / part, folder / name)
    if page != "docs/data.md":
        return
    for line in PAGES["docs/start.md"][:2]:
        run(line)
    shutil.copytree(folder / "runs" / "glyphs" / "pretrain", folder / "runs" / "omniglot" / "pretrain")
    for name in ("cifar-fs/train", "train"):
        shutil.copytree(folder / "runs" / "glyphs" / "train", folder / "runs" / name)


def run(line: str) -> None:
    """Run one line, smaller where it is listed."""
    program, *words = shlex.split(line)
    commands: tuple[Command, ...] = tuple(PROGRAMS[program])
    words += shlex.split(_first(line, SMALLER) or "")
    with torch.random.fork_rng([]):
        assert main(program, commands, words) == 0, line


@pytest.mark.parametrize("page", [pytest.param(page, marks=() if page in FAST else pytest.mark.slow) for page in PAGES])
def test_commands_of_a_page_run_in_order(page: str, place: Path):
    write_configurations(page, place)
    prepare(page, place)
    for line in PAGES[page]:
        run(line)


def test_pages_have_commands_that_run():
    assert PAGES.keys() >= {*FAST, "docs/data.md", "docs/tutorials/clevr.md", "docs/tutorials/meta-train.md"}


@pytest.mark.parametrize("pattern", [*ONLY_PARSED, *SMALLER])
def test_every_exception_is_still_on_a_page(pattern: str):
    assert any(re.match(pattern, one) for _, line in LINES for one in line.split(" && "))
