"""CIFAR-100 and the two few-shot benchmarks made from it, CIFAR-FS and FC100.

All 600 images of a class are used, the 500 of CIFAR-100's own training set and the 100 of its test set.

Krizhevsky, "Learning multiple layers of features from tiny images", 2009; Bertinetto et al., "Meta-learning
with differentiable closed-form solvers", ICLR 2019 (CIFAR-FS: 64/16/20 classes); Oreshkin et al., "TADAM",
NeurIPS 2018 (FC100: 12/4/4 superclasses).
"""

from __future__ import annotations

import logging
from pathlib import Path, PurePosixPath

import numpy as np

from fewshot_film.data.arrays import ArraySource, load_arrays
from fewshot_film.data.errors import SourceError, data_not_found
from fewshot_film.data.source import FileSource, ImageSource
from fewshot_film.data.splits import Split, published, take_part
from fewshot_film.data.stores import open_store

log = logging.getLogger(__name__)

PYTHON_FOLDER = "cifar-100-python"
PICTURES_A_CLASS = 600


def cifar_fs_split() -> Split:
    """Class names of CIFAR-FS's train, val and test parts."""
    split: Split = published("cifar-fs")
    return split


def fc100_split() -> Split:
    """Class names of FC100's train, val and test parts, superclass by superclass."""
    superclasses: dict[str, list[str]] = published("cifar-100-superclasses")
    parts: Split = published("fc100-coarse")
    return {part: sorted(name for coarse in names for name in superclasses[coarse]) for part, names in parts.items()}


def cifar_fs(root: str | Path, split: str | None = None) -> ImageSource:
    """Open CIFAR-FS: ``train``, ``val`` or ``test`` classes of `cifar100`, or all of them."""
    source = cifar100(root, name="cifar-fs")
    return source if split is None else take_part(source, cifar_fs_split(), split)


def fc100(root: str | Path, split: str | None = None) -> ImageSource:
    """Open FC100: ``train``, ``val`` or ``test`` classes of `cifar100`, or all of them."""
    source = cifar100(root, name="fc100")
    return source if split is None else take_part(source, fc100_split(), split)


def cifar100(root: str | Path, *, name: str = "cifar-100") -> ImageSource:
    """Open CIFAR-100, 100 classes.

    Args:
        root: the folder that torchvision downloads to (it holds ``cifar-100-python/``), that folder itself,
            or a folder or zip of images, each in a folder named by its class (``train/apple/x.png``).
        name: name of the source.

    Raises:
        FileNotFoundError: neither layout is at ``root``.
        SourceError: the files are not CIFAR-100's.
    """
    root = Path(root)
    for folder in (root / PYTHON_FOLDER, root):
        if (folder / "train").is_file() and (folder / "meta").is_file():
            return _checked(_from_python(folder, name))
    if root.exists():
        source = _from_images(root, name)
        if source is not None:
            return _checked(source)
    raise data_not_found(
        name,
        root,
        f"{PYTHON_FOLDER}/ with the files train, test and meta, or a folder or zip of images at "
        "train/<class>/ and test/<class>/ with the 100 class names of CIFAR-100",
        'python -c "import torchvision; torchvision.datasets.CIFAR100(ROOT, download=True)"',
    )


def _from_python(folder: Path, name: str) -> ImageSource:
    try:
        class_names = load_arrays(folder / "meta")["fine_label_names"]
        parts = [load_arrays(folder / part) for part in ("train", "test")]
        planes = np.concatenate([part["data"] for part in parts]).reshape(-1, 3, 32, 32)
        labels = np.concatenate([part["fine_labels"] for part in parts])
        named = zip(("train", "test"), parts, strict=True)
        files = [f"{which}/{file}" for which, part in named for file in part["filenames"]]
    except (KeyError, TypeError, ValueError) as error:
        raise SourceError(f"{name}: '{folder}' does not hold CIFAR-100's files ({error!r})") from error
    return ArraySource(name, class_names, labels, planes.transpose(0, 2, 3, 1), files)


def _from_images(root: Path, name: str) -> ImageSource | None:
    known = {class_name for names in cifar_fs_split().values() for class_name in names}
    store = open_store(root)
    members = [(PurePosixPath(file).parent.name, file) for file in store.names()]
    members = [(class_name, file) for class_name, file in members if class_name in known]
    return FileSource(name, store, members) if {class_name for class_name, _ in members} == known else None


def _checked(source: ImageSource) -> ImageSource:
    sizes = np.bincount(source.labels, minlength=len(source.class_names))
    other = np.flatnonzero(sizes != PICTURES_A_CLASS)
    if len(other):
        log.warning(
            "%s: %d classes have not the %d images of CIFAR-100, '%s' has %d: results are not comparable",
            source.name,
            len(other),
            PICTURES_A_CLASS,
            source.class_names[other[0]],
            sizes[other[0]],
        )
    return source
