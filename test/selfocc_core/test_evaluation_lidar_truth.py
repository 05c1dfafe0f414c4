from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from selfocc_core import bag_messages as messages
from selfocc_core.bags import BagWriter
from selfocc_core.cameras import nuscenes_like_rig
from selfocc_core.errors import SelfOccError
from selfocc_core.evaluation.drive import read_drive
from selfocc_core.evaluation.hidden_points import beam_gap_rad, seen_points
from selfocc_core.evaluation.lidar_occupancy import Sweep, lidar_occupancy
from selfocc_core.evaluation.lidar_truth import (
    ground_of,
    lidar_occupancy_truths,
    seen_by_cameras,
    truth_of,
)
from selfocc_core.evaluation.occupancy import Confusion, OccupancyTruth
from selfocc_core.transforms import invert, transform_from_quaternion, transform_points
from selfocc_core.voxels import VoxelGrid, VoxelState

GRID = VoxelGrid((-12.0, -12.0, -1.0), (12.0, 12.0, 3.0), (60, 60, 10))
START_NS = 1_700_000_000 * 10**9
STEP_NS = 100_000_000
SPEED_M_S = 5.0
WALL_X, GROUND_M = 14.0, -0.1  # in the world
ego_from_lidar = transform_from_quaternion((0.9, 0.0, 1.8), (0, 0, np.sqrt(0.5), np.sqrt(0.5)))


def world_from_ego(stamp_ns):
    """The vehicle drives towards the wall, turned a little."""
    metres = SPEED_M_S * (stamp_ns - START_NS) * 1e-9
    return transform_from_quaternion((metres, 0.5, 0.0), (0, 0, 0.05, 1))


def scan(stamp_ns):
    """Return points in the LiDAR frame: ground, a wall ahead, and the vehicle's own roof."""
    world_from_lidar = world_from_ego(stamp_ns) @ ego_from_lidar
    up, around = np.meshgrid(np.radians(np.linspace(-30, 5, 28)), np.radians(np.arange(0, 360, 1)))
    rays = np.stack([np.cos(up) * np.cos(around), np.cos(up) * np.sin(around), np.sin(up)], -1)
    rays = rays.reshape(-1, 3) @ world_from_lidar[:3, :3].T
    origin = world_from_lidar[:3, 3]
    with np.errstate(divide='ignore'):
        ground = np.where(rays[:, 2] < 0, (GROUND_M - origin[2]) / rays[:, 2], np.inf)
        wall = np.where(rays[:, 0] > 0, (WALL_X - origin[0]) / rays[:, 0], np.inf)
    distance = np.minimum(ground, wall)
    ends = origin + rays[distance < 60] * distance[distance < 60, None]
    points = transform_points(invert(world_from_lidar), ends)
    own = transform_points(invert(ego_from_lidar), [[0.2, 0.3, 1.5], [3.0, 0.5, 1.1]])
    return np.concatenate([points, own]).astype(np.float32)


def write_drive(path, odometry=True, sweeps=16):
    rig = nuscenes_like_rig(64, 36)
    mounted = {c.frame_id: c.ego_from_camera for c in rig} | {'lidar': ego_from_lidar}
    links = [messages.transform_stamped('base_link', f, t, 0) for f, t in mounted.items()]
    with BagWriter(path) as bag:
        bag.write('/tf_static', messages.tf_message(links), START_NS)
        for camera in rig:
            info = messages.camera_info(camera, START_NS)
            bag.write(f'/camera/{camera.name}/camera_info', info, START_NS)
            image = messages.compressed_image(np.zeros((36, 64, 3), np.uint8), START_NS, 'camera')
            bag.write(f'/camera/{camera.name}/image/compressed', image, START_NS)
        for number in range(sweeps):
            stamp_ns = START_NS + number * STEP_NS
            if odometry:
                pose = messages.odometry(
                    'odom', world_from_ego(stamp_ns), (5, 0, 0), (0,) * 3, stamp_ns
                )
                bag.write('/odometry', pose, stamp_ns)
            fields = dict(zip('xyz', scan(stamp_ns).T, strict=True))
            bag.write('/lidar/points', messages.point_cloud(fields, stamp_ns, 'lidar'), stamp_ns)
    return path


