"""One door to all sources: a name, a root, a split."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from fewshot_film.data.cifar import cifar_fs, fc100
from fewshot_film.data.creatures import creatures
from fewshot_film.data.cub import cub
from fewshot_film.data.errors import SourceError
from fewshot_film.data.folder import folder
from fewshot_film.data.glyphs import glyphs
from fewshot_film.data.meta_dataset import meta_dataset
from fewshot_film.data.mini_imagenet import mini_imagenet
from fewshot_film.data.omniglot import omniglot
from fewshot_film.data.source import ImageSource
from fewshot_film.data.textures import textures
from fewshot_film.data.tiered_imagenet import tiered_imagenet
from fewshot_film.data.torchvision_sets import torchvision_not_found, torchvision_set

TORCHVISION = "torchvision:"


@dataclass(frozen=True)
class Entry:
    """One kind of source."""

    open: Callable[..., ImageSource]
    """Called with the root (where it has one), ``split=`` and the options."""
    describe: str
    """One line for help texts."""
    has_root: bool = True
    """Whether it lies somewhere; generated sets do not."""


REGISTRY: dict[str, Entry] = {
    "folder": Entry(folder, "a folder or zip with one sub-folder per class"),
    "omniglot": Entry(omniglot, "Omniglot's 1,623 characters; split of Vinyals et al."),
    "cifar-fs": Entry(cifar_fs, "CIFAR-FS, from CIFAR-100, as torchvision files or image folders"),
    "fc100": Entry(fc100, "FC100, from CIFAR-100, as torchvision files or image folders"),
    "mini-imagenet": Entry(mini_imagenet, "mini-ImageNet, lists with images or learn2learn's pickles"),
    "tiered-imagenet": Entry(tiered_imagenet, "tiered-ImageNet, class folders or the pickles of Ren et al."),
    "cub": Entry(cub, "CUB-200-2011; split of Chen et al."),
    "meta-dataset": Entry(meta_dataset, "one set of Meta-Dataset, from its record files"),
    "glyphs": Entry(glyphs, "characters drawn from fonts; generated, no download", has_root=False),
    "creatures": Entry(
        creatures, "invented creatures in front of a background; generated, no download", has_root=False
    ),
    "textures": Entry(textures, "patterns of six families; generated, no download", has_root=False),
}


def source_names() -> tuple[str, ...]:
    """Names that `open_source` knows; the last stands for every set of ``torchvision.datasets``."""
    return (*REGISTRY, f"{TORCHVISION}<name>")


def open_source(name: str, root: str | Path | None = None, split: str | None = None, **options: Any) -> ImageSource:
    """Open any source.

    Args:
        name: one of `source_names`, such as ``omniglot`` or ``torchvision:Flowers102``.
        root: the folder or zip it lies in; None for generated sets.
        split: ``train``, ``val`` or ``test`` classes; None for all classes.
        options: further settings of that source, see its own function.

    Raises:
        SourceError: there is no source of that name, a root is missing, or one of its own settings is wrong or does
            not exist.
        FileNotFoundError: the data are not at ``root``; says how to get them.
    """
    entry = _entry(name)
    known = [key for key in inspect.signature(entry.open).parameters if key not in ("root", "split", "dataset")]
    for key in options:
        if key not in known:
            raise SourceError(f"{name} has no setting '{key}'; it has: {', '.join(known) or 'none'}")
    if not entry.has_root:
        return entry.open(split=split, **options)
    if root is None:
        raise SourceError(f"{name}: root is missing; give the folder or zip file with the images")
    return entry.open(Path(root).expanduser(), split=split, **options)


def check_root(name: str, root: str | Path | None) -> None:
    """Refuse a source that does not exist, or a root that leads nowhere, without a look at what lies there.

    Args:
        name: see `open_source`.
        root: see `open_source`.

    Raises:
        SourceError: there is no source of that name, or it needs a root.
        FileNotFoundError: nothing is at ``root``; says what is looked for there and how to get it.
    """
    if _entry(name).has_root and (not root or not Path(root).expanduser().exists()):
        if name.startswith(TORCHVISION) and root:  # without torchvision, which takes seconds to start
            raise torchvision_not_found(name.removeprefix(TORCHVISION), root, "it does not exist")
        open_source(name, root or None)  # its error knows what should be there


def _entry(name: str) -> Entry:
    if name.startswith(TORCHVISION):
        return Entry(partial(torchvision_set, name.removeprefix(TORCHVISION)), "a set of torchvision.datasets")
    if name not in REGISTRY:
        raise SourceError(f"no source is named '{name}'; there are {', '.join(source_names())}")
    return REGISTRY[name]
