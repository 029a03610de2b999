"""CLEVR's camera: Blender's default lens, held near one corner of the ground and always aimed at its middle."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from clevr.world.scene import Scene
from clevr.world.spec import CLEVR, Vector
from fewshot_film.errors import UserError

FOCAL = 35.0 / 32.0
"""Focal length over the sensor's width, which is the image's longer side."""
MEAN_CAMERA: Vector = CLEVR.camera
"""Where the camera stands before its jitter. It turns to keep the ground's middle in the image's middle."""

Array = npt.NDArray[np.float64]


class CameraError(UserError, ValueError):
    """A scene's pixel coordinates fit no camera of CLEVR's kind."""


def axes(camera: npt.ArrayLike) -> tuple[Array, Array, Array]:
    """Unit vectors to the right, up and forward of a camera that looks at the origin."""
    forward = -np.asarray(camera, dtype=np.float64)
    forward /= math.sqrt(forward.dot(forward))
    right = _cross(forward.tolist(), (0.0, 0.0, 1.0))
    right /= math.sqrt(right.dot(right))
    return right, _cross(right.tolist(), forward.tolist()), forward


def _cross(one: Sequence[float], other: Sequence[float]) -> Array:
    """As ``np.cross``, to the bit, but many times as fast for single vectors."""
    (a, b, c), (x, y, z) = one, other
    return np.array([b * z - c * y, c * x - a * z, a * y - b * x])


def directions(camera: Vector = MEAN_CAMERA) -> dict[str, Vector]:
    """The six directions of a scene, along the ground and across it.

    CLEVR takes them before Blender has applied the camera's jitter, so they are those of the mean camera, the same in
    every scene file it ever wrote, while the image is taken from the jittered place.

    Args:
        camera: where the camera stands before its jitter.
    """
    x, y, _ = camera
    length = math.hypot(x, y)
    front = (x / length, y / length, 0.0)
    right = (-y / length, x / length, 0.0)
    return {
        "right": right,
        "behind": (-front[0], -front[1], 0.0),
        "above": (0.0, 0.0, 1.0),
        "below": (0.0, 0.0, -1.0),
        "left": (-right[0], -right[1], 0.0),
        "front": front,
    }


def project(points: npt.ArrayLike, camera: npt.ArrayLike, width: int, height: int) -> Array:
    """Where points of the world lie in an image. CLEVR's ``pixel_coords`` are these with column and row rounded.

    Args:
        points: ``(n, 3)``.
        camera: the camera's place.
        width: of the image in pixels.
        height: of the image in pixels.
    Returns:
        ``(n, 3)``: column and row, not rounded (pixel centres are at halves), and depth along the view.
    """
    right, up, forward = axes(camera)
    offset = np.asarray(points, dtype=np.float64).reshape(-1, 3) - np.asarray(camera, dtype=np.float64)
    depth = offset @ forward
    scale = FOCAL * max(width, height) / depth
    return np.stack([width / 2 + offset @ right * scale, height / 2 - offset @ up * scale, depth], axis=-1)


def estimate_camera(scene: Scene) -> Vector:
    """Find where a scene's camera stood from the depths in its objects' ``pixel_coords``.

    CLEVR's files do not hold the camera's place, but depths are exact to float precision, and a camera
    aimed at the origin has three unknowns: three objects in general position give it back.

    Raises:
        CameraError: fewer than three objects, or depths that no camera aimed at the origin gives.
    """
    points = np.array([thing.coords for thing in scene.objects], dtype=np.float64).reshape(-1, 3)
    depths = np.array([thing.pixel_coords[2] for thing in scene.objects], dtype=np.float64)
    if len(points) < 3:
        raise CameraError(f"a camera needs 3 objects to be found, the scene has {len(points)}; use the mean camera")
    camera = np.array(scene.world.camera)
    for _ in range(20):
        distance = np.linalg.norm(camera)
        error = distance - points @ camera / distance - depths
        slopes = camera / distance - points / distance + np.outer(points @ camera, camera) / distance**3
        camera = camera - np.linalg.lstsq(slopes, error, rcond=1e-9)[0]
    if not np.all(np.isfinite(camera)) or np.abs(error).max() > 1e-3:
        raise CameraError(
            f"the depths of scene {scene.image_index} fit no camera aimed at the ground's middle "
            "(was it rendered by CLEVR's generator?); use the mean camera"
        )
    x, y, z = (float(c) for c in camera)
    return (x, y, z)


def camera_of(scene: Scene) -> list[float]:
    """Where a scene's camera stood: as its record says, else as its depths tell, else the world's mean place."""
    if "camera" in scene.extra:
        return [float(value) for value in scene.extra["camera"]]
    try:
        return list(estimate_camera(scene))
    except CameraError:
        return list(scene.world.camera)
