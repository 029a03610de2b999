"""Small random scenes for the tests: no renderer, no margins, relations from random coordinates."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

from clevr.world.scene import COLORS, MATERIALS, SHAPES, SIZES, Scene, SceneObject

EPSILON = 0.2


def random_scene(rng: np.random.Generator, num_objects: int | None = None, index: int = 0) -> Scene:
    """3 to 10 objects with every attribute uniform, seen from a random side."""
    count = num_objects or int(rng.integers(3, 11))
    places = rng.uniform(-3, 3, (count, 2))
    angle = rng.uniform(0, 2 * np.pi)
    right = np.array([np.cos(angle), np.sin(angle)])
    behind = np.array([-np.sin(angle), np.cos(angle)])
    directions = {"left": -right, "right": right, "behind": behind, "front": -behind}
    relationships = {}
    for name, direction in directions.items():
        along = places @ direction
        relationships[name] = tuple(
            tuple(j for j in range(count) if j != i and along[j] > along[i] + EPSILON) for i in range(count)
        )
    objects = tuple(
        SceneObject(
            shape=str(rng.choice(SHAPES)),
            size=str(rng.choice(SIZES)),
            color=str(rng.choice(COLORS)),
            material=str(rng.choice(MATERIALS)),
            coords=(float(x), float(y), 0.5),
            rotation=0.0,
        )
        for x, y in places
    )
    return Scene(
        objects=objects,
        directions={name: (float(v[0]), float(v[1]), 0.0) for name, v in directions.items()},
        relationships=relationships,
        image_index=index,
        image_filename=f"CLEVR_train_{index:06d}.png",
    )


@st.composite
def scenes(draw: st.DrawFn, least: int = 3) -> Scene:
    """Scenes that Hypothesis can make smaller: few objects, plain places."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    return random_scene(rng, draw(st.integers(least, 10)), draw(st.integers(0, 99)))
