"""Commands on the pages are run, one page after the other in a folder of its own, not only read by the parsers.

A line that would take minutes is run smaller (`SMALLER`); one that needs what a test has not is left to the parsers
(`ONLY_PARSED`), with the reason. A new line on a page is run as it stands unless it is added to one of the two.
"""

from __future__ import annotations

import re
import shlex
import shutil
from collections.abc import Mapping
from pathlib import Path

import pytest
import torch

from fewshot_film.run.command import Command, main
from tests.commands.test_commands import draw_classes
from tests.conftest import CHECKOUT
from tests.test_docs import LINES, PROGRAMS, SHIPPED, blocks

ONLY_PARSED = {
    r"make |git |cd ": "`.ci/run` and other tests run the targets",
    r"pip |CYTHON": "installs",
    r"torchrun |srun |first=": "several processes or machines; tests/run starts some",
    r"python -m benchmarks": "minutes to hours",
    r"python examples/": "tests/test_examples.py runs them",
    r"fewshot-film app": "serves until it is stopped; tests/app looks at the page",
    r".*(omniglot|cifar|mini-imagenet|ILSVRC|CUB_200|flowers|CLEVR_v1\.0|records/)": "a data set that is not here",
    r"clevr-film features": "weights that are not here",
    r".*resnet18": "weights that are not here",
    r".*--learner\.method (maml|anil|meta-sgd)": "learn2learn may be missing; tests/learners trains them",
    r".*--split_file|.*split\.json": "a list of the reader's own classes",
    r"clevr-film generate .*--scenes 70000": "a whole CLEVR; tests/clevr/commands joins shares",
    r"clevr-film objects": "most of a minute; tests/clevr/commands cuts a few scenes",
    r"clevr-film train": "minutes, even with few steps of its two trainings; tests/clevr/commands trains",
    r"clevr-film report": "a run of the training above",
}
"""Beginnings of lines that are not run, and why not."""

_STEPS = "--loop.steps 2 --loop.validate_every 2 --validation.episodes 2 --validation.query 2 --validation.shot 1"
_FOLDER = "--data.source folder --data.root pictures --data.split_seed 0"
_FEW = "--ways [2,3] --shots [1] --query 2 --episodes 2"
_BACKBONE = "backbone.width 4 backbone.image_size 28 backbone.stem_kernel 3 backbone.stem_stride 2"


def _backbone(prefix: str = "", channels: int = 3) -> str:
    return f"--{prefix}" + f" --{prefix}".join(re.findall(r"\S+ \S+", f"{_BACKBONE} backbone.channels {channels}"))


SMALLER: Mapping[str, str] = {
    r"fewshot-film pretrain": (
        f"{_STEPS} --validation.way 3 --batch_size 8 --loop.precision 32-true {_FOLDER} {_backbone()}"
    ),
    r"fewshot-film train": (
        f"{_STEPS} --validation.way 3 --episodes.way [2,3] --episodes.shot [1,2] --episodes.query 2 "
        f"--loop.accumulate 1 --learner.set_encoder_layers 2 {_FOLDER} {_backbone('learner.')}"
    ),
    r"fewshot-film evaluate .*--episode_list": _FOLDER,
    r"fewshot-film evaluate": f"{_FEW} {_FOLDER}",
    r"fewshot-film report": "--episodes 2 --root pictures",
    r"fewshot-film compare": "--splits 2 --shot 2 --query 2",
    r"clevr-film generate": "--scenes 4 --width 64 --height 48 --questions_per_scene 4 --workers 1",
    r"clevr-film analyse": "--questions 16",
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
NOT_YET = {"README.md", "docs/data.md", "docs/start.md", "docs/tutorials/clevr.md", "docs/tutorials/meta-train.md"}
"""Pages whose lines are only parsed as yet: their smaller settings have not been brought to an end."""


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What pages take for granted: folders of images, the configurations, trained models, a world."""
    draw_classes(tmp_path / "pictures", 25)
    for folder in sorted((CHECKOUT / "examples" / "creatures").iterdir()):
        for file in sorted(folder.iterdir()):
            target = tmp_path / ("labelled" if int(file.stem) < 6 else "unknown") / folder.name / file.name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(file, target)
    shutil.copytree(CHECKOUT / "configs", tmp_path / "configs")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write_configurations(page: str, folder: Path) -> None:
    """The YAML blocks of a page as the files that its commands name."""
    for block in blocks("yaml"):
        if str(block.page.relative_to(CHECKOUT)) == page:
            name = re.match(r"# \S+ (\S+)", block.text)
            assert name is not None
            (folder / f"mine-{name[1]}.yaml").write_text(block.text, encoding="utf-8")


def prepare(page: str, folder: Path) -> None:
    """What earlier pages, or lines that are not run, would have left."""
    if page == "docs/tutorials/clevr.md":
        shutil.copytree(SHIPPED["clevr-small"] / "clevr-small", folder / "runs" / "clevr" / "mine" / "model")
    if page == "docs/data.md":
        for line in PAGES["docs/start.md"][:2]:
            run(line)


def run(line: str) -> None:
    """Run one line, smaller where it is listed."""
    program, *words = shlex.split(line)
    commands: tuple[Command, ...] = tuple(PROGRAMS[program])
    words += shlex.split(_first(line, SMALLER) or "")
    with torch.random.fork_rng([]):
        assert main(program, commands, words) == 0, line


@pytest.mark.parametrize("page", [page for page in PAGES if page not in NOT_YET])
def test_commands_of_a_page_run_in_order(page: str, place: Path):
    write_configurations(page, place)
    prepare(page, place)
    for line in PAGES[page]:
        run(line)


def test_pages_have_commands_that_run():
    assert "docs/tutorials/my-pictures.md" in PAGES.keys() - NOT_YET
    assert PAGES.keys() >= NOT_YET


@pytest.mark.parametrize("pattern", [*ONLY_PARSED, *SMALLER])
def test_every_exception_is_still_on_a_page(pattern: str):
    assert any(re.match(pattern, one) for _, line in LINES for one in line.split(" && "))
