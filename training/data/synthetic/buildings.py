"""Houses and blocks: x along the street, the front faces -y, z = 0 at the door sill."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from training.data.synthetic.meshes import Material, Mesh, box, concatenate, pose, prism

FOUNDATION_M = 3.0


@dataclass(frozen=True)
class BuildingMaterials:
    """Surfaces of a building and the rhythm of its facade in metres."""

    front: Material
    ground_floor: Material
    roof: Material
    trim: Material
    base: Material
    bay_m: float
    floor_m: float


@dataclass(frozen=True)
class Building:
    """A building's mesh and its footprint in metres."""

    mesh: Mesh
    length: float
    depth: float


def building(
    rng: np.random.Generator, surface: BuildingMaterials, floors: int, longest: float
) -> Building:
    """Return a building of whole window bays, at most `longest` metres along the street."""
    pairs = int(np.clip(longest / (2 * surface.bay_m), 1, rng.integers(2, 5)))
    length = 2 * surface.bay_m * pairs
    depth = 2 * surface.bay_m * int(np.clip(round(11.0 / (2 * surface.bay_m)), 1, 3))
    shop = surface.ground_floor is not surface.front
    base = 3.4 if shop else 0.0
    top = base + floors * surface.floor_m
    parts = [
        box(length + 0.1, depth + 0.1, FOUNDATION_M + 0.25, surface.base, -FOUNDATION_M),
        box(length, depth, top - base, surface.front, 0.0).transformed(pose(0, 0, base)),
    ]
    if shop:
        parts.append(box(length, depth, base, surface.ground_floor))
    parts += _roof(rng, surface, length, depth, top)
    parts += _ornaments(rng, surface, pairs, depth, base, floors)
    return Building(concatenate(parts), length, depth)


def _roof(
    rng: np.random.Generator, surface: BuildingMaterials, length: float, depth: float, top: float
) -> list[Mesh]:
    if rng.uniform() < 0.4:
        cornice = box(length + 0.5, depth + 0.5, 0.35, surface.trim, top - 0.1)
        housing = box(2.5, 2.0, 1.8, surface.base, top)
        return [cornice, housing.transformed(pose(rng.uniform(-2, 2), 0, 0))]
    rise, eave = rng.uniform(0.28, 0.5) * depth, depth / 2 + 0.45
    gable = prism([(-eave, 0.0), (eave, 0.0), (0.0, rise)], length + 0.3, surface.roof)
    roof = gable.transformed(pose(0, 0, top, np.pi / 2))
    chimney = box(0.7, 0.7, rise + 0.9, surface.base, top)
    return [roof, chimney.transformed(pose(rng.uniform(-0.4, 0.4) * length, 0.15 * depth, 0))]


def _ornaments(
    rng: np.random.Generator,
    surface: BuildingMaterials,
    pairs: int,
    depth: float,
    base: float,
    floors: int,
) -> list[Mesh]:
    """Balconies, a string course, an awning: relief on the front."""
    parts, front, bays = [], -depth / 2, 2 * pairs
    if base > 0.0:
        course = box(bays * surface.bay_m + 0.2, 0.3, 0.25, surface.trim, base - 0.1)
        parts.append(course.transformed(pose(0, front, 0)))
    if rng.uniform() < 0.45:
        for bay in range(bays):
            x = (bay + 0.5 - pairs) * surface.bay_m
            if rng.uniform() < 0.5:
                z = base + surface.floor_m * int(rng.integers(base == 0.0, max(2, floors)))
                parts.append(_balcony(surface, z).transformed(pose(x, front - 0.5, 0)))
    if base > 0.0 and rng.uniform() < 0.5:
        x = (int(rng.integers(0, bays)) + 0.5 - pairs) * surface.bay_m
        slope = prism([(-0.65, 2.4), (0.65, 2.75), (0.65, 2.85), (-0.65, 2.5)], 2.6, surface.trim)
        parts.append(slope.transformed(pose(x, front - 0.6, 0, np.pi / 2)))
    return parts


def _balcony(surface: BuildingMaterials, z: float) -> Mesh:
    slab = box(0.85 * surface.bay_m, 1.0, 0.16, surface.trim, z)
    rail = box(0.85 * surface.bay_m, 0.08, 0.95, surface.base, z + 0.1)
    return concatenate([slab, rail.transformed(pose(0, -0.46, 0))])
