"""Closed triangle solids with texture coordinates: box, prism, cylinder, cone, ellipsoid."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class Material:
    """What a surface is made of.

    Attributes:
        texture: index of the texture in the atlas.
        repeat_m: size of one repeat of the texture (u, v) in metres.
        label: class id (`selfocc_core.semantics`).
        tint: factor on the colour of the texture (r, g, b).
        paint: 1 where the road paint lies over the texture, else 0.
    """

    texture: int
    repeat_m: tuple[float, float]
    label: int
    tint: tuple[float, float, float] = (1.0, 1.0, 1.0)
    paint: int = 0


@dataclass(frozen=True)
class Mesh:
    """Triangles with their own corners (no shared vertices), counter-clockwise from outside.

    Attributes:
        vertices: corners in metres, [T,3,3].
        normals: shading normals at the corners, [T,3,3].
        uv: texture coordinates at the corners in repeats, v upwards, [T,3,2].
        texture: texture index [T] int32.
        label: class id [T] uint8.
        tint: colour factor [T,3].
        paint: 1 where road paint lies over the texture [T] uint8.
    """

    vertices: FloatArray
    normals: FloatArray
    uv: FloatArray
    texture: NDArray[np.int32]
    label: NDArray[np.uint8]
    tint: FloatArray
    paint: NDArray[np.uint8]

    def __len__(self) -> int:
        """Return the number of triangles."""
        return len(self.vertices)

    def transformed(self, target_from_source: FloatArray) -> Mesh:
        """Return the mesh moved by a rigid transform [4,4]."""
        rotation, shift = target_from_source[:3, :3], target_from_source[:3, 3]
        return Mesh(
            np.einsum('tci,ji->tcj', self.vertices, rotation) + shift,
            np.einsum('tci,ji->tcj', self.normals, rotation),
            self.uv,
            self.texture,
            self.label,
            self.tint,
            self.paint,
        )


def concatenate(meshes: Sequence[Mesh]) -> Mesh:
    """Join meshes into one, keeping their order."""
    fields = ('vertices', 'normals', 'uv', 'texture', 'label', 'tint', 'paint')
    if not meshes:
        return painted(np.zeros((0, 3, 3)), np.zeros((0, 3, 2)), Material(0, (1.0, 1.0), 0))
    return Mesh(*(np.concatenate([getattr(mesh, name) for mesh in meshes]) for name in fields))


def flat_normals(vertices: FloatArray) -> FloatArray:
    """Return the unit face normal of every triangle at its three corners, [T,3,3]."""
    cross = np.cross(vertices[:, 1] - vertices[:, 0], vertices[:, 2] - vertices[:, 0])
    unit = cross / np.maximum(np.linalg.norm(cross, axis=1, keepdims=True), 1e-12)
    return np.repeat(unit[:, None], 3, axis=1)


def painted(
    vertices: FloatArray,
    uv_m: FloatArray,
    material: Material,
    normals: FloatArray | None = None,
) -> Mesh:
    """Make a mesh of one material.

    Args:
        vertices: corners [T,3,3] in metres.
        uv_m: texture coordinates [T,3,2] in metres.
        material: the material.
        normals: shading normals [T,3,3]; face normals if absent.
    """
    count = len(vertices)
    return Mesh(
        np.asarray(vertices, np.float64),
        flat_normals(vertices) if normals is None else normals,
        uv_m / np.asarray(material.repeat_m),
        np.full(count, material.texture, np.int32),
        np.full(count, material.label, np.uint8),
        np.tile(np.asarray(material.tint, np.float64), (count, 1)),
        np.full(count, material.paint, np.uint8),
    )


def pose(x: float, y: float, z: float, yaw: float = 0.0, pitch: float = 0.0) -> FloatArray:
    """Return parent_from_object [4,4]: yaw about z, then pitch about y (nose down positive)."""
    cy, sy, cp, sp = np.cos(yaw), np.sin(yaw), np.cos(pitch), np.sin(pitch)
    return np.array(
        [
            [cy * cp, -sy, cy * sp, x],
            [sy * cp, cy, sy * sp, y],
            [-sp, 0.0, cp, z],
            [0.0, 0.0, 0.0, 1.0],
        ]
    )


def _quad(corners: FloatArray) -> FloatArray:
    return corners[[[0, 1, 2], [0, 2, 3]]]


def prism(profile: Sequence[tuple[float, float]], width: float, material: Material) -> Mesh:
    """Extrude a convex profile in the x-z plane along y.

    Args:
        profile: (x, z) corners in metres, counter-clockwise seen from -y (x right, z up).
        width: extent along y in metres, centred on zero.
        material: surface of all faces.
    """
    outline = np.asarray(profile, np.float64)
    near, far = (_with_y(outline, side * width / 2) for side in (-1, 1))
    triangles, uv = [], []
    for i in range(1, len(outline) - 1):
        triangles += [near[[0, i, i + 1]], far[[0, i + 1, i]]]
        uv += [outline[[0, i, i + 1]], outline[[0, i + 1, i]] * (-1, 1)]
    for i, j in ((i, (i + 1) % len(outline)) for i in range(len(outline))):
        triangles += list(_quad(np.stack([near[j], near[i], far[i], far[j]])))
        uv += list(_side_uv(outline[i], outline[j], width))
    return painted(np.stack(triangles), np.stack(uv), material)


def _with_y(outline: FloatArray, y: float) -> FloatArray:
    return np.stack([outline[:, 0], np.full(len(outline), y), outline[:, 1]], axis=1)


def _side_uv(start: FloatArray, end: FloatArray, width: float) -> FloatArray:
    """Texture coordinates of a side: u across the width, v up (or along x where it lies flat)."""
    steep = abs(end[1] - start[1]) > abs(end[0] - start[0])
    v0, v1 = (start[1], end[1]) if steep else (start[0], end[0])
    sign = 1.0 if end[1] >= start[1] else -1.0
    low, high = -sign * width / 2, sign * width / 2
    return _quad(np.array([[low, v1], [low, v0], [high, v0], [high, v1]]))


def box(
    length: float, width: float, height: float, material: Material, bottom: float = 0.0
) -> Mesh:
    """Return a box centred on x and y, standing on z = bottom."""
    half = length / 2
    top = bottom + height
    profile = [(-half, bottom), (half, bottom), (half, top), (-half, top)]
    return prism(profile, width, material)


def frustum(
    radius: float,
    top_radius: float,
    height: float,
    material: Material,
    segments: int = 10,
    bottom: float = 0.0,
) -> Mesh:
    """Return a closed upright cylinder (equal radii) or cone (zero top radius)."""
    angle = np.linspace(0.0, 2 * np.pi, segments + 1)
    ring = np.stack([np.cos(angle), np.sin(angle), np.zeros_like(angle)], axis=1)
    low = ring * radius + (0, 0, bottom)
    high = ring * top_radius + (0, 0, bottom + height)
    slope = np.stack(
        [ring[:, 0], ring[:, 1], np.full(segments + 1, (radius - top_radius) / height)], 1
    )
    slope /= np.linalg.norm(slope, axis=1, keepdims=True)
    wall, normals, uv = [], [], []
    for i in range(segments):
        wall.append(_quad(np.stack([low[i], low[i + 1], high[i + 1], high[i]])))
        normals.append(_quad(np.stack([slope[i], slope[i + 1], slope[i + 1], slope[i]])))
        u0, u1 = angle[i] * radius, angle[i + 1] * radius
        uv.append(_quad(np.array([[u0, 0], [u1, 0], [u1, height], [u0, height]])))
    side = painted(np.concatenate(wall), np.concatenate(uv), material, np.concatenate(normals))
    return concatenate([side, _cap(low, material, False), _cap(high, material, True)])


def _cap(ring: FloatArray, material: Material, upwards: bool) -> Mesh:
    centre = ring[:-1].mean(axis=0)
    first, second = (ring[:-1], ring[1:]) if upwards else (ring[1:], ring[:-1])
    triangles = np.stack([np.broadcast_to(centre, first.shape), first, second], axis=1)
    return painted(triangles, triangles[:, :, :2].copy(), material)


@lru_cache(maxsize=4)
def unit_icosphere(levels: int) -> FloatArray:
    """Return the triangles of a subdivided icosahedron on the unit sphere, [20*4^levels,3,3]."""
    ratio = (1 + 5**0.5) / 2
    signs = [(-1.0, ratio), (1.0, ratio), (-1.0, -ratio), (1.0, -ratio)]
    corner = np.array(
        [
            *[(short, long, 0.0) for short, long in signs],
            *[(0.0, short, long) for short, long in signs],
            *[(long, 0.0, short) for short, long in signs],
        ]
    )
    # Five faces around a corner, their neighbours, five around the opposite corner, theirs.
    near = [(0, 11, 5), (0, 5, 1), (0, 1, 7), (0, 7, 10), (0, 10, 11)]
    beside_near = [(1, 5, 9), (5, 11, 4), (11, 10, 2), (10, 7, 6), (7, 1, 8)]
    far = [(3, 9, 4), (3, 4, 2), (3, 2, 6), (3, 6, 8), (3, 8, 9)]
    beside_far = [(4, 9, 5), (2, 4, 11), (6, 2, 10), (8, 6, 7), (9, 8, 1)]
    face = np.array([*near, *beside_near, *far, *beside_far])
    triangles: FloatArray = (corner / np.linalg.norm(corner[0]))[face]
    for _ in range(levels):
        triangles = _subdivided(triangles)
    return triangles


def _subdivided(triangles: FloatArray) -> FloatArray:
    a, b, c = triangles[:, 0], triangles[:, 1], triangles[:, 2]
    ab, bc, ca = a + b, b + c, c + a
    ab, bc, ca = (m / np.linalg.norm(m, axis=1, keepdims=True) for m in (ab, bc, ca))
    parts = [(a, ab, ca), (ab, b, bc), (ca, bc, c), (ab, bc, ca)]
    return np.concatenate([np.stack(part, axis=1) for part in parts])


def ellipsoid(
    radii: tuple[float, float, float],
    material: Material,
    levels: int = 2,
    roughness: float = 0.0,
    rng: np.random.Generator | None = None,
) -> Mesh:
    """Return an ellipsoid about the origin, its surface swelling by +-roughness.

    Args:
        radii: half axes in metres.
        material: surface.
        levels: subdivisions of the icosahedron.
        roughness: relative amplitude of the bumps, needs `rng`.
        rng: source of the bumps.
    """
    unit = unit_icosphere(levels)
    swelling = np.ones(unit.shape[:2])
    if rng is not None:
        wave, phase = rng.normal(0.0, 3.0, (6, 3)), rng.uniform(0.0, 2 * np.pi, 6)
        swelling += roughness * np.sin(unit @ wave.T + phase).sum(axis=2) / 2.5
    vertices = unit * swelling[..., None] * np.asarray(radii)
    smooth = unit / np.asarray(radii)
    normals = smooth / np.linalg.norm(smooth, axis=2, keepdims=True)
    if roughness > 0.0:
        normals = 0.5 * normals + 0.5 * flat_normals(vertices)
    return painted(vertices, _dominant_plane_uv(vertices), material, normals)


def _dominant_plane_uv(vertices: FloatArray) -> FloatArray:
    """Project every triangle on the coordinate plane it faces most."""
    axis = np.abs(flat_normals(vertices)[:, 0]).argmax(axis=1)
    keep = np.array([[1, 2], [0, 2], [0, 1]])[axis]
    return np.asarray(np.take_along_axis(vertices, keep[:, None, :].repeat(3, axis=1), axis=2))
