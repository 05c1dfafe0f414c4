"""What the shader needs of every triangle, as arrays: attributes are affine in position."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from training.data.synthetic.atlas import PackedTextures
from training.data.synthetic.meshes import Mesh


class SurfaceTable(NamedTuple):
    """Per-triangle arrays.

    Attributes:
        corner: first corner in metres, [T,3].
        base: (u, v, nx, ny, nz) at that corner, [T,5].
        gradient: change of those per metre, [T,5,3].
        facing: unit face normal, [T,3].
        density: texels per metre at the finest level, [T].
        texture: texture index, [T].
        tint: colour factor, [T,3].
        paint: 1 where road paint applies, [T].
        label: class id, [T].
    """

    corner: NDArray[np.float32]
    base: NDArray[np.float32]
    gradient: NDArray[np.float32]
    facing: NDArray[np.float32]
    density: NDArray[np.float32]
    texture: NDArray[np.int32]
    tint: NDArray[np.float32]
    paint: NDArray[np.uint8]
    label: NDArray[np.uint8]


def surface_table(mesh: Mesh, textures: PackedTextures) -> SurfaceTable:
    """Compute the table of a mesh in world coordinates."""
    corner = mesh.vertices[:, 0]
    edge1, edge2 = mesh.vertices[:, 1] - corner, mesh.vertices[:, 2] - corner
    normal = np.cross(edge1, edge2)
    area2 = np.maximum((normal**2).sum(axis=1, keepdims=True), 1e-18)
    along1, along2 = np.cross(edge2, normal) / area2, np.cross(normal, edge1) / area2
    value = np.concatenate([mesh.uv, mesh.normals], axis=2)
    change1, change2 = value[:, 1] - value[:, 0], value[:, 2] - value[:, 0]
    gradient = change1[:, :, None] * along1[:, None] + change2[:, :, None] * along2[:, None]
    texels = np.linalg.norm(gradient[:, :2], axis=2) * textures.size[mesh.texture, 0]
    return SurfaceTable(
        corner=corner.astype(np.float32),
        base=value[:, 0].astype(np.float32),
        gradient=gradient.astype(np.float32),
        facing=(normal / np.sqrt(area2)).astype(np.float32),
        density=texels.max(axis=1).astype(np.float32),
        texture=mesh.texture,
        tint=mesh.tint.astype(np.float32),
        paint=mesh.paint,
        label=mesh.label,
    )


def with_tail(table: SurfaceTable, count: int) -> SurfaceTable:
    """Return a copy with room for `count` more triangles at the end."""
    grown = []
    for array in table:
        tail = np.zeros((count, *array.shape[1:]), array.dtype)
        grown.append(np.concatenate([array, tail]))
    return SurfaceTable(*grown)


def write_rows(table: SurfaceTable, first: int, rows: SurfaceTable) -> None:
    """Overwrite the rows from `first` on, in place."""
    last = first + len(rows.corner)
    for name in SurfaceTable._fields:
        getattr(table, name)[first:last] = getattr(rows, name)
