"""Omniglot: 1,623 characters of 50 alphabets, 20 drawings each.

Lake et al., "Human-level concept learning through probabilistic program induction", Science 2015; the split
into 1,028/172/423 characters is the one of Vinyals et al., "Matching Networks", NeurIPS 2016.
"""

from __future__ import annotations

from pathlib import Path

from fewshot_film.data.errors import SourceError, data_not_found
from fewshot_film.data.groups import by_prefix
from fewshot_film.data.source import FileSource, ImageSource
from fewshot_film.data.splits import Split, published, take_part
from fewshot_film.data.stores import Store, open_store

PARTS = ("images_background", "images_evaluation")


def vinyals_split() -> Split:
    """Class names (``alphabet/character``) of Vinyals' train, val and test characters, before rotation."""
    return {
        part: sorted(
            f"{alphabet}/{character}"
            for alphabets in halves.values()
            for alphabet, characters in alphabets.items()
            for character in characters
        )
        for part, halves in published("omniglot-vinyals").items()
    }


def omniglot(root: str | Path, split: str | None = None) -> ImageSource:
    """Open Omniglot.

    Args:
        root: a folder or zip with ``images_background/`` and ``images_evaluation/``, or the folder that
            torchvision downloads to (it holds ``omniglot-py/``).
        split: ``train``, ``val`` or ``test`` of Vinyals' split, ``background`` or ``evaluation`` for the
            original one, None for all characters.

    Returns:
        A source with classes named ``alphabet/character``.

    Raises:
        FileNotFoundError: neither layout is at ``root``.
        SourceError: there is no such split, or it names a character that is not there.
    """
    original = split in ("background", "evaluation")
    parts = (f"images_{split}",) if original else PARTS
    store, folders = _find(Path(root), parts)
    source = FileSource("omniglot", store, [pair for folder in folders for pair in _members(store, folder)])
    source.groups = by_prefix(source.class_names)
    return source if split is None or original else take_part(source, vinyals_split(), split)


def _find(root: Path, parts: tuple[str, ...]) -> tuple[Store, list[str]]:
    """The store, and the paths inside it of the parts, however deep they lie."""
    if root.exists():
        store = open_store(root)
        above = {f"{part}/": _above(store, f"{part}/") for part in parts}
        if None not in above.values():
            return store, [f"{top}{part}" for part, top in above.items()]
    raise data_not_found(
        "omniglot",
        root,
        f"a folder or zip with {PARTS[0]}/<alphabet>/<character>/*.png and {PARTS[1]}/..., at the top or in "
        "omniglot-py/",
        "unpack images_background.zip and images_evaluation.zip of github.com/brendenlake/omniglot there, or "
        "run torchvision.datasets.Omniglot(root, background=True, download=True) and again with False",
    )


def _above(store: Store, folder: str) -> str | None:
    """What stands before the folder in the names of its files; the shortest, or None where there are none."""
    tops = {name[: name.index(folder)] for name in store.names() if folder in name}
    return min(tops, key=len, default=None)


def _members(store: Store, prefix: str) -> list[tuple[str, str]]:
    members = []
    for file in store.names():
        if file.startswith(prefix):
            parts = file.removeprefix(prefix).split("/")
            if len(parts) != 3:
                raise SourceError(f"omniglot: '{file}' does not lie at {prefix}<alphabet>/<character>/<image>")
            members.append((f"{parts[0]}/{parts[1]}", file))
    return members
