"""What CLEVR's world looks like: lamps, ground, surroundings and materials.

Positions are those of CLEVR's base scene. Strengths and colours were fitted to images of the original
generator with known objects (``docs/clevr-world.md`` says how well); they came out as its Blender file has them where
that is known: a ground of albedo 0.8, surroundings of radiance 0.05, lamps of 100, 50 and 30 W.
All colours are linear; a lamp's strength is the radiance that a white ground facing it one unit away would show, times
the ground's albedo.
"""

from __future__ import annotations

from dataclasses import dataclass

from clevr.world.scene import Vector


@dataclass(frozen=True)
class Lamp:
    """An area lamp that faces the origin."""

    name: str
    position: Vector
    strength: Vector
    """Linear RGB."""
    radius: float
    """Of the disc with the lamp's area."""
    jitter: bool = True
    """Whether its position differs from scene to scene."""


LAMPS = (
    Lamp("key", (6.44671, -2.90517, 4.2584), (6.29, 5.87, 5.14), 0.27),
    Lamp("fill", (-4.67112, -4.0136, 3.01122), (1.57, 1.69, 2.06), 0.33),
    Lamp("back", (-1.1685, 2.64602, 5.81574), (3.12, 3.12, 3.14), 0.43),
    Lamp("sun", (11.6608, -6.62799, 25.8232), (74.0, 74.0, 73.4), 1.48, jitter=False),
)

DISTANT = 3
"""Index of the lamp that is so far away that it shines from one direction everywhere."""

COLORS: dict[str, Vector] = {
    name: (r / 255, g / 255, b / 255)
    for name, (r, g, b) in {
        "gray": (87, 87, 87),
        "red": (173, 35, 35),
        "blue": (42, 75, 215),
        "green": (29, 105, 20),
        "brown": (129, 74, 25),
        "purple": (129, 38, 192),
        "cyan": (41, 208, 208),
        "yellow": (255, 238, 51),
    }.items()
}
"""Albedo by colour name; CLEVR hands these numbers to Blender as linear ones."""

SIZES = {"large": 0.7, "small": 0.35}
"""Half width by size name: radius of spheres and cylinders, half the edge of cubes."""

GROUND_ALBEDO = 0.8


@dataclass(frozen=True)
class Backdrop:
    """The far end of the ground, which bends up into a wall, and the light it throws on the ground."""

    x: float = -0.904
    y: float = 0.427
    distance: float = 12.3
    """From the origin to the wall, along the unit vector ``(x, y)``."""
    left: float = -15.7
    right: float = 20.4
    height: float = 14.6
    softness: float = 0.44
    """Width of the wall's edges as a mirror shows them, as a share of the distance."""
    radiance: float = 0.0867
    """Of the wall."""
    sky: float = 0.0131
    """Radiance of the surroundings beside and above the wall."""
    start: float = 1.0
    end: float = 15.0
    near: float = 0.0395
    far: float = 0.062


@dataclass(frozen=True)
class Tint:
    """Exchange of light between the ground and a body near it."""

    bulk: tuple[float, float, float] = (1.0, 1.33, 1.1)
    """How much more of the sky than a ball of its half width a body takes, by shape code."""
    gain: float = 0.215
    """Radiance on the ground per albedo of a body that filled the sky."""
    loss: float = 0.0465
    """Radiance of the sky that it would take away."""
    reach: float = 3.5
    """Distance in half widths beyond which it is left out."""


@dataclass(frozen=True)
class Rubber:
    """Matte material."""

    sky: float = 0.0231
    """Radiance of the surroundings above."""
    floor: float = 0.78
    """Share of the bare ground's light that a body's own shadow leaves on the ground around it."""


@dataclass(frozen=True)
class Metal:
    """Shiny material: a mirror, and brushed marks that run around the vertical axis."""

    mirror: float = 0.765
    """Share of light reflected as by a mirror."""
    mirror_roughness: float = 0.005
    brushed: float = 0.27
    """Share of light reflected by the brushed marks."""
    along: float = 0.118
    """Roughness along the marks."""
    across: float = 0.272
    """Roughness across them, which is up and down."""
    horizon: float = 0.155
    """Half width of the horizon in a mirror, as the sine of its height."""
    floor: float = 0.415


BACKDROP = Backdrop()
TINT = Tint()
RUBBER = Rubber()
METAL = Metal()
