from __future__ import annotations

from pathlib import Path

import pytest

from fewshot_film.data import SourceError, open_source, source_names
from fewshot_film.data.registry import REGISTRY
from tests.data.layouts import class_files, write


def test_names() -> None:
    assert source_names() == (
        "folder", "omniglot", "cifar-fs", "fc100", "mini-imagenet", "tiered-imagenet", "cub", "meta-dataset",
        "glyphs", "creatures", "textures", "torchvision:<name>",
    )  # fmt: skip


def test_opens_with_options(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = write(tmp_path / "p", class_files("abc", 1))
    assert open_source("folder", root).class_names == ("a", "b", "c")
    assert len(open_source("folder", str(root), "train", split_seed=0).class_names) == 2
    monkeypatch.setenv("HOME", str(tmp_path))
    assert len(open_source("folder", "~/p")) == 3
    assert len(open_source("glyphs", split="val", pictures=2).class_names) == 168


def test_unknown_names_list_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="no source is named 'omnigolt'; there are folder, omniglot, cifar-fs"):
        open_source("omnigolt", tmp_path)


def test_a_root_is_needed_where_data_lie_somewhere() -> None:
    with pytest.raises(SourceError, match="omniglot: root is missing; give the folder or zip file"):
        open_source("omniglot")


@pytest.mark.parametrize("name", [name for name, entry in REGISTRY.items() if entry.has_root])
def test_missing_data_say_what_was_looked_for_and_how_to_get_it(tmp_path: Path, name: str) -> None:
    with pytest.raises(FileNotFoundError, match=r"no data at '.*gone'. Looked for .*. How to get it: "):
        open_source(name, tmp_path / "gone")


def test_unknown_options_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="omniglot has no setting 'colour'; it has: none"):
        open_source("omniglot", tmp_path, colour=3)
    with pytest.raises(SourceError, match="textures has no setting 'split_seed'; it has: pictures, seed"):
        open_source("textures", split_seed=1)
    with pytest.raises(SourceError, match="torchvision:KMNIST has no setting 'colour'; it has: parts, download,"):
        open_source("torchvision:KMNIST", tmp_path, colour=3)
