"""Pages keep their promises: Python runs, YAML and command lines go through the real parsers, the site builds."""

from __future__ import annotations

import importlib
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml

import clevr.cli
import fewshot_film.cli
from clevr.world.confounds import classes_from
from clevr.world.spec import CLEVR
from clevr.world.world_file import read_world
from fewshot_film.run.command import Command
from fewshot_film.run.parsing import parse
from tests.conftest import CHECKOUT

sys.path.insert(0, str(CHECKOUT / "docs"))  # the hooks of the site

PAGES = sorted([*(CHECKOUT / "docs").rglob("*.md"), CHECKOUT / "README.md", CHECKOUT / "CONTRIBUTING.md"])
PROGRAMS = {"fewshot-film": fewshot_film.cli.COMMANDS, "clevr-film": clevr.cli.COMMANDS}
MODULES = {"fewshot_film": "fewshot-film", "clevr": "clevr-film"}
NOT_OURS = {"git", "cd", "export", "npm", "pip", "source", "first=$(scontrol", "srun", "CYTHON_FORCE_REGEN=1"}
"""First words of lines that no parser of ours reads."""

SHIPPED = {"clevr-small": CHECKOUT / "clevr" / "models", "general-small": CHECKOUT / "fewshot_film" / "pretrained"}
"""Where models that pages use by name come with the package."""

