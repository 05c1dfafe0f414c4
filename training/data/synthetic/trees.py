"""Vegetation: broad-leaved trees, conifers, poplars, bushes and hedges."""

from __future__ import annotations

import numpy as np

from training.data.synthetic.meshes import (
    Material,
    Mesh,
    box,
    concatenate,
    ellipsoid,
    frustum,
    pose,
)


def round_tree(rng: np.random.Generator, bark: Material, leaf: Material) -> Mesh:
    """Return a tree with one rounded crown, its foot at the origin."""
    stem, width = rng.uniform(1.8, 3.0), rng.uniform(1.1, 2.2)
    height = width * rng.uniform(0.8, 1.3)
    crown = ellipsoid((width, width * rng.uniform(0.85, 1.15), height), leaf, 2, 0.12, rng)
    lifted = crown.transformed(pose(0, 0, stem + 0.8 * height))
    return concatenate([_trunk(rng, stem + 0.6 * height, bark), lifted])


def branching_tree(rng: np.random.Generator, bark: Material, leaf: Material) -> Mesh:
    """Return a tree whose crown is made of several clumps."""
    stem = rng.uniform(2.4, 4.0)
    parts = [_trunk(rng, stem + 1.2, bark)]
    for _ in range(int(rng.integers(3, 6))):
        radius, angle, reach = (
            rng.uniform(0.8, 1.6),
            rng.uniform(0, 2 * np.pi),
            rng.uniform(0.4, 1.6),
        )
        clump = ellipsoid((radius, radius, 0.85 * radius), leaf, 1, 0.18, rng)
        lift = stem + rng.uniform(0.5, 2.6)
        parts.append(clump.transformed(pose(reach * np.cos(angle), reach * np.sin(angle), lift)))
    return concatenate(parts)


def conifer(rng: np.random.Generator, bark: Material, leaf: Material) -> Mesh:
    """Return a conifer: stacked cones."""
    height, width = rng.uniform(4.0, 8.5), rng.uniform(1.0, 1.8)
    parts = [_trunk(rng, 1.2, bark)]
    for i in range(4):
        bottom = 0.8 + i * 0.22 * height
        radius = width * (1.0 - 0.2 * i)
        parts.append(frustum(radius, 0.0, height * 0.36, leaf, 9, bottom))
    return concatenate(parts)


def poplar(rng: np.random.Generator, bark: Material, leaf: Material) -> Mesh:
    """Return a slender tree."""
    height, width = rng.uniform(3.0, 5.0), rng.uniform(0.6, 1.0)
    crown = ellipsoid((width, width, height), leaf, 2, 0.10, rng)
    return concatenate([_trunk(rng, 1.6, bark), crown.transformed(pose(0, 0, 1.0 + height))])


def bush(rng: np.random.Generator, leaf: Material) -> Mesh:
    """Return a bush of one to three clumps."""
    parts = []
    for _ in range(int(rng.integers(1, 4))):
        radius = rng.uniform(0.4, 0.9)
        x, y = rng.uniform(-0.6, 0.6, 2)
        clump = ellipsoid((radius, radius, 0.8 * radius), leaf, 1, 0.15, rng)
        parts.append(clump.transformed(pose(x, y, 0.5 * radius)))
    return concatenate(parts)


def hedge(rng: np.random.Generator, length: float, leaf: Material) -> Mesh:
    """Return a clipped hedge along x."""
    return box(length, rng.uniform(0.6, 1.0), rng.uniform(0.8, 1.9) + 0.5, leaf, -0.5)


def any_tree(rng: np.random.Generator, bark: Material, leaf: Material) -> Mesh:
    """Return a tree of a random kind, yaw included."""
    makers = (round_tree, branching_tree, conifer, poplar)
    maker = makers[int(rng.choice(4, p=(0.36, 0.34, 0.16, 0.14)))]
    return maker(rng, bark, leaf).transformed(pose(0, 0, 0, rng.uniform(0, 2 * np.pi)))


def _trunk(rng: np.random.Generator, height: float, bark: Material) -> Mesh:
    radius = rng.uniform(0.11, 0.24)
    return frustum(radius * 1.25, radius * 0.8, height + 0.4, bark, 8, -0.4)
