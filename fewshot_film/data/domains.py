"""Several sources side by side, all decoded alike: each a domain that whole episodes come from.

Trained on some domains and asked about another, a learner shows whether it has learnt to learn or has learnt its
images. The suite ``generated`` needs no download; a folder of images is one more domain.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, Protocol

from fewshot_film.config.data import DataConfig, OneSource, SourceConfig
from fewshot_film.config.preprocessing import Preprocessing
from fewshot_film.data.decoding import decode
from fewshot_film.data.errors import SourceError
from fewshot_film.data.image_set import ImageSet, JoinedSet
from fewshot_film.data.registry import REGISTRY, check_root, open_source
from fewshot_film.data.splits import read_split

SUITES: dict[str, tuple[str, ...]] = {
    "generated": tuple(name for name, entry in REGISTRY.items() if not entry.has_root),
}
"""Names that stand for several sources: ``generated`` for all that need no download."""

TRAINING_PARTS = ("train", "val")
"""Parts from which a domain that is held out is missing."""


def domains_of(data: DataConfig, split: str | None = None) -> tuple[SourceConfig, ...]:
    """The sources that the settings name, in order; without the held-out one where ``split`` is a training part.

    Raises:
        SourceError: a name is unknown or used twice, or what is held out is none of the sources.
    """
    if not data.sources:
        return (SourceConfig(**{entry.name: getattr(data, entry.name) for entry in fields(OneSource)}),)
    domains = [domain for item in data.sources for domain in _expanded(item)]
    names = [domain.name or domain.source for domain in domains]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise SourceError(f"two sources are called '{twice[0]}'; give one of them another name: name: ...")
    if data.held_out and data.held_out not in names:
        raise SourceError(f"held_out is '{data.held_out}', which is not one of the sources: {', '.join(names)}")
    left_out = data.held_out if split in TRAINING_PARTS else ""
    kept = [replace(domain, name=name) for domain, name in zip(domains, names, strict=True) if name != left_out]
    if not kept:
        raise SourceError(f"'{left_out}' is the only source and is held out, so nothing is left for '{split}'")
    return tuple(kept)


class HasData(Protocol):
    """Settings of a command that reads labelled images."""

    @property
    def data(self) -> DataConfig:
        """Where they come from."""


def check_found(config: HasData) -> None:
    """Look whether the sources of a command are there, before anything is loaded or decoded for it.

    Raises:
        FileNotFoundError: the data of a source, or its list of classes, are not where they should be.
        SourceError: a source does not exist or has no root, or its list of classes cannot be used.
    """
    for domain in domains_of(config.data):
        check_root(domain.source, domain.root)
        if domain.split_file:
            read_split(Path(domain.split_file))


def open_domains(data: DataConfig, split: str | None, preprocessing: Preprocessing) -> list[ImageSet]:
    """Open and decode every source of the settings.

    Args:
        data: the settings; ``sources`` or, where there are none, ``source``.
        split: ``train``, ``val`` or ``test`` classes; None for all.
        preprocessing: what the network reads; the settings may say otherwise how an image becomes square.

    Raises:
        FileNotFoundError: the data of a source are not where they should be.
        SourceError: see `domains_of` and `open_source`.
    """
    return [_open(domain, data, split, preprocessing) for domain in domains_of(data, split)]


def open_joined(data: DataConfig, split: str | None, preprocessing: Preprocessing) -> ImageSet:
    """All sources of the settings as one set: the one there is, or a `JoinedSet`; see `open_domains`."""
    domains = domains_of(data, split)
    parts = open_domains(data, split, preprocessing)
    return parts[0] if not data.sources else JoinedSet(parts, [domain.weight for domain in domains])


def _expanded(item: str | SourceConfig) -> Sequence[SourceConfig]:
    if isinstance(item, SourceConfig):
        return (item,)
    return [SourceConfig(source=name) for name in SUITES.get(item, (item,))]


def _open(domain: SourceConfig, data: DataConfig, split: str | None, preprocessing: Preprocessing) -> ImageSet:
    options: dict[str, Any] = {"split_file": domain.split_file} if domain.split_file else {}
    if domain.split_seed is not None:
        options["split_seed"] = domain.split_seed
    if domain.ordered:
        options["ordered"] = True
    source = open_source(domain.source, domain.root or None, split or None, **options)
    if domain.name:
        source.name = domain.name
    pixels = {**preprocessing.pixels, "resize": data.resize or preprocessing.resize}
    images = decode(source, cache_dir=data.cache or None, **pixels)
    return images.with_rotations() if domain.rotations else images
