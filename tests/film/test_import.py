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


@pytest.fixture(scope="module")
def core(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what `pip install ./core` installs."""
    built = tmp_path_factory.mktemp("core")
    command = ["setup.py", "--quiet", "build", "--build-base", str(built / "base"), "--build-lib", str(built / "lib")]
    subprocess.run([sys.executable, *command], check=True, cwd=CHECKOUT / "core", capture_output=True)
    return built / "lib"


def test_the_core_alone_holds_its_own_files(core: Path) -> None:
    here = CHECKOUT / "fewshot_film"
    expected = {Path("__init__.py"), Path("errors.py"), Path("py.typed")}
    expected |= {path.relative_to(here) for path in (here / "film").glob("*.py")}
    assert {path.relative_to(core / "fewshot_film") for path in core.rglob("*.*")} == expected


def test_the_core_alone_works_without_the_packages_of_the_rest(core: Path) -> None:
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
    assert _with_core(core, code).strip() == "True"


def test_the_core_alone_says_where_the_rest_is(core: Path) -> None:
    code = """
try:
    from fewshot_film import FewShotClassifier
except ImportError as error:
    print(error)
"""
    assert _with_core(core, code).strip() == (
        "FewShotClassifier is not in fewshot-film-core, which has fewshot_film.film and nothing else; expected the "
        "whole package: pip uninstall fewshot-film-core && pip install fewshot-film"
    )


def _with_core(core: Path, code: str) -> str:
    """What a program prints that has the core alone."""
    environment = os.environ | {"PYTHONPATH": str(core)}
    without_checkout = (
        "import sys; sys.meta_path = [x for x in sys.meta_path if not str(x.__module__).startswith('__edit')]"
    )
    command = [sys.executable, "-c", without_checkout + code]
    return subprocess.run(command, capture_output=True, text=True, check=True, cwd=core, env=environment).stdout


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
