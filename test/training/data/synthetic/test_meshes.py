from __future__ import annotations

import numpy as np
import pytest

from training.data.synthetic.meshes import Material, box, ellipsoid, frustum, pose, prism
from training.data.synthetic.pedestrians import pedestrian
from training.data.synthetic.trees import any_tree
from training.data.synthetic.vehicles import VehicleMaterials, any_vehicle

STONE = Material(0, (1.0, 1.0), 4)


def signed_volume(mesh) -> float:
    return float(np.linalg.det(mesh.vertices).sum() / 6)


def open_area(mesh) -> float:
    """Length of the summed area vectors: zero for a closed surface."""
    edges = mesh.vertices[:, 1:] - mesh.vertices[:, :1]
    return float(np.linalg.norm(np.cross(edges[:, 0], edges[:, 1]).sum(axis=0)))


@pytest.mark.parametrize(
    ('mesh', 'volume'),
    [
        (box(2.0, 3.0, 4.0, STONE, -1.0), 24.0),
        (prism([(0, 0), (2, 0), (0, 2)], 3.0, STONE), 6.0),
        (frustum(1.0, 1.0, 2.0, STONE, 64), 2 * np.pi),
        (frustum(1.0, 0.0, 3.0, STONE, 64), np.pi),
        (ellipsoid((1.0, 2.0, 0.5), STONE, 4), 4 / 3 * np.pi),
    ],
    ids=['box', 'prism', 'cylinder', 'cone', 'ellipsoid'],
)
def test_solids_are_closed_and_face_outwards(mesh, volume):
    assert signed_volume(mesh) == pytest.approx(volume, rel=0.01)
    assert open_area(mesh) == pytest.approx(0.0, abs=1e-9)


def test_composed_objects_are_closed_and_face_outwards():
    rng = np.random.default_rng(5)
    for _ in range(8):
        for mesh in (
            any_tree(rng, STONE, STONE),
            any_vehicle(rng, VehicleMaterials(*[STONE] * 7)).mesh,
            pedestrian(rng, STONE, STONE, STONE, STONE).striding(0.4),
        ):
            assert signed_volume(mesh) > 0.01
            assert open_area(mesh) == pytest.approx(0.0, abs=1e-9)


def test_pose_turns_the_nose_left_and_down():
    forward = pose(1.0, 2.0, 3.0, np.pi / 2, np.pi / 6) @ [1.0, 0.0, 0.0, 1.0]
    np.testing.assert_allclose(forward, [1.0, 2.0 + np.cos(np.pi / 6), 2.5, 1.0], atol=1e-12)


def test_transformed_rotates_normals_with_vertices():
    mesh = frustum(1.0, 0.5, 2.0, STONE).transformed(pose(4.0, 5.0, 6.0, 0.7, 0.3))
    edges = mesh.vertices[:, 1:] - mesh.vertices[:, :1]
    face = np.cross(edges[:, 0], edges[:, 1])
    assert ((mesh.normals * face[:, None]).sum(axis=2) > 0).all()
