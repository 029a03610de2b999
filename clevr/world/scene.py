"""A CLEVR scene: its objects, its directions and the relations between them.

The field names and the JSON form are those of CLEVR's own scene files
(Johnson et al., "CLEVR", CVPR 2017, https://arxiv.org/abs/1612.06890).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from clevr.world.spec import CLEVR, Vector, WorldSpec

SIZES, COLORS, MATERIALS, SHAPES = CLEVR.values.values()
"""The values of CLEVR's attributes; those of another world are in its :class:`WorldSpec`."""
RELATIONS = ("left", "right", "front", "behind")


@dataclass(frozen=True)
class SceneObject:
    """One object of a scene."""

    shape: str
    size: str
    color: str
    material: str
    coords: Vector
    """Centre in the world, ``(x, y, z)``; the ground is ``z = 0``."""
    rotation: float
    """Turn about the vertical axis, in [0, 360). CLEVR's files call it degrees; Blender, and so ours, takes radians."""
    pixel_coords: Vector = (0.0, 0.0, 0.0)
    """Centre in the image, ``(column, row, depth)``."""

    def to_json(self) -> dict[str, Any]:
        """The object as CLEVR's scene files write it."""
        return {
            "shape": self.shape,
            "size": self.size,
            "color": self.color,
            "material": self.material,
            "3d_coords": list(self.coords),
            "rotation": self.rotation,
            "pixel_coords": list(self.pixel_coords),
        }


@dataclass(frozen=True)
class Scene:
    """Objects and how they lie to each other.

    ``relationships[relation][i]`` lists the objects that stand in ``relation`` to object ``i``:
    ``relationships["left"][i]`` are the objects to the left of ``i``.
    """

    objects: tuple[SceneObject, ...]
    directions: Mapping[str, Vector]
    relationships: Mapping[str, tuple[tuple[int, ...], ...]]
    image_index: int = 0
    image_filename: str = ""
    split: str = "train"
    extra: Mapping[str, Any] = field(default_factory=dict)
    """Further entries of the scene's JSON record, kept as they came."""
    world: WorldSpec = CLEVR
    """What it is a scene of; a data set says so for all its scenes, not each record."""

    def to_json(self) -> dict[str, Any]:
        """The scene as one record of CLEVR's ``CLEVR_<split>_scenes.json``."""
        return {
            "split": self.split,
            "image_index": self.image_index,
            "image_filename": self.image_filename,
            "objects": [thing.to_json() for thing in self.objects],
            "directions": {name: list(vector) for name, vector in self.directions.items()},
            "relationships": {name: [list(row) for row in rows] for name, rows in self.relationships.items()},
            **self.extra,
        }

    @classmethod
    def from_json(cls, record: Mapping[str, Any], world: WorldSpec = CLEVR) -> Scene:
        """Read one record of a scenes file; a missing key is a ``KeyError``."""
        known = {"split", "image_index", "image_filename", "objects", "directions", "relationships"}
        return cls(
            objects=tuple(_object_from_json(thing) for thing in record["objects"]),
            directions={name: tuple(vector) for name, vector in record.get("directions", {}).items()},
            relationships={name: tuple(tuple(row) for row in rows) for name, rows in record["relationships"].items()},
            image_index=record["image_index"],
            image_filename=record["image_filename"],
            split=record.get("split", ""),
            extra={key: value for key, value in record.items() if key not in known},
            world=world,
        )


def _object_from_json(record: Mapping[str, Any]) -> SceneObject:
    return SceneObject(
        shape=record["shape"],
        size=record["size"],
        color=record["color"],
        material=record["material"],
        coords=tuple(record["3d_coords"]),
        rotation=record["rotation"],
        pixel_coords=tuple(record["pixel_coords"]),
    )
