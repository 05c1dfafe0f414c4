"""People: x forward, origin on the ground; legs are separate so that they can swing."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from training.data.synthetic.meshes import Material, Mesh, concatenate, ellipsoid, frustum, pose


@dataclass(frozen=True)
class Pedestrian:
    """A person.

    Attributes:
        upper: torso, arms and head.
        leg: one leg hanging down from the hip at its origin.
        hip: height of the hip in metres.
        stride: half distance between the legs in metres.
    """

    upper: Mesh
    leg: Mesh
    hip: float
    stride: float = 0.10

    def striding(self, swing: float) -> Mesh:
        """Return the person with the legs swung apart by +-swing radians."""
        legs = [
            self.leg.transformed(pose(0, side * self.stride, self.hip, 0, side * swing))
            for side in (-1, 1)
        ]
        return concatenate([self.upper, *legs])


def pedestrian(
    rng: np.random.Generator, skin: Material, hair: Material, coat: Material, trousers: Material
) -> Pedestrian:
    """Return a person of random build, 1.55 m to 1.9 m tall."""
    height = rng.uniform(1.55, 1.90)
    hip, shoulder, broad = 0.50 * height, 0.82 * height, rng.uniform(0.20, 0.27)
    torso = frustum(0.17, 0.20, shoulder - hip + 0.1, coat, 10, hip - 0.1)
    shoulders = ellipsoid((0.14, broad, 0.10), coat, 1).transformed(pose(0, 0, shoulder - 0.02))
    head = ellipsoid((0.10, 0.09, 0.125), skin, 1).transformed(pose(0, 0, height - 0.13))
    cap = ellipsoid((0.105, 0.10, 0.08), hair, 1).transformed(pose(-0.02, 0, height - 0.06))
    arms = [_arm(side * broad, shoulder, rng.uniform(-0.5, 0.5), coat) for side in (-1, 1)]
    leg = frustum(0.065, 0.085, hip, trousers, 7, -hip)
    return Pedestrian(concatenate([torso, shoulders, head, cap, *arms]), leg, hip)


def _arm(y: float, shoulder: float, swing: float, coat: Material) -> Mesh:
    arm = frustum(0.04, 0.055, 0.6, coat, 6, -0.6)
    return arm.transformed(pose(0, y, shoulder, 0, float(np.clip(swing, -0.5, 0.5))))
