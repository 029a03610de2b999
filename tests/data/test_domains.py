from __future__ import annotations

from pathlib import Path

import pytest

from fewshot_film.config import DataConfig, SourceConfig
from fewshot_film.data import SourceError
from fewshot_film.data.domains import SUITES, domains_of, open_domains, open_joined
from fewshot_film.data.image_set import JoinedSet
from fewshot_film.errors import ConfigError
from fewshot_film.learners.backbone import plain_preprocessing
from tests.data.layouts import class_files, noise, png, write


@pytest.fixture
def data(tmp_path: Path) -> DataConfig:
    """Two folders, one with grey images of another size."""
    write(tmp_path / "colour", class_files("abcdefghij", 2))
    write(tmp_path / "grey", {f"{name}/{n}.png": png(noise(n, (5, 9), "L")) for name in "uvwxyz" for n in range(2)})
    sources = [SourceConfig("folder", str(tmp_path / name), name=name, split_seed=0) for name in ("colour", "grey")]
    return DataConfig(sources=(*sources,))


def test_all_are_decoded_alike(data: DataConfig) -> None:
    colour, grey = open_domains(data, None, plain_preprocessing(8))
    assert (colour.name, grey.name) == ("colour", "grey")
    assert colour.get(colour.indices_of(0)).shape == grey.get(grey.indices_of(0)).shape == (2, 3, 8, 8)
    pictures = grey.get(grey.indices_of(0))
    assert pictures[:, 0].equal(pictures[:, 1])
    assert pictures[:, 0].equal(pictures[:, 2])


def test_each_domain_has_its_own_split(data: DataConfig) -> None:
    parts = [open_joined(data, split, plain_preprocessing(8)) for split in ("train", "val", "test")]
    assert [len(part.class_names) for part in parts] == [6 + 4, 2 + 1, 2 + 1]
    assert not set(parts[0].class_names) & set(parts[2].class_names)
    assert isinstance(parts[0], JoinedSet)


def test_what_is_held_out_is_left_out_of_training_alone(data: DataConfig) -> None:
    held = DataConfig(sources=data.sources, held_out="grey")
    names = {split: [d.name for d in domains_of(held, split)] for split in ("train", "val", "test", None)}
    assert names == {
        "train": ["colour"], "val": ["colour"], "test": ["colour", "grey"], None: ["colour", "grey"]
    }  # fmt: skip
    assert open_joined(held, "train", plain_preprocessing(8)).name == "colour"


def test_one_source_is_opened_as_before(tmp_path: Path) -> None:
    root = write(tmp_path / "p", class_files("ab", 3))
    images = open_joined(DataConfig(source="folder", root=str(root), rotations=True), None, plain_preprocessing(8, 1))
    assert not isinstance(images, JoinedSet)
    assert images.class_names[:4] == ("a/rot000", "a/rot090", "a/rot180", "a/rot270")


def test_suites_and_weights() -> None:
    assert {"glyphs", "textures"} <= set(SUITES["generated"])
    domains = domains_of(DataConfig(sources=("generated", SourceConfig("folder", root="x", weight=3.0))))
    assert [domain.source for domain in domains] == [*SUITES["generated"], "folder"]
    assert domains[-1].weight == 3


def test_names_that_make_no_sense(data: DataConfig) -> None:
    with pytest.raises(SourceError, match="two sources are called 'glyphs'; give one of them another name"):
        domains_of(DataConfig(sources=("generated", "glyphs")))
    with pytest.raises(SourceError, match="held_out is 'gray', which is not one of the sources: colour, grey"):
        domains_of(DataConfig(sources=data.sources, held_out="gray"))
    with pytest.raises(SourceError, match="'glyphs' is the only source and is held out, so nothing is left for 'val'"):
        domains_of(DataConfig(sources=("glyphs",), held_out="glyphs"), "val")
    with pytest.raises(SourceError, match="no source is named 'glyph'"):
        open_domains(DataConfig(sources=("glyph",)), None, plain_preprocessing(8, 1))
    with pytest.raises(ConfigError, match=r"sources has '\[glyphs, {sorce: x}\]'; expected a name, or {source: NAME}"):
        DataConfig(sources=("[glyphs, {sorce: x}]",))
