"""Things that stand along a street: lamps, signs, traffic lights, bins, benches, bollards."""

from __future__ import annotations

import numpy as np

from training.data.synthetic.meshes import Material, Mesh, box, concatenate, frustum, pose


def street_lamp(rng: np.random.Generator, metal: Material) -> Mesh:
    """Return a lamp whose arm reaches along +x."""
    height, reach = rng.uniform(5.0, 7.5), rng.uniform(0.8, 1.8)
    mast = frustum(0.09, 0.06, height + 0.3, metal, 8, -0.3)
    arm = box(reach, 0.08, 0.08, metal, height - 0.1).transformed(pose(reach / 2, 0, 0))
    head = box(0.6, 0.22, 0.12, metal, height - 0.18).transformed(pose(reach, 0, 0))
    return concatenate([mast, arm, head])


def road_sign(rng: np.random.Generator, metal: Material, board: Material) -> Mesh:
    """Return a sign that faces -x (oncoming traffic drives along +x)."""
    height = rng.uniform(2.0, 2.6)
    mast = frustum(0.045, 0.045, height + 0.6, metal, 7, -0.3)
    if rng.uniform() < 0.5:
        disc = frustum(0.34, 0.34, 0.05, board, 12, 0.0)
        plate = disc.transformed(pose(-0.08, 0, height, 0.0, np.pi / 2))
    else:
        plate = box(0.05, 0.7, 0.55, board, height - 0.3).transformed(pose(-0.08, 0, 0))
    return concatenate([mast, plate])


def traffic_light(metal: Material, lamps: tuple[Material, Material, Material]) -> Mesh:
    """Return a traffic light that faces -x."""
    mast = frustum(0.06, 0.06, 3.3, metal, 8, -0.3)
    parts = [mast, box(0.22, 0.3, 0.9, metal, 2.4).transformed(pose(-0.15, 0, 0))]
    for i, lamp in enumerate(lamps):
        parts.append(box(0.04, 0.2, 0.2, lamp, 2.48 + 0.27 * i).transformed(pose(-0.27, 0, 0)))
    return concatenate(parts)


def bollard(metal: Material) -> Mesh:
    """Return a bollard."""
    return frustum(0.09, 0.08, 1.2, metal, 8, -0.3)


def bin_or_box(rng: np.random.Generator, metal: Material) -> Mesh:
    """Return a litter bin, letter box or switch cabinet."""
    length, width, height = rng.uniform(0.4, 1.3), rng.uniform(0.35, 0.6), rng.uniform(0.7, 1.4)
    return box(length, width, height + 0.2, metal, -0.2)


def bench(wood: Material, metal: Material) -> Mesh:
    """Return a bench along x whose back is on the +y side."""
    seat = box(1.6, 0.45, 0.06, wood, 0.42)
    back = box(1.6, 0.06, 0.4, wood, 0.5).transformed(pose(0, 0.22, 0))
    feet = [box(0.08, 0.42, 0.62, metal, -0.2).transformed(pose(x, 0, 0)) for x in (-0.65, 0.65)]
    return concatenate([seat, back, *feet])


def bus_shelter(glass: Material, metal: Material, poster: Material) -> Mesh:
    """Return a bus shelter along x, open towards -y."""
    top = box(3.4, 1.5, 0.1, metal, 2.3)
    back = box(3.2, 0.04, 2.4, glass, -0.2).transformed(pose(0, 0.65, 0))
    end = box(0.08, 1.2, 2.3, poster, -0.1).transformed(pose(1.55, 0, 0))
    posts = [
        frustum(0.05, 0.05, 2.6, metal, 6, -0.3).transformed(pose(x, -0.6, 0)) for x in (-1.6, 1.6)
    ]
    return concatenate([top, back, end, *posts])


def fence(length: float, wood: Material, height: float) -> Mesh:
    """Return a board fence or low wall along x."""
    return box(length, 0.14, height + 0.6, wood, -0.6)
