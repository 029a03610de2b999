"""Scenes to ask about, without pictures: uniform attributes, CLEVR's distances between uniform places."""

from __future__ import annotations

import math

import numpy as np

from clevr.world.scene import COLORS, MATERIALS, SHAPES, SIZES, Scene, SceneObject
from fewshot_film.run.seeding import numpy_generator

_MARGIN = 0.4
_EPSILON = 0.2


def random_scene(seed: int, index: int) -> Scene:
    """Scene ``index`` of a seed: 3 to 10 objects, related as CLEVR relates them."""
    rng = numpy_generator(seed, "scene", index)
    camera = math.atan2(-6.5 + rng.uniform(-0.5, 0.5), 7.5 + rng.uniform(-0.5, 0.5))
    front, right = (
        np.array([math.cos(camera), math.sin(camera)]),
        np.array([-math.sin(camera), math.cos(camera)]),
    )
    directions = {"left": -right, "right": right, "front": front, "behind": -front}
    places = _places(rng, int(rng.integers(3, 11)), np.stack([front, right]))
    objects = tuple(
        SceneObject(
            shape=str(rng.choice(SHAPES)),
            size=str(rng.choice(SIZES)),
            color=str(rng.choice(COLORS)),
            material=str(rng.choice(MATERIALS)),
            coords=(float(x), float(y), 0.35),
            rotation=0.0,
        )
        for x, y in places
    )
    return Scene(
        objects=objects,
        directions={name: (float(x), float(y), 0.0) for name, (x, y) in directions.items()},
        relationships={name: _related(places @ direction) for name, direction in directions.items()},
        image_index=index,
        image_filename=f"CLEVR_train_{index:06d}.png",
    )


def _places(rng: np.random.Generator, count: int, axes: np.ndarray) -> np.ndarray:
    """Places that no two objects share along either direction of view, ``(count, 2)``."""
    places: list[np.ndarray] = []
    while len(places) < count:
        place = rng.uniform(-3, 3, 2)
        gaps = [np.abs(axes @ (place - other)) for other in places]
        if all(gap.min() > _MARGIN / 4 and gap.max() > _MARGIN for gap in gaps):
            places.append(place)
    return np.stack(places)


def _related(along: np.ndarray) -> tuple[tuple[int, ...], ...]:
    return tuple(tuple(np.flatnonzero(along > here + _EPSILON).tolist()) for here in along)
