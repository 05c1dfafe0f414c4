from __future__ import annotations

import numpy as np
import pytest

from selfocc_core.voxels import VoxelGrid
from training.data.synthetic.meshes import Material, box, ellipsoid, pose
from training.data.synthetic.style import LABEL
from training.data.synthetic.timing import seconds_of
from training.data.synthetic.voxel_truth import occupancy, visibility

GRID = VoxelGrid((0.0, 0.0, 0.0), (8.0, 8.0, 4.0), (20, 20, 10))
STONE = Material(0, (1.0, 1.0), LABEL['building'])


def test_box_fills_exactly_its_voxels():
    mesh = box(2.0, 1.2, 1.6, STONE).transformed(pose(3.1, 4.1, 0.5))
    occupied, label = occupancy(GRID, [mesh], np.eye(4))
    expected = np.zeros(GRID.shape, bool)
    # x 2.1 to 4.1, y 3.5 to 4.7, z 0.5 to 2.1 in voxels of 0.4 m.
    expected[5:11, 8:12, 1:6] = True
    np.testing.assert_array_equal(occupied, expected)
    np.testing.assert_array_equal(label, np.where(expected, LABEL['building'], 0))


def test_moving_the_ego_moves_the_voxels():
    mesh = box(2.0, 1.2, 1.6, STONE).transformed(pose(3.1, 4.1, 0.5))
    world_from_ego = pose(20.0, -7.0, 2.0, 1.0, 0.1)
    there, _ = occupancy(GRID, [mesh.transformed(world_from_ego)], world_from_ego)
    here, _ = occupancy(GRID, [mesh], np.eye(4))
    np.testing.assert_array_equal(there, here)


def test_ball_holds_every_centre_within_it_and_nothing_beyond():
    ball = ellipsoid((1.5, 1.5, 1.5), STONE, 4).transformed(pose(4.0, 4.0, 2.0))
    occupied, _ = occupancy(GRID, [ball], np.eye(4))
    distance = np.linalg.norm(GRID.centers() - 4.0 + np.array([0.0, 0.0, 2.0]), axis=-1)
    half_diagonal = 0.2 * np.sqrt(3)
    assert occupied[distance < 1.48].all()
    assert not occupied[distance > 1.5 + half_diagonal].any()


def test_rays_stop_at_a_wall(scene_of, drive):
    wall = box(0.2, 40.0, 20.0, STONE, -5.0).transformed(pose(10.1, 0.0, 0.0))
    grid = VoxelGrid((0.0, -8.0, 0.0), (16.0, 8.0, 3.2), (40, 40, 8))
    seen = visibility(grid, [drive.rig['front']], scene_of(wall), np.eye(4))
    x = grid.axis_centers(0)
    assert seen[(x > 3.0) & (x < 10.0), 20, 4].all()
    assert seen[25, 20, 4]
    assert not seen[x > 10.4].any()


@pytest.fixture(scope='module')
def truth(drive):
    scene = drive.scene()
    time_s = seconds_of(drive.timing.reference_stamp_ns(0))
    scene.move_to(time_s)
    return drive.voxels.at(scene, time_s)


def test_truth_of_a_street(truth):
    named = np.bincount(truth.label[truth.visible & truth.occupied], minlength=10)
    assert named[[LABEL['road'], LABEL['sidewalk'], LABEL['building']]].min() > 100
    assert named[0] == 0
    fields = truth.fields()
    assert len(fields['x']) == (truth.occupied | truth.visible).sum()
    assert set(np.unique(fields['state'])) == {0, 1}
    assert (fields['visible'][fields['state'] == 0] == 1).all()


def test_below_the_ego_plane_is_no_oracle(truth):
    guess = np.broadcast_to(truth.grid.axis_centers(2) < 0.0, truth.occupied.shape)
    both = (guess & truth.occupied & truth.visible).sum()
    either = ((guess | truth.occupied) & truth.visible).sum()
    assert both / either < 0.5
