"""Cars, vans and lorries: x forward, origin on the ground below the middle."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from training.data.synthetic.meshes import Material, Mesh, box, concatenate, frustum, pose, prism


@dataclass(frozen=True)
class VehicleMaterials:
    """Surfaces of a vehicle."""

    paint: Material
    glass: Material
    tyre: Material
    trim: Material
    lamp: Material
    tail_lamp: Material
    cargo: Material


@dataclass(frozen=True)
class Vehicle:
    """A vehicle's mesh and size in metres."""

    mesh: Mesh
    length: float
    width: float


def car(rng: np.random.Generator, surface: VehicleMaterials) -> Vehicle:
    """Return a saloon, hatchback or estate."""
    length, width = rng.uniform(3.7, 4.9), rng.uniform(1.66, 1.86)
    waist, top, half = rng.uniform(0.82, 0.95), rng.uniform(1.40, 1.62), length / 2
    tail = rng.choice([0.16, 0.05, 0.02])
    body = _body(half, width, waist, surface.paint)
    front, back = half - 0.27 * length, -half + tail * length
    cabin = [(back, waist), (front, waist), (front - 0.62, top - 0.06), (back + 0.35, top - 0.06)]
    lid = [
        (back + 0.30, top - 0.07),
        (front - 0.58, top - 0.07),
        (front - 0.78, top),
        (back + 0.48, top),
    ]
    pillars = [_pillar(x, waist, top, width, surface.paint) for x in (-0.05 * length, back + 0.6)]
    parts = [
        body,
        prism(cabin, width - 0.16, surface.glass),
        prism(lid, width - 0.12, surface.paint),
    ]
    parts += [*pillars, *_wheels(half - 0.8, width, 0.31, surface), *_ends(half, width, surface)]
    return Vehicle(concatenate(parts), length, width)


def van(rng: np.random.Generator, surface: VehicleMaterials) -> Vehicle:
    """Return a delivery van."""
    length, width, top = rng.uniform(4.9, 6.0), rng.uniform(1.9, 2.05), rng.uniform(2.0, 2.6)
    half = length / 2
    nose = [
        (half - 1.5, 0.32),
        (half, 0.32),
        (half, 0.95),
        (half - 0.55, 1.15),
        (half - 1.5, 1.15),
    ]
    cab = [
        (half - 1.5, 1.15),
        (half - 0.55, 1.15),
        (half - 1.05, top - 0.15),
        (half - 1.5, top - 0.15),
    ]
    cargo = box(length - 1.5, width, top - 0.32, surface.cargo, 0.32)
    parts = [
        prism(nose, width, surface.paint),
        prism(cab, width - 0.08, surface.glass),
        cargo.transformed(pose(-0.75, 0, 0)),
        box(length - 0.3, width - 0.1, 0.12, surface.trim, 0.24),
    ]
    parts += [*_wheels(half - 0.95, width, 0.35, surface), *_ends(half, width, surface)]
    return Vehicle(concatenate(parts), length, width)


def lorry(rng: np.random.Generator, surface: VehicleMaterials) -> Vehicle:
    """Return a box lorry or bus-sized vehicle."""
    length, width, top = rng.uniform(6.5, 8.5), 2.3, rng.uniform(2.9, 3.3)
    half = length / 2
    cab = box(1.7, width, 1.2, surface.paint, 0.5).transformed(pose(half - 0.85, 0, 0))
    screen = [(half - 1.7, 1.7), (half, 1.7), (half - 0.12, 2.5), (half - 1.7, 2.5)]
    hold = box(length - 1.85, width + 0.06, top - 0.9, surface.cargo, 0.9)
    parts = [cab, prism(screen, width - 0.1, surface.glass), hold.transformed(pose(-0.925, 0, 0))]
    parts.append(box(length - 0.4, 0.9, 0.4, surface.trim, 0.5))
    parts += [*_wheels(half - 1.2, width, 0.45, surface), *_ends(half, width, surface)]
    return Vehicle(concatenate(parts), length, width)


def any_vehicle(rng: np.random.Generator, surface: VehicleMaterials) -> Vehicle:
    """Return a vehicle of a random kind."""
    maker = (car, van, lorry)[int(rng.choice(3, p=(0.82, 0.14, 0.04)))]
    return maker(rng, surface)


def _body(half: float, width: float, waist: float, paint: Material) -> Mesh:
    profile = [
        (-half, 0.38),
        (-half + 0.15, 0.22),
        (half - 0.15, 0.22),
        (half, 0.38),
        (half - 0.06, waist - 0.24),
        (half - 1.05, waist),
        (-half + 0.08, waist),
    ]
    return prism(profile, width, paint)


def _pillar(x: float, waist: float, top: float, width: float, paint: Material) -> Mesh:
    height = top - 0.05 - waist
    return box(0.10, width - 0.145, height, paint, waist).transformed(pose(x, 0, 0))


def _wheels(reach: float, width: float, radius: float, surface: VehicleMaterials) -> list[Mesh]:
    # The cylinder stands on its axis: pitch by a quarter turn and yaw to lay it along y.
    tyre = frustum(radius, radius, 0.22, surface.tyre, 12, -0.11)
    hub = frustum(radius * 0.58, radius * 0.58, 0.24, surface.lamp, 8, -0.12)
    wheel = concatenate([tyre, hub]).transformed(pose(0, 0, 0, np.pi / 2, np.pi / 2))
    return [
        wheel.transformed(pose(x, side * (width / 2 - 0.09), radius))
        for x in (-reach, reach)
        for side in (-1, 1)
    ]


def _ends(half: float, width: float, surface: VehicleMaterials) -> list[Mesh]:
    lamp = box(0.06, 0.34, 0.14, surface.lamp, 0.56)
    tail = box(0.06, 0.28, 0.2, surface.tail_lamp, 0.6)
    plate = box(0.03, 0.5, 0.11, surface.lamp, 0.42)
    bumper = box(0.08, width - 0.1, 0.14, surface.trim, 0.26)
    parts = [
        part.transformed(pose(sign * half, 0, 0)) for part in (plate, bumper) for sign in (-1, 1)
    ]
    for side in (-1, 1):
        y = side * (width / 2 - 0.25)
        parts += [lamp.transformed(pose(half, y, 0)), tail.transformed(pose(-half, y, 0))]
    return parts
