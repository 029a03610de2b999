"""Scenes rendered again: equal where nothing is changed, and what is where in them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from clevr.commands.generate import run as generate
from clevr.commands.render import run
from clevr.config.commands import GenerateConfig, RenderConfig
from clevr.data.reader import ClevrSplit
from clevr.data.writer import GenerateError
from clevr.world.ground_truth import ground_truth
from clevr.world.placement import Scenes
from clevr.world.render import object_ids
from fewshot_film.errors import ConfigError
from tests.clevr.worlds import make_world
from tests.conftest import CHECKOUT

HARBOUR = CHECKOUT / "examples" / "harbour" / "world.yaml"
PARTS = ("images", "visible", "whole", "depth", "normals", "boxes")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_world(tmp_path_factory.mktemp("world"), {"val": 3}, 96, 64, 1)


def files(root: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (root / "images" / "val").iterdir()}


def pixels(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image).copy()


def test_nothing_changed_gives_the_same_bytes(world: Path, tmp_path: Path) -> None:
    run(RenderConfig(world, tmp_path, workers=1))
    assert files(tmp_path) == files(world)
    again, there = (ClevrSplit.open(root, "val") for root in (tmp_path, world))
    assert list(again.scenes()) == list(there.scenes())
    with pytest.raises(GenerateError, match="is the data set itself"):
        run(RenderConfig(world, world, workers=1))


def test_compiled_loops(world: Path, tmp_path: Path) -> None:
    pytest.importorskip("numba")
    run(RenderConfig(world, tmp_path, compiled=True, workers=1))
    for path in (world / "images" / "val").iterdir():
        again = pixels(tmp_path / "images" / "val" / path.name).astype(int)
        assert np.abs(again - pixels(path)).max() <= 1
    with pytest.raises(ConfigError, match="compiled is about images, which parts leaves out; leave it out, or add"):
        RenderConfig(world, tmp_path, compiled=True, parts=("depth",))


def test_a_world_of_its_own_gives_the_same_bytes(tmp_path: Path) -> None:
    settings = {"width": 48, "height": 32, "questions_per_scene": 1, "workers": 1}
    generate(GenerateConfig(out=tmp_path / "a", split="val", scenes=2, world=HARBOUR, **settings))  # type: ignore[arg-type]
    run(RenderConfig(tmp_path / "a", tmp_path / "b", workers=1))
    assert files(tmp_path / "a") == files(tmp_path / "b")
    brighter = tmp_path / "brighter.yaml"
    brighter.write_text(HARBOUR.read_text().replace("[24, 24, 26]", "[90, 90, 90]"))
    run(RenderConfig(tmp_path / "a", tmp_path / "c", world=brighter, workers=1))
    other = tmp_path / "other.yaml"
    other.write_text(HARBOUR.read_text().replace("barrel: cylinder", "barrel: sphere"))
    with pytest.raises(ConfigError, match="has other values, forms or sizes than the world 'harbour'"):
        run(RenderConfig(tmp_path / "a", tmp_path / "d", world=other, workers=1))


def test_size_view_and_light(world: Path, tmp_path: Path) -> None:
    def mean(name: str, **changes: object) -> float:
        run(RenderConfig(world, tmp_path / name, scenes=1, workers=1, **changes))  # type: ignore[arg-type]
        (path,) = (tmp_path / name / "images" / "val").iterdir()
        return float(pixels(path).mean())

    assert mean("dark", light=0.3) < mean("plain") - 20
    mean("large", width=120, height=90)
    (scene,) = ClevrSplit.open(tmp_path / "large", "val").scenes()
    assert pixels(tmp_path / "large" / "images" / "val" / scene.image_filename).shape == (90, 120, 3)
    mean("turned", camera=(-7.5, 6.5, 5.3))
    (turned,) = ClevrSplit.open(tmp_path / "turned", "val").scenes()
    assert turned.extra["camera"] == [-7.5, 6.5, 5.3]
    right = [thing.pixel_coords[0] for thing in turned.objects]
    there = [thing.pixel_coords[0] for thing in scene.objects]
    assert np.corrcoef(right, there)[0, 1] < -0.8  # seen from behind, left and right change places
    with pytest.raises(ConfigError, match="expected a place above the ground"):
        RenderConfig(world, tmp_path, camera=(0, 0, 5))


def test_what_is_where(world: Path, tmp_path: Path) -> None:
    run(RenderConfig(world, tmp_path, parts=PARTS, workers=1))
    boxes = json.loads((tmp_path / "boxes" / "val.json").read_text())
    for scene in ClevrSplit.open(world, "val").scenes():
        found = ground_truth(scene, 96, 64)
        read = {part: pixels(tmp_path / part / "val" / scene.image_filename) for part in PARTS[1:5]}
        assert (read["visible"].astype(int) - 1 == object_ids([scene], 96, 64)[0].numpy()).all()
        for number, mask in enumerate(found.whole.numpy()):
            assert (read["whole"] >> number & 1 == mask).all()
        assert np.abs(read["depth"] / 1000 - found.depth.numpy()).max() <= 5.1e-4
        assert np.abs(read["normals"] / 127.5 - 1 - found.normals.permute(1, 2, 0).numpy()).max() < 4e-3
        assert [entry["visible"] for entry in boxes[scene.image_filename]] == found.boxes.tolist()
        assert [entry["whole"] for entry in boxes[scene.image_filename]] == found.whole_boxes.tolist()


def test_depth_and_normals_are_those_of_the_surfaces() -> None:
    scene = Scenes(5)[3]
    found = ground_truth(scene, 160, 120)
    assert torch.allclose(found.normals.norm(dim=0), torch.ones(120, 160), atol=1e-4)
    assert (found.visible & ~found.whole).sum() == 0
    for number, thing in enumerate(scene.objects):
        mask, half = found.ids == number, 0.7 if thing.size == "large" else 0.35
        depths = found.depth[mask]
        assert ((depths - thing.pixel_coords[2]).abs() <= 1.75 * half).all()
        assert found.normals[2][mask].mean() > 0.2  # toward the camera
    ground = found.normals[:, found.ids < 0]
    assert (ground - ground[:, :1]).abs().max() < 1e-4
