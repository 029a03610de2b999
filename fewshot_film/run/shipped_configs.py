"""The configuration files that come with the package: ``glyphs/pretrain`` is ``configs/glyphs/pretrain.yaml``."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from pathlib import Path

from fewshot_film.run.errors import ConfigError

_PACKAGE = Path(__file__).resolve().parent.parent
FOLDERS = (_PACKAGE / "configs", _PACKAGE.parent / "configs")
"""Where they are in an installed package and in a checkout; the first that is there holds."""


def find_config(file: str) -> Path:
    """The YAML file that ``--config`` means.

    Args:
        file: path of a file; or the name of one that comes with the package, with or without ``configs/`` before and
            ``.yaml`` after it. A file that is there comes first.

    Raises:
        ConfigError: it is neither; near names are listed, or all of them.
    """
    path = Path(file)
    if path.is_file():
        return path
    shipped = dict(shipped_configs())
    name = path.as_posix().removeprefix("configs/").removesuffix(".yaml")
    if name in shipped:
        return shipped[name]
    same_folder = [known for known in shipped if known.startswith(f"{name}/")]
    near = same_folder or difflib.get_close_matches(name, shipped, n=3)
    raise ConfigError(
        f"no configuration file {file}; expected the path of a YAML file, or a name that comes with the package: "
        + (f"did you mean {' or '.join(near)}?" if near else ", ".join(shipped))
    )


def shipped_configs() -> Iterator[tuple[str, Path]]:
    """Name and path of every configuration file that comes with the package, in order."""
    folder = next((folder for folder in FOLDERS if folder.is_dir()), FOLDERS[-1])
    for path in sorted(folder.rglob("*.yaml")):
        yield path.relative_to(folder).with_suffix("").as_posix(), path
