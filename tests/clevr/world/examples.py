"""Scenes for the tests of the world."""

from __future__ import annotations

import json
import zipfile
from functools import lru_cache
from pathlib import Path

from clevr.world.placement import Scenes
from clevr.world.scene import Scene, SceneObject


@lru_cache(maxsize=8)
def drawn(number: int, seed: int = 0) -> tuple[Scene, ...]:
    """The first scenes of a split."""
    return tuple(Scenes(seed).batch(range(number)))


def thing(
    shape: str = "cube",
    x: float = 0.0,
    y: float = 0.0,
    *,
    size: str = "large",
    color: str = "red",
    material: str = "rubber",
    rotation: float = 0.0,
) -> SceneObject:
    """An object on the ground."""
    return SceneObject(shape, size, color, material, (x, y, 0.7 if size == "large" else 0.35), rotation)


def scene_of(*things: SceneObject, **extra: object) -> Scene:
    """A scene of these objects, without directions and relations."""
    return Scene(things, {}, {}, extra=extra)


def blender_scenes(shared_data: Path) -> list[Scene]:
    """All scenes of the sample that CLEVR's own generator rendered, at 224x224."""
    scenes = []
    with zipfile.ZipFile(shared_data / "clevr-blender-sample.zip") as archive:
        for split in ("train", "val", "test"):
            records = json.loads(archive.read(f"{split}/CLEVR_scenes.json"))["scenes"]
            scenes += [Scene.from_json(record) for record in records]
    return scenes
