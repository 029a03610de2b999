"""Notebooks made from the scripts of ``examples/``, one each, when the site is built.

What a script says first becomes text; its functions and what stands between them become one cell each, unchanged.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import nbformat
from mkdocs.structure.files import File, Files

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"
NO_OPTIONS = 'import sys\n\nsys.argv[1:] = []  # options as on the command line, such as ["--help"]'


def on_files(files: Files, config: Any, **_: Any) -> Files:
    """Called by MkDocs with the files of the site: adds the notebooks."""
    for script in sorted(EXAMPLES.glob("*.py")):
        content = nbformat.writes(notebook(script))
        files.append(File.generated(config, f"notebooks/{script.stem}.ipynb", content=content))
    return files


def notebook(script: Path) -> nbformat.NotebookNode:
    """A notebook that does what a script does."""
    text = script.read_text("utf-8")
    module = ast.parse(text)
    title, _, rest = (ast.get_docstring(module) or script.stem).partition("\n")
    v4 = nbformat.v4
    cells = [v4.new_markdown_cell(f"# {title}\n{rest}".strip())]
    if "argparse" in text:
        cells.append(v4.new_code_cell(NO_OPTIONS))
    cells += [v4.new_code_cell(part) for part in _parts(text.splitlines(), module.body)]
    for number, cell in enumerate(cells):
        cell["id"] = f"cell-{number}"  # a random one would make every build another
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    return v4.new_notebook(cells=cells, metadata={"kernelspec": kernel, "language_info": {"name": "python"}})


def _parts(lines: list[str], statements: list[ast.stmt]) -> Iterator[str]:
    """What is below the docstring, cut before and behind every function, class and condition."""
    whole = (ast.FunctionDef, ast.ClassDef, ast.If)
    cuts = {statements[0].end_lineno, len(lines)}
    for before, statement in pairwise(statements):
        if isinstance(before, whole) or isinstance(statement, whole):
            cuts.add(before.end_lineno)
    for start, end in pairwise(sorted(cut for cut in cuts if cut is not None)):
        if part := "\n".join(lines[start:end]).strip("\n"):
            yield part
