"""What every world looks like, as CLEVR's does: ground, surroundings and the two kinds of surface.

Values were fitted to images of the original generator with known objects (``docs/clevr-world.md`` says how well); they
came out as its Blender file has them where that is known: a ground of albedo 0.8, surroundings of radiance 0.05, lamps
of 100, 50 and 30 W (:data:`clevr.world.spec.CLEVR`). All colours are linear.
"""

from __future__ import annotations

from dataclasses import dataclass

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

    bulk: tuple[float, ...] = (1.0, 1.33, 1.1, 0.65, 0.8, 0.7)
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
