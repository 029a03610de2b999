"""CUB-200-2011: 200 species of birds, 11,788 images.

Wah et al., "The Caltech-UCSD Birds-200-2011 Dataset", 2011. The split into 100/50/50 is that of Chen et al., "A Closer
Look at Few-Shot Classification", ICLR 2019: of the species in their order, every other one from the first on is for
training, and of the others the first, third, ... for validation, the rest for test. Other papers have drawn others.
"""

from __future__ import annotations

import re
from pathlib import Path, PurePosixPath

from fewshot_film.data.errors import SourceError, data_not_found
from fewshot_film.data.source import ImageSource
from fewshot_film.data.splits import Split, check_part, from_class_folders
from fewshot_film.data.stores import Store, open_store

NAME = "cub"
NUM_CLASSES = 200
_SPECIES = re.compile(r"(\d{3})\..+")  # such as 001.Black_footed_Albatross


def cub_part(number: int) -> str:
    """The part of the species whose folder begins with this number, 1 to 200."""
    place = number - 1
    return "train" if place % 2 == 0 else "val" if place % 4 == 1 else "test"


def cub(root: str | Path, split: str | None = None) -> ImageSource:
    """Open CUB-200-2011.

    Args:
        root: the folder or zip that ``CUB_200_2011.tgz`` unpacks to, or any other that has ``images/`` with the 200
            folders ``001.Black_footed_Albatross`` to ``200.Common_Yellowthroat`` in it.
        split: ``train``, ``val`` or ``test`` classes; None for all.

    Raises:
        FileNotFoundError: there are no such folders at ``root``.
        SourceError: there is no such split, or some of the 200 folders are missing.
    """
    root = Path(root)
    if root.exists():
        store = open_store(root)
        known = _split(store)
        check_part(NAME, known, split)
        # Images alone: the segmentations are PNG files in folders of the same names.
        source = from_class_folders(NAME, store, known, split, is_image=_is_photo)
        if source is not None:
            return source
    raise data_not_found(
        NAME,
        root,
        "folders 001.<species> to 200.<species> with JPEG images, as in CUB_200_2011/images/",
        "fetch and unpack CUB_200_2011.tgz from data.caltech.edu/records/65de6-vp158",
    )


def _is_photo(file: str) -> bool:
    return PurePosixPath(file).suffix.lower() in (".jpg", ".jpeg")


def _split(store: Store) -> Split:
    """Folder names by part, as they are there; all 200 or none."""
    names = {PurePosixPath(file).parent.name for file in store.names() if _is_photo(file)}
    numbers = {int(found[1]): name for name in sorted(names) if (found := _SPECIES.fullmatch(name))}
    missing = sorted(set(range(1, NUM_CLASSES + 1)) - numbers.keys())
    if numbers and missing:
        raise SourceError(
            f"{NAME}: {len(missing)} of the {NUM_CLASSES} species' folders are not below '{store.root}', first number "
            f"{missing[0]:03d}; unpack the archive again"
        )
    split: Split = {"train": [], "val": [], "test": []}
    for number in sorted(numbers):
        split[cub_part(number)].append(numbers[number])
    return split
