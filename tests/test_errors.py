"""What ends with a message, and what with a traceback."""

from __future__ import annotations

import ast
import builtins
import importlib
import inspect
from pathlib import Path

import pytest
from PIL import Image

from fewshot_film.data import open_source
from fewshot_film.errors import (
    ConfigError,
    Interrupted,
    InvalidValueError,
    MissingFileError,
    UserError,
    counted,
    exit_status_of,
    listed,
    shown,
)
from tests.conftest import CHECKOUT

FAULTS = {
    ("AttributeError", "fewshot_film/__init__.py"): "what Python expects of a module's __getattr__",
    ("ImportError", "fewshot_film/__init__.py"): "what Python expects of an import that fails",
    ("AttributeError", "fewshot_film/classifier/__init__.py"): "what Python expects of a module's __getattr__",
    ("IndexError", "fewshot_film/episodes/rng.py"): "a sequence's protocol",
    ("IndexError", "fewshot_film/episodes/lists.py"): "a sequence's protocol",
    ("IndexError", "fewshot_film/episodes/task_sets.py"): "a sequence's protocol",
    ("IndexError", "clevr/tasks/series.py"): "a sequence's protocol",
    ("TypeError", "clevr/tasks/series.py"): "what Python expects of a __len__ that is none",
    ("OSError", "fewshot_film/data/cache.py"): "every OSError has its status",
    ("OSError", "fewshot_film/run/files.py"): "every OSError has its status",
    ("SystemExit", "fewshot_film/app/server.py"): "an end that was asked for",
    ("TypeError", "fewshot_film/learners/registry.py"): "a fault of the program that registers methods",
    ("TypeError", "fewshot_film/run/optimizer.py"): "a fault of the module that is trained",
}
"""Errors of Python's own that we raise, and why they are none of the user's."""
FILES = [path for room in ("fewshot_film", "clevr") for path in (CHECKOUT / room).rglob("*.py")]
MODULES = sorted(path.relative_to(CHECKOUT).as_posix() for path in FILES)


def test_the_status_follows_from_the_class():
    for error in (UserError, ConfigError, InvalidValueError, MissingFileError, FileNotFoundError, PermissionError):
        assert exit_status_of(error("x")) == 2
    assert exit_status_of(Interrupted("x", 15)) == 143
    assert exit_status_of(KeyboardInterrupt()) == 130
    for error in (ValueError, ImportError, TypeError, KeyError, RuntimeError):
        assert exit_status_of(error("x")) is None


def test_what_python_has_names_for_is_caught_by_them():
    with pytest.raises(ValueError, match=r"^x$"):
        raise InvalidValueError("x")
    with pytest.raises(FileNotFoundError, match=r"^x$"):
        raise MissingFileError("x")


@pytest.mark.parametrize("module", MODULES)
def test_every_error_that_we_raise_is_the_users_or_on_a_list(module):
    tree = ast.parse(Path(CHECKOUT, module).read_text(encoding="utf-8"))
    names = {
        node.exc.func.id
        for node in ast.walk(tree)
        if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call) and isinstance(node.exc.func, ast.Name)
    }
    plain = {name for name in names if isinstance(getattr(builtins, name, None), type)}
    assert plain == {name for name, where in FAULTS if where == module}


@pytest.mark.parametrize("module", MODULES)
def test_every_error_of_ours_is_a_user_error(module):
    tree = ast.parse(Path(CHECKOUT, module).read_text(encoding="utf-8"))
    names = [
        node.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef) and any("Error" in ast.unparse(base) for base in node.bases)
    ]
    if names:
        loaded = importlib.import_module(module.removesuffix(".py").replace("/", "."))
        strangers = [name for name in names if not issubclass(getattr(loaded, name), UserError)]
        assert not strangers, inspect.getfile(loaded)


def test_objects_of_users_are_cut():
    assert shown("short") == "'short'"
    assert shown(list(range(1000)), 20) == "[0, 1, 2, 3, 4, 5, …"
    assert "\n" not in shown(type("Tall", (), {"__repr__": lambda self: "a\nb"})())
    assert shown(type("Broken", (), {"__repr__": lambda self: 1 / 0})()) == "<Broken>"


@pytest.mark.parametrize(
    ("number", "noun", "text"),
    [(1, "class", "1 class"), (2, "class", "2 classes"), (0, "image", "0 images"), (1200, "image", "1,200 images")],
)
def test_nouns_agree_with_their_numbers(number, noun, text):
    assert counted(number, noun) == text


def test_one_image_of_one_class(tmp_path):
    Image.new("L", (8, 8)).save(tmp_path / "loose.png")
    with pytest.raises(MissingFileError, match=r"Found 1 image outside class folders: loose\.png\."):
        open_source("folder", tmp_path)
    (tmp_path / "only").mkdir()
    (tmp_path / "loose.png").rename(tmp_path / "only" / "1.png")
    assert repr(open_source("folder", tmp_path)).endswith("1 class, 1 image)")


@pytest.mark.parametrize(
    ("items", "text"), [([], "none"), (["a"], "a"), (range(3), "0, 1, 2"), (range(5), "0, 1, 2 and 2 more")]
)
def test_lists_in_messages(items, text):
    assert listed(items, 3) == text
