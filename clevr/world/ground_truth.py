"""What a network might be taught to see beside an image: masks, depth, normals and boxes, of every pixel's middle.

All of it is a function of the scene, as the image is. Masks are of what is visible and of whole objects, which others
may hide; depth is along the view, as in ``pixel_coords``; normals are in the camera's frame.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from clevr.world.materials import find_surface_points
from clevr.world.primitives import Bodies, pack
from clevr.world.ray_casting import Grid, trace
from clevr.world.render import boxes, masks
from clevr.world.scene import Scene
from clevr.world.vectors import Vec, pick


@dataclass(frozen=True)
class GroundTruth:
    """What is where in the image of one scene with ``N`` objects."""

    ids: Tensor
    """int64 ``(H, W)``: the object that each pixel shows, by its place in the scene; -1 is the ground."""
    whole: Tensor
    """bool ``(N, H, W)``: which pixels each object would cover if it stood alone."""
    depth: Tensor
    """float32 ``(H, W)``: depth along the view, in the scene's units; infinite where a ray meets nothing."""
    normals: Tensor
    """float32 ``(3, H, W)``: unit normals to the right, up and toward the camera; zeros where a ray meets nothing."""

    @property
    def visible(self) -> Tensor:
        """Bool ``(N, H, W)``: which pixels show each object."""
        return masks(self.ids, len(self.whole))

    @property
    def boxes(self) -> Tensor:
        """int64 ``(N, 4)``: left, top, right, bottom around what is visible; see :func:`clevr.world.render.boxes`."""
        return boxes(self.ids, len(self.whole))

    @property
    def whole_boxes(self) -> Tensor:
        """int64 ``(N, 4)``: the same around whole objects."""
        parts = [boxes(torch.where(mask, 0, -1), 1)[0] for mask in self.whole]
        return torch.stack(parts) if parts else torch.zeros(0, 4, dtype=torch.int64)


@torch.no_grad()
def ground_truth(
    scene: Scene, width: int = 320, height: int = 240, *, device: torch.device | str = "cpu"
) -> GroundTruth:
    """See what is where in a scene.

    Args:
        scene: of any world.
        width: of the image, in pixels.
        height: of the image, in pixels.
        device: where to look; the results lie on the CPU.
    Raises:
        SceneError: a scene that its world cannot have.
    """
    grid = Grid(width, height, 1, torch.device(device))
    bodies = pack([scene], device)
    view = trace(bodies, grid)
    shown = view.shown.reshape(-1).long()
    rays = _rays(bodies, grid)
    depth, normal = _ground(bodies, rays)
    seen = (shown >= 0).nonzero()  # (n, 1)
    if len(seen):
        body = shown[seen]
        at = view.depth.reshape(-1)[seen]
        camera = Vec(*(part.expand(len(seen), 1) for part in (bodies.camera.x, bodies.camera.y, bodies.camera.z)))
        spots = find_surface_points(bodies, body, camera, rays[seen], at)
        depth[seen] = at
        for part, values in zip(normal, (spots.normal.x, spots.normal.y, spots.normal.z), strict=True):
            part[seen] = values
    world = Vec(*normal)
    axes = (bodies.right, bodies.up, bodies.forward * -1.0)
    normals = torch.stack([world.dot(axis) for axis in axes])
    index = pick(torch.cat([bodies.index.new_full((1,), -1), bodies.index]), shown + 1)
    ids, depth, normals = (grid.to_image(values).cpu() for values in (index, depth, normals))
    return GroundTruth(ids, whole_masks(scene, width, height, device=device), depth, normals)


@torch.no_grad()
def whole_masks(scene: Scene, width: int = 320, height: int = 240, *, device: torch.device | str = "cpu") -> Tensor:
    """Which pixels each object would cover if it stood alone: bool ``(N, height, width)``."""
    grid = Grid(width, height, 1, torch.device(device))
    alone = [replace(scene, objects=(thing,)) for thing in scene.objects]
    if not alone:
        return torch.zeros(0, height, width, dtype=torch.bool)
    shown = trace(pack(alone, device), grid).shown
    return grid.to_image((shown >= 0).reshape(len(alone), -1)).cpu()


def _rays(bodies: Bodies, grid: Grid) -> Vec:
    """``(P,)``: the rays through the pixels' middles, in tile order; one unit deep."""
    x, y = (part.reshape(-1) for part in grid.rays())
    return bodies.forward + bodies.right * x + bodies.up * y


def _ground(bodies: Bodies, rays: Vec) -> tuple[Tensor, list[Tensor]]:
    """Depth and normal of the ground along rays."""
    below = rays.z < 0
    depth = torch.where(below, bodies.camera.z / (-rays.z).clamp(min=1e-9), float("inf"))
    return depth, [torch.zeros_like(depth), torch.zeros_like(depth), below.to(depth)]
