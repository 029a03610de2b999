"""Three-component vectors kept as three tensors.

A ray caster works on long flat lists of points. Separate components keep every operation a plain
elementwise one: no strides, and only ``+ - * / sqrt``, which IEEE 754 rounds exactly. So a picture
does not depend on its place in the batch, and hardly on the device.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


def pick(values: Tensor, index: Tensor) -> Tensor:
    """``values[index]`` for an index without negative numbers: several times as fast on a CPU."""
    return values.index_select(0, index.reshape(-1)).reshape(*index.shape, *values.shape[1:])


@dataclass(frozen=True, slots=True)
class Vec:
    """A list of vectors: ``x``, ``y`` and ``z`` broadcast against each other."""

    x: Tensor
    y: Tensor
    z: Tensor

    @classmethod
    def of(cls, rows: Tensor) -> Vec:
        """Split ``(..., 3)`` into its components."""
        x, y, z = rows.unbind(-1)
        return cls(x.contiguous(), y.contiguous(), z.contiguous())

    def __add__(self, other: Vec) -> Vec:
        return Vec(self.x + other.x, self.y + other.y, self.z + other.z)

    def __sub__(self, other: Vec) -> Vec:
        return Vec(self.x - other.x, self.y - other.y, self.z - other.z)

    def __mul__(self, factor: Tensor | float) -> Vec:
        return Vec(self.x * factor, self.y * factor, self.z * factor)

    def __getitem__(self, index: Tensor) -> Vec:
        return Vec(pick(self.x, index), pick(self.y, index), pick(self.z, index))

    def dot(self, other: Vec) -> Tensor:
        """Inner products."""
        return self.x * other.x + self.y * other.y + self.z * other.z

    def cross(self, other: Vec) -> Vec:
        """Cross products."""
        return Vec(
            self.y * other.z - self.z * other.y,
            self.z * other.x - self.x * other.z,
            self.x * other.y - self.y * other.x,
        )

    def unit(self) -> Vec:
        """The same directions at length one."""
        return self * (1.0 / self.dot(self).sqrt())

    def reflect(self, normal: Vec) -> Vec:
        """Mirror directions at surfaces with unit normals ``normal``."""
        return self - normal * (2.0 * self.dot(normal))

    def rotate(self, cos: Tensor, sin: Tensor) -> Vec:
        """Turn about the vertical axis by the angle with this cosine and sine."""
        return Vec(cos * self.x - sin * self.y, sin * self.x + cos * self.y, self.z)

    def reshape(self, *shape: int) -> Vec:
        """The same vectors in another shape."""
        return Vec(self.x.reshape(shape), self.y.reshape(shape), self.z.reshape(shape))

    def column(self) -> Vec:
        """Append an axis of length one, to broadcast against rows of points."""
        return Vec(self.x.unsqueeze(-1), self.y.unsqueeze(-1), self.z.unsqueeze(-1))
