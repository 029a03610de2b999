from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import fewshot_film.film
from tests.conftest import CHECKOUT

ENVIRONMENT = os.environ | {"PYTHONPATH": str(CHECKOUT)}


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


def test_the_core_works_without_the_packages_of_the_rest(tmp_path: Path) -> None:
    """What `pip install --no-deps` leaves: torch, and numpy and safetensors for files."""
    requirements = re.search(r"install_requires=\[(.*?)\n    \]", (CHECKOUT / "setup.py").read_text(), re.DOTALL)[1]
    names = set(re.findall(r'"([a-z0-9-]+)', requirements)) - {"torch", "numpy", "safetensors"}
    modules = {{"pillow": "PIL", "pyyaml": "yaml"}.get(name, name.replace("-", "_")) for name in names}
    assert {"torchvision", "matplotlib", "lightning_fabric"} < modules
    code = f"""
import sys
sys.modules |= dict.fromkeys({sorted(modules)!r})
import torch
from torch import nn
from fewshot_film.film import LinearGenerator, fold_film, inject_film, load_modulations, save_modulations
filmed = inject_film(nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8)).eval(), ["**"])
values = LinearGenerator(4, filmed.sites)(torch.ones(1, 4))
save_modulations("values.safetensors", filmed, values)
x, loaded = torch.ones(1, 3, 5, 5), load_modulations("values.safetensors", filmed)
print(torch.allclose(fold_film(filmed, loaded)(x), filmed(x, values), atol=1e-5))
"""
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path, env=ENVIRONMENT
    )
    assert result.stdout.strip() == "True"


@pytest.mark.slow
def test_the_import_takes_20_milliseconds_beyond_torch(tmp_path: Path) -> None:
    """Of the processor, which other programs disturb least, with the byte code that Python keeps."""
    code = """
import time, torch
start = time.process_time()
import fewshot_film.film
print(time.process_time() - start)
"""
    environment = ENVIRONMENT | {"PYTHONPYCACHEPREFIX": str(tmp_path)}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    seconds = [
        float(subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, check=True).stdout)
        for _ in range(5)
    ]
    assert min(seconds) < 0.020


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
