from __future__ import annotations

import subprocess
import sys

import fewshot_film.film


def test_the_core_imports_torch_and_nothing_else() -> None:
    """Whatever it loads beyond torch and the standard library is its own; no torchvision, no matplotlib."""
    code = """
import sys, torch, torch.fx, torch.nn.utils.fusion
before = set(sys.modules)
import fewshot_film.film
print(*(set(sys.modules) - before))
print(*(set(sys.modules) & {"torchvision", "matplotlib", "h5py", "PIL", "jsonargparse", "lightning_fabric"}))
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    added, heavy = result.stdout.splitlines()
    others = {name.partition(".")[0] for name in added.split()} - sys.stdlib_module_names
    assert others == {"fewshot_film"}
    assert heavy == ""


def test_all_public_names_exist_and_are_sorted() -> None:
    names = fewshot_film.film.__all__
    assert all(hasattr(fewshot_film.film, name) for name in names)
    assert len(set(names)) == len(names)