_BLOCK = re.compile(r"(<!-- not run: [^>]+ -->\n)?^```([a-z]*)[^\n]*\n(.*?)^```", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Block:
    """A fenced block of a page."""

    page: Path
    language: str
    text: str
    runs: bool

    def __str__(self) -> str:
        return f"{self.page.relative_to(CHECKOUT)}: {self.text.splitlines()[0][:40] if self.text else ''}"


def blocks(*languages: str) -> list[Block]:
    """The blocks of every page in some languages."""
    found = []
    for page in PAGES:
        for skip, language, text in _BLOCK.findall(page.read_text(encoding="utf-8")):
            if language in languages:
                found.append(Block(page, language, text, not skip))
    return found


def command_lines() -> Iterator[tuple[Block, str]]:
    """Every line of shell blocks, continued ones joined; plain blocks count where they hold commands of ours."""
    for block in blocks("console", "bash", ""):
        if block.language == "" and not re.match(r"(fewshot-film|clevr-film|make|pip|python|torchrun) ", block.text):
            continue
        for line in block.text.replace("\\\n", " ").splitlines():
            words = line.partition("    # ")[0].strip()
            if words and not words.startswith("#"):
                yield block, words


LINES = list(command_lines())


def test_pages_have_blocks():
    assert len(LINES) > 60
    assert len(blocks("python")) >= 5
    assert len(blocks("yaml")) >= 3


@pytest.mark.parametrize(("block", "line"), LINES, ids=lambda value: value[:60] if isinstance(value, str) else "")
def test_command_lines_are_understood(block: Block, line: str):
    for one in line.split(" && "):
        task = one.replace("$SLURM_ARRAY_TASK_ID", "0")
        _check(shlex.split(re.sub(r"\$SLURM_(CPUS_PER_TASK|ARRAY_TASK_COUNT)", "2", task)))


def _check(words: list[str]) -> None:
    if words[0] == "srun":
        words = words[1:]
    if words[0] == "torchrun":
        words = ["python", *words[words.index("-m") :]]
    if words[:2] == ["python", "-m"] and words[2] in MODULES:
        words = [MODULES[words[2]], *words[3:]]
    if words[0] in PROGRAMS:
        command = next((command for command in PROGRAMS[words[0]] if command.name == words[1]), None)
        assert command is not None, f"{words[0]} has no command {words[1]}"
        _parse(command, words[2:])
    elif words[0] == "make":
        targets = re.findall(r"^([a-z0-9-]+):", (CHECKOUT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
        assert set(words[1:]) <= set(targets)
    elif words[:2] == ["python", "-m"]:
        _check_benchmark(importlib.import_module(words[2]), words[3:])
    elif words[0] == "python":
        assert (CHECKOUT / words[1]).is_file()
    else:
        assert words[0] in NOT_OURS, f"no parser for {words[0]}"


def _parse(command: Command, words: list[str]) -> Any:
    """The command line read for good; YAML files that only the reader has are left out."""
    kept = list(words)
    for place, word in reversed(list(enumerate(words))):
        if word == "--config" and not (CHECKOUT / words[place + 1]).is_file():
            del kept[place : place + 2]
            kept += ["--out", "run"]
    kept = [str(CHECKOUT / word) if word.startswith("configs/") else word for word in kept]
    return parse(command.name, command.config_class(), kept, positionals=command.positionals)


def _check_benchmark(module: ModuleType, words: list[str]) -> None:
    if hasattr(module, "COMMANDS"):
        _parse(next(command for command in module.COMMANDS if command.name == words[0]), words[1:])
        return
    own = [kind for kind in vars(module).values() if isinstance(kind, type) and kind.__module__ == module.__name__]
    config = next((kind for kind in own if kind.__name__.endswith("Config")), None)
    if config is not None and words:
        parse(module.__name__, config, words)
    else:
        assert not words


@pytest.mark.parametrize("block", blocks("yaml"), ids=str)
def test_yaml_is_read_by_the_command_that_it_names(block: Block, tmp_path: Path):
    first, *words = block.text.splitlines()[0].removeprefix("# ").split()
    file = tmp_path / "settings.yaml"
    file.write_text(block.text, encoding="utf-8")
    if first == "world.yaml":
        read_world(file)
        return
    if first == "classes.yaml":
        assert len(classes_from(yaml.safe_load(block.text), CLEVR)) > 1
        return
    program, name = first, words[0]
    command = next(command for command in PROGRAMS[program] if command.name == name)
    parse(name, command.config_class(), ["--config", str(file)])


@pytest.mark.parametrize(
    "block",
    [block for block in blocks("python") if block.page.name != "README.md"],
    ids=str,
)
def test_python_runs(block: Block, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    code = compile(block.text, str(block.page), "exec")  # what is not run must be Python all the same
    monkeypatch.chdir(tmp_path)
    missing = [name for name in SHIPPED if name in block.text and not (SHIPPED[name] / name).is_dir()]
    if missing:
        pytest.skip(f"this checkout comes without the model {missing[0]}")
    if block.runs:
        exec(code, {"__name__": "page"})


def test_macros_refuse_what_is_not_there():
    macros = pytest.importorskip("macros")
    assert macros.on_page_markdown("{{ number(1234.5, 1) }}") == "1,234.5"
    assert "| 5-way 1-shot |" in macros.on_page_markdown('{{ result_table("omniglot") }}')
    with pytest.raises(KeyError, match="no such key"):
        macros.on_page_markdown('{{ result("omniglot", "results/no such key") }}')
    with pytest.raises(macros.jinja2.UndefinedError, match="mispelt"):
        macros.on_page_markdown("{{ mispelt }}")


def test_formulas_become_mathml():
    pytest.importorskip("latex2mathml")
    formulas = importlib.import_module("formulas")
    page = '<p><span class="arithmatex">\\(a &lt; b\\)</span></p><div class="arithmatex">\\[\nx^2\n\\]</div>'
    found = formulas.on_page_content(page)
    assert "arithmatex" not in found
    assert found.count("<math") == 2
    assert "&lt;" in found or "&#x0003C;" in found


def build_command() -> list[str]:
    """What ``make docs`` runs."""
    recipe = re.search(r"^docs:.*\n\t(.+)$", (CHECKOUT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    assert recipe is not None
    words = shlex.split(recipe[1].partition("$(RUN)")[2])
    assert words[:2] == ["mkdocs", "build"]
    return [sys.executable, "-m", *words]


def build(home: Path, *options: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*build_command(), *map(str, options)],
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        check=False,
        env={"PATH": "/usr/bin:/bin", "NO_MKDOCS_2_WARNING": "1", "HOME": str(home)},
    )


@pytest.mark.parametrize(
    ("text", "warning"),
    [
        ("[gone](nowhere.md)", "nowhere.md"),
        ("[gone](index.md#nowhere)", "nowhere"),
        ("[gone][fewshot_film.film.nowhere]", "fewshot_film.film.nowhere"),
        ("![gone](images/nowhere.png)", "nowhere.png"),
        ("::: fewshot_film.film.nowhere", "fewshot_film.film.nowhere"),
        ("[there][fewshot_film.film.FiLM]\n\n::: fewshot_film.film.FiLM", ""),
    ],
)
def test_a_dead_link_or_reference_ends_the_build(text: str, warning: str, tmp_path: Path):
    """With the site's own settings and the command of ``make docs``, on one page."""
    pytest.importorskip("mkdocs")
    pages = tmp_path / "docs"
    pages.mkdir()
    (pages / "index.md").write_text(f"# Page\n\n{text}\n", encoding="utf-8")
    shutil.copy(CHECKOUT / "docs" / "docstrings.py", pages)  # named in the settings, beside them
    config = tmp_path / "mkdocs.yml"
    own = f"docs_dir: {pages}\nsite_dir: {tmp_path / 'site'}\nhooks: []\nnav: [index.md]\n"
    config.write_text(f"INHERIT: {CHECKOUT / 'mkdocs.yml'}\n{own}", encoding="utf-8")
    done = build(tmp_path, "--config-file", config)
    assert warning in done.stderr
    assert (done.returncode != 0) == bool(warning), done.stderr[-2000:]


@pytest.mark.slow
def test_site_builds_strictly_and_needs_no_network(tmp_path: Path):
    pytest.importorskip("mkdocs")
    done = build(tmp_path, "--site-dir", tmp_path / "site")
    assert done.returncode == 0, done.stderr[-2000:]
    pages = list((tmp_path / "site").rglob("*.html"))
    assert len(pages) > 25
    for page in pages:
        fetched = re.findall(r'<(?:script|img|iframe|link)[^>]+(?:src|href)="(https?:[^"]+)"', page.read_text("utf-8"))
        assert not [url for url in fetched if "canonical" not in url], page
