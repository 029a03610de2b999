"""tiered-ImageNet: 608 classes of ImageNet under 34 higher nodes, 351/97/160 of them for train, val and test.

No higher node is in two parts, so test classes are further from training classes than in mini-ImageNet.
Ren et al., "Meta-Learning for Semi-Supervised Few-Shot Classification", ICLR 2018.
"""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from fewshot_film.data.arrays import ArraySource, load_arrays
from fewshot_film.data.errors import SourceError, data_not_found
from fewshot_film.data.source import ImageSource, distinct_names
from fewshot_film.data.splits import Split, check_part, from_class_folders, published
from fewshot_film.data.stores import open_store
from fewshot_film.errors import MissingFileError
from fewshot_film.images import MAX_PIXELS, open_image

NAME = "tiered-imagenet"


class PackedSource(ImageSource):
    """Encoded images of one pickle: a list of arrays, each the bytes of one file."""

    def __init__(self, path: Path, class_names: list[str], labels: np.ndarray, packed: Sequence[np.ndarray]) -> None:
        super().__init__(NAME, class_names, labels, [f"{path.name}/{index}" for index in range(len(packed))])
        self._packed = packed
        status = path.stat()
        self._identity = f"{path.resolve()} {status.st_size} {status.st_mtime_ns}"

    def load(self, index: int, *, min_side: int | None = None, max_pixels: int = MAX_PIXELS) -> Image.Image:
        """See `ImageSource.load`."""
        data = np.ascontiguousarray(self._packed[index]).tobytes()
        return open_image(data, self.files[index], min_side=min_side, max_pixels=max_pixels)

    def stamp(self, index: int) -> str:
        """See `ImageSource.stamp`."""
        return ""

    @property
    def identity(self) -> str:
        """See `ImageSource.identity`."""
        return self._identity


def tiered_imagenet_nodes() -> dict[str, dict[str, list[str]]]:
    """The higher nodes of every part, and the classes below each, all by their WordNet ids."""
    nodes: dict[str, dict[str, list[str]]] = published(NAME)
    return nodes


def tiered_imagenet_split() -> Split:
    """WordNet ids of the train, val and test classes."""
    return {
        part: sorted(name for names in nodes.values() for name in names)
        for part, nodes in tiered_imagenet_nodes().items()
    }


def tiered_imagenet(root: str | Path, split: str | None = None) -> ImageSource:
    """Open tiered-ImageNet.

    Args:
        root: a folder or zip with the images in folders named by WordNet ids, at any depth, such as ImageNet's own
            training folder; or a folder with the pickles of Ren et al.: ``<part>_images_png.pkl`` (or
            ``<part>_images.npz``) and ``<part>_labels.pkl`` for the part.
        split: ``train``, ``val`` or ``test``; None for all, in class folders only.

    Raises:
        FileNotFoundError: neither layout is at ``root``.
        SourceError: there is no such split, or the files are not what they should be.
    """
    root, known = Path(root), tiered_imagenet_split()
    check_part(NAME, known, split)
    labels = root / f"{split}_labels.pkl"
    if labels.is_file():
        return _from_pickles(root, str(split), load_arrays(labels))
    if root.exists():
        source = from_class_folders(NAME, open_store(root), known, split)
        if source is not None:
            return source
    raise data_not_found(
        NAME,
        root,
        "folders named by WordNet ids (n01440764, ...) with the images, or <part>_labels.pkl and "
        "<part>_images_png.pkl for the asked part",
        "github.com/renmengye/few-shot-ssl-public links the pickles; the images are those of ImageNet (ILSVRC 2012)",
    )


def _from_pickles(root: Path, part: str, content: Any) -> ImageSource:
    try:
        labels, names = np.asarray(content["label_specific"], np.int64), distinct_names(content["label_specific_str"])
    except (KeyError, TypeError, ValueError) as error:
        raise SourceError(f"{NAME}: '{part}_labels.pkl' lacks label_specific or its names: {error!r}") from error
    if len(labels) and not 0 <= labels.min() <= labels.max() < len(names):
        raise SourceError(f"{NAME}: '{part}_labels.pkl' has labels up to {labels.max()} for {len(names)} names")
    packed, plain = root / f"{part}_images_png.pkl", root / f"{part}_images.npz"
    if packed.is_file():
        return PackedSource(packed, names, labels, load_arrays(packed))
    if plain.is_file():
        try:
            with np.load(plain, allow_pickle=False) as arrays:
                pictures = arrays["images"][..., ::-1]  # OpenCV wrote them, whose order is blue, green, red
        except (ValueError, KeyError, IndexError, EOFError, zipfile.BadZipFile) as error:
            raise SourceError(f"{NAME}: '{plain}' cannot be read ({error}); fetch it again") from error
        return ArraySource(NAME, names, labels, pictures, [f"{plain.name}/{index}" for index in range(len(labels))])
    raise MissingFileError(
        f"{NAME}: there are labels of '{part}' at '{root}', but neither {packed.name} nor {plain.name}; copy one there"
    )