def test_sweeps_are_brought_together_by_mounting_and_motion(tmp_path):
    drive = read_drive(write_drive(tmp_path / 'drive.mcap'))
    stamps_ns = [START_NS + 5 * STEP_NS + 30_000_000, START_NS + 10 * STEP_NS, START_NS + 10**10]
    truths = dict(lidar_occupancy_truths(drive, GRID, stamps_ns))
    assert list(truths) == stamps_ns[:2]  # at the third the drive is over
    for stamp_ns, truth in truths.items():
        world = transform_points(world_from_ego(stamp_ns), GRID.centers())
        half = GRID.voxel_size_m.max()
        at_wall = np.abs(world[..., 0] - WALL_X) < half
        at_ground = np.abs(world[..., 2] - GROUND_M) < half
        assert truth.occupied.sum() > 300
        assert not (truth.occupied & ~at_wall & ~at_ground).any()
        # The wall lies between x = 13.9 and 14.1 of the world: accumulated sweeps do not smear it.
        assert (truth.occupied & at_wall & (world[..., 2] > 0.4)).sum() > 60
        assert not (truth.ground & at_wall & (world[..., 2] > 0.7)).any()
        assert (truth.ground & at_ground & ~at_wall)[truth.occupied & ~at_wall].mean() > 0.99
        assert truth.visible[truth.occupied].any()
        # Behind the wall nothing is known.
        assert not truth.visible[world[..., 0] > WALL_X + 1].any()


def test_more_sweeps_know_more(tmp_path):
    drive = read_drive(write_drive(tmp_path / 'drive.mcap', sweeps=8))
    stamp_ns = START_NS + 4 * STEP_NS
    (_, alone), (_, together) = (
        next(lidar_occupancy_truths(drive, GRID, [stamp_ns], window_ns))
        for window_ns in (0, 10**9)
    )
    assert together.visible.sum() > 1.05 * alone.visible.sum()
    assert together.occupied.sum() > 1.5 * alone.occupied.sum()


def test_the_vehicle_itself_is_no_obstacle(tmp_path):
    drive = read_drive(write_drive(tmp_path / 'drive.mcap', sweeps=2))
    nowhere = ((0.0,) * 3, (0.0,) * 3)
    (_, own), (_, without) = (
        next(lidar_occupancy_truths(drive, GRID, [START_NS], **options))
        for options in ({'vehicle_box_m': nowhere}, {})
    )
    places = [tuple(GRID.indices(p)[0]) for p in ((0.2, 0.3, 1.5), (3.0, 0.5, 1.1))]
    assert all(own.occupied[place] and not without.occupied[place] for place in places)


def test_without_odometry_there_is_no_truth(tmp_path):
    drive = read_drive(write_drive(tmp_path / 'drive.mcap', odometry=False, sweeps=2))
    with pytest.raises(SelfOccError, match='has no odometry, without which LiDAR sweeps'):
        next(lidar_occupancy_truths(drive, GRID, [START_NS]))


def test_cameras_do_not_see_through_things():
    rig = nuscenes_like_rig(160, 90)
    occupied = np.zeros(GRID.shape, bool)
    wall = np.abs(GRID.centers()[..., 0] - 6.2) < 0.1  # all across
    occupied[wall] = True
    seen, free_view = (
        seen_by_cameras(occupied, GRID, rig),
        seen_by_cameras(~wall & wall, GRID, rig),
    )
    beyond = GRID.centers()[..., 0] > 6.5
    assert not (seen & beyond).any()
    assert (free_view & beyond).sum() > 1000
    assert (seen & wall).sum() > 100
    np.testing.assert_array_equal(seen[~beyond & ~wall], free_view[~beyond & ~wall])


