"""The FiLM core as a distribution of its own: what `import fewshot_film.film` needs, and nothing else.

The files are those of the whole package, which has the core in it: an environment takes one of the two distributions.
"""

import re
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

CHECKOUT = Path(__file__).resolve().parents[1]
VERSION = re.search(r'__version__ = "(.+)"', (CHECKOUT / "fewshot_film" / "__init__.py").read_text())
BESIDE = {"__init__", "errors"}
"""Modules that the core shares with the rest."""


class BuildCore(build_py):
    """Leaves out the other modules beside the core."""

    def find_package_modules(self, package, package_dir):
        """Modules of a package, as ``(package, module, file)``."""
        found = super().find_package_modules(package, package_dir)
        return [module for module in found if package != "fewshot_film" or module[1] in BESIDE]


setup(
    name="fewshot-film-core",
    version=VERSION.group(1) if VERSION else "0",
    description="Feature-wise linear modulation (FiLM) for any PyTorch network",
    long_description="The FiLM core of fewshot-film; its page 'FiLM in your own code' is the documentation.",
    license="MIT",
    python_requires=">=3.11",
    package_dir={"fewshot_film": "../fewshot_film"},
    packages=["fewshot_film", "fewshot_film.film"],
    package_data={"fewshot_film": ["py.typed"]},
    cmdclass={"build_py": BuildCore},
    install_requires=["torch>=2.9", "numpy>=2.0.2", "safetensors>=0.5"],
)
