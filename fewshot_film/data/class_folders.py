"""Benchmarks whose images lie in folders named by their classes, wherever these folders lie."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import PurePosixPath

from fewshot_film.data.errors import SourceError
from fewshot_film.data.source import FileSource
from fewshot_film.data.splits import Split
from fewshot_film.data.stores import Store


def from_class_folders(
    name: str, store: Store, split: Split, part: str | None, *, is_picture: Callable[[str], bool] = lambda _: True
) -> FileSource | None:
    """Take the images in the folders of the classes of one part of a split.

    Folders of other classes are passed over, so ImageNet's own training folder serves for benchmarks made from it.

    Args:
        name: name of the source.
        store: where the folders lie, at any depth.
        split: class names, which are folder names, by part.
        part: which part; None for all.
        is_picture: says of a file's name whether it is one of the images.

    Returns:
        None where there is none of the folders.

    Raises:
        SourceError: some of the folders are missing.
    """
    wanted = {class_name for class_names in ([split[part]] if part else split.values()) for class_name in class_names}
    parents = ((PurePosixPath(file).parent.name, file) for file in store.names() if is_picture(file))
    members = [(parent, file) for parent, file in parents if parent in wanted]
    missing = sorted(wanted - {parent for parent, _ in members})
    if not members:
        return None
    if missing:
        raise SourceError(
            f"{name}: {len(missing)} of the {len(wanted)} class folders of {part or 'all parts'} are not below "
            f"'{store.root}', first '{missing[0]}'; copy them there too"
        )
    return FileSource(name, store, members)


def check_part(name: str, split: Split, part: str | None) -> None:
    """Refuse a part that the split does not have.

    Raises:
        SourceError: names the parts that there are.
    """
    if part is not None and part not in split:
        raise SourceError(f"{name}: no split '{part}'; there are {', '.join(split)}")