def test_ground_climbs_a_slope_but_not_a_box():
    occupied = np.zeros(GRID.shape, bool)
    for x in range(60):
        occupied[x, :, 2 + x // 20] = True  # 1 voxel in 8 m
    box = np.zeros(GRID.shape, bool)
    box[30:34, 30:34, 4:8] = True
    occupied[30:34, 30:34] = False  # what is below the box no LiDAR sees
    ground = ground_of(occupied | box, GRID)
    assert ground[occupied].all()
    assert (ground & box).sum() <= 16  # at most its lowest layer
    assert not ground[30:34, 30:34, 5:].any()


@pytest.fixture(scope='module')
def generated():
    """Sweeps, voxels and depth of a generated street, all at the same instants."""
    pytest.importorskip('embreex', reason='generated drives need embreex')
    from training.data.synthetic import lidar
    from training.data.synthetic.drive import DriveConfig, DriveRenderer

    drive = DriveRenderer(DriveConfig(seed=3, seconds=1.0, workers=1))
    scene, moments = drive.scene(), []
    for number in range(9):
        scene.move_to(0.1 * number)
        pose = drive.world.ego.world_from_ego(0.1 * number)
        moments.append((pose, lidar.sweep(scene, pose).points.astype(np.float64)))
    scene.move_to(0.4)
    pose = moments[4][0]
    views = {r.camera.name: r.truth(scene, pose).depth for r in drive.cameras}
    return drive.rig, lidar.ego_from_lidar(), moments, drive.voxels.at(scene, 0.4), views


@pytest.mark.slow
def test_voxels_of_a_generated_street_agree_with_its_lidar(generated):
    rig, mounting, moments, truth, _ = generated
    ego_from_world, grid = invert(moments[4][0]), truth.grid
    sweeps = [
        Sweep.at(k, (ego_from_world @ pose @ mounting)[:3, 3],
                 transform_points(ego_from_world @ pose @ mounting, points))
        for k, (pose, points) in enumerate(moments)
    ]  # fmt: skip
    told = lidar_occupancy(sweeps, 4, grid)
    occupied, free = told.states == VoxelState.OCCUPIED, told.states == VoxelState.FREE
    assert truth.occupied[occupied].mean() > 0.97
    assert 1 - truth.occupied[free].mean() > 0.94
    assert (told.states[truth.visible] != VoxelState.UNKNOWN).mean() > 0.75
    from_lidar = truth_of(told, grid, rig)
    assert (
        Confusion.of(from_lidar.occupied, truth.occupied, from_lidar.visible).ratios()['iou'] > 0.8
    )
    true = OccupancyTruth.from_points(truth.fields(), grid)
    both = from_lidar.occupied & true.occupied
    assert Confusion.of(from_lidar.ground, true.ground, both).ratios()['iou'] > 0.8
    assert (from_lidar.visible & ~truth.visible).mean() < 0.001


@pytest.mark.slow
def test_depth_of_a_generated_street_agrees_with_what_is_left_of_its_lidar(generated):
    rig, mounting, moments, _, views = generated
    points = moments[4][1]
    gap_rad, hidden, kept_hidden, good, kept_good = beam_gap_rad(points), 0, 0, 0, 0
    assert np.degrees(gap_rad) == pytest.approx(40 / 31, abs=0.02)
    for name, depth_m in views.items():
        camera = rig[name]
        in_camera = transform_points(invert(camera.ego_from_camera) @ mounting, points)
        size = camera.height, camera.width
        seen = seen_points(in_camera, camera.image_from_camera, size, gap_rad)
        homogeneous = in_camera @ camera.image_from_camera.T
        with np.errstate(divide='ignore', invalid='ignore'):
            pixels = np.round(homogeneous[:, :2] / homogeneous[:, 2:])
        in_front = in_camera[:, 2] > 0.5
        in_front &= (pixels >= 0).all(1) & (pixels < (camera.width, camera.height)).all(1)
        u, v = pixels[in_front].astype(int).T
        deepest_m = ndimage.maximum_filter(depth_m, 3)[v, u]
        is_hidden = in_camera[in_front, 2] > deepest_m * 1.05 + 0.3
        hidden += is_hidden.sum()
        good += (~is_hidden).sum()
        kept_hidden += (seen[in_front] & is_hidden).sum()
        kept_good += (seen[in_front] & ~is_hidden).sum()
    assert hidden > 200
    assert kept_hidden < 0.1 * hidden
    assert kept_good > 0.9 * good
