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


def test_the_package_gives_what_most_programs_need() -> None:
    names = fewshot_film.__all__
    assert sorted(names) == names
    assert {name for room in fewshot_film._ROOMS.values() for name in room} == set(names)
    assert all(getattr(fewshot_film, name).__name__ == name for name in names)
    assert fewshot_film.inject_film is fewshot_film.film.inject_film


def test_the_package_alone_imports_no_torch() -> None:
    code = "import sys, fewshot_film; fewshot_film.UserError; print('torch' in sys.modules)"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "False"
