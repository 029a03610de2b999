"""What pages take from the project when the site is built: numbers and tables from result files, settings of commands.

``{{ result("omniglot", "results.train.seconds") }}`` in a page is a value of ``benchmarks/results/omniglot.json``; no
measured number is typed by hand. A name that does not exist ends the build.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import importlib
import importlib.util
import io
import json
import statistics
from pathlib import Path
from typing import Any

import jinja2

ROOT = Path(__file__).resolve().parent.parent


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Called by MkDocs with the text of a page: fills what stands in double braces."""
    if "{{" not in markdown and "{%" not in markdown:
        return markdown
    environment = jinja2.Environment(undefined=jinja2.StrictUndefined, keep_trailing_newline=True)
    return environment.from_string(markdown).render({macro.__name__: macro for macro in MACROS})


@functools.cache
def _file(name: str) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((ROOT / "benchmarks" / "results" / f"{name}.json").read_text("utf-8"))
    return content


def has_result(name: str) -> bool:
    """Whether there is such a result file."""
    return (ROOT / "benchmarks" / "results" / f"{name}.json").is_file()


def result(name: str, path: str) -> Any:
    """A value of a result file.

    Args:
        name: of the file in ``benchmarks/results``, without ``.json``.
        path: keys from the outermost on, with ``/`` between them where one holds a dot, else with dots.
    """
    value: Any = _file(name)
    for key in path.split("/" if "/" in path else "."):
        value = value[int(key)] if isinstance(value, list) else value[key]
    return value


def result_table(name: str) -> str:
    """A table of measured numbers beside published ones, as the README has it."""
    from benchmarks.tables import TABLES

    return TABLES[name]()


def number(value: float, digits: int = 0) -> str:
    """A number with thousands apart."""
    return f"{value:,.{digits}f}"


def median(values: list[float]) -> float:
    """Median of measurements."""
    return statistics.median(values)


def hours(seconds: float) -> str:
    """A time in the unit that suits it."""
    for unit, length in (("days", 86400), ("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:,.0f} {unit}"
    return f"{seconds:.0f} seconds"


def example(name: str) -> str:
    """A script of ``examples/`` as a code block."""
    return f'```python title="examples/{name}.py"\n{(ROOT / "examples" / f"{name}.py").read_text("utf-8")}```'


def project_file(name: str) -> str:
    """A text beside the README, its links seen from here."""
    text = (ROOT / name).read_text("utf-8").replace("](docs/", "](")
    for file, page in {"CONTRIBUTING.md": "contributing.md", "UPGRADING.md": "upgrading.md"}.items():
        text = text.replace(f"]({file}", f"]({page}")
    return text


def commands(program: str) -> str:
    """Every command of a program with its examples and its settings."""
    import clevr.cli
    import fewshot_film.cli

    known = {"fewshot-film": fewshot_film.cli.COMMANDS, "clevr-film": clevr.cli.COMMANDS}[program]
    parts = []
    for command in known:
        parts.append(f"### {program} {command.name}\n\n{command.help}\n")
        if command.examples:
            parts.append("```console\n" + "\n".join(command.examples) + "\n```\n")
        parts.append(f'??? note "Settings of {program} {command.name}"\n\n    ```text\n')
        parts.append("".join(f"    {line}\n" for line in _settings(program, command).splitlines()))
        parts.append("    ```\n")
    return "\n".join(parts)


def _settings(program: str, command: Any) -> str:
    """What ``--help`` says between the description and the examples."""
    from fewshot_film.run.command import main

    text = io.StringIO()
    with contextlib.redirect_stdout(text):
        main(program, [dataclasses.replace(command, examples=())], [command.name, "--help"])
    return text.getvalue()


def _target(module: str, name: str) -> str:
    """Where a public name is described: in its own module where that has the same name, as a page shows no modules."""
    own = f"{module}.{name}"
    return f"{own}.{name}" if importlib.util.find_spec(own) else own


REFERENCE = {
    "film.md": "fewshot_film.film",
    "classifier.md": "fewshot_film.classifier",
    "data.md": "fewshot_film.data",
    "episodes.md": "fewshot_film.episodes",
    "learners.md": "fewshot_film.learners",
    "clevr-data.md": "clevr.data",
    "clevr-questions.md": "clevr.questions",
    "clevr-reasoning.md": "clevr.reasoning",
    "clevr-tasks.md": "clevr.tasks",
}
"""Pages of the reference, and the package whose public names each describes."""


def api_index() -> str:
    """Every public name of the packages of the reference, in a table with one row per page."""
    rows = ["| module | names |", "| --- | --- |"]
    for page, module in REFERENCE.items():
        names = sorted(importlib.import_module(module).__all__, key=str.casefold)
        links = ", ".join(f"[`{name}`][{_target(module, name)}]" for name in names)
        rows.append(f"| [`{module}`]({page}) | {links} |")
    return "\n".join(rows)


MACROS = (api_index, commands, example, has_result, hours, median, number, project_file, result, result_table)
"""What pages may call."""
