"""The examples in the docstrings run and print what they say."""

from __future__ import annotations

import doctest
import importlib
import pkgutil

import pytest
import torch

import fewshot_film.film

MODULES = [f"fewshot_film.film.{module.name}" for module in pkgutil.iter_modules(fewshot_film.film.__path__)]
NAMES = {"torch": torch, "nn": torch.nn} | {
    name: getattr(fewshot_film.film, name) for name in fewshot_film.film.__all__
}


@pytest.mark.parametrize("name", MODULES)
def test_examples(name: str) -> None:
    module = importlib.import_module(name)
    assert doctest.testmod(module, extraglobs=NAMES).failed == 0
