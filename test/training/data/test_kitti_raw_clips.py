from __future__ import annotations

import importlib.util
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from dataset_trees import (
    FOCAL_PX,
    IMAGES,
    STEP_NS,
    camera0_poses,
    write_image,
    write_kitti_drive,
    write_poses,
    write_stamps,
)

from selfocc_core.errors import SelfOccError
from selfocc_core.transforms import invert, transform_points
from training.config import InputConfig, TemporalConfig
from training.data.kitti_raw import read_clips
from training.data.sampler import Sampler

SHARED = Path(__file__).resolve().parents[3] / '../shared/data/real'
DAY = SHARED / 'kitti_raw/2011_09_26'
DRIVE = DAY / '2011_09_26_drive_0013_sync'
EGO_FROM_LIDAR_M = np.array([0, 0, 1.73])
NATIVE = InputConfig(1, 375, 1242, supervision_height=375, supervision_width=1242)


@pytest.fixture
def drive(tmp_path):
    return write_kitti_drive(tmp_path)


def project(image_from_ego, points):
    homogeneous = points @ image_from_ego[:, :3].T + image_from_ego[:, 3]
    return homogeneous[..., :2] / homogeneous[..., 2:], homogeneous[..., 2]


def test_poses_are_those_of_the_cameras_own_stamps(drive):
    (clip,) = read_clips(drive, IMAGES)
    assert len(clip) == 6
    np.testing.assert_array_equal(np.diff(clip.stamps_ns), STEP_NS)
    # The samples are 7 ms, 7 cm, late; the first image lies before the first of them.
    steps = invert(clip.world_from_ego[0]) @ clip.world_from_ego
    np.testing.assert_allclose(steps[:, 0, 3], np.arange(6.0), atol=1e-4)
    np.testing.assert_allclose(steps[:, 1:3, 3], 0, atol=1e-4)
    np.testing.assert_allclose(steps[:, :3, :3], np.tile(np.eye(3), (6, 1, 1)), atol=1e-9)
    # Heading north: the ego's x is the world's y, and its z points up.
    np.testing.assert_allclose(clip.world_from_ego[0, :3, 0], [0, 1, 0], atol=1e-9)
    np.testing.assert_allclose(clip.world_from_ego[0, :3, 2], [0, 0, 1], atol=1e-9)
    np.testing.assert_array_equal(clip.world_from_ego_at_shutter[:, 0], clip.world_from_ego)


def test_the_ego_frame_lies_on_the_ground_below_the_lidar(drive):
    (clip,) = read_clips(drive, IMAGES)
    # In the ego frame camera 2 is at x 0.3, y 0.06 and z 1.73 - 0.1.
    pixel, depth = project(clip.input_from_ego[0], np.array([10.3, 0.06 + 1.0, 1.63 - 2.0]))
    np.testing.assert_allclose(pixel, [31 - FOCAL_PX / 10, 15 + 2 * FOCAL_PX / 10], atol=1e-9)
    assert depth == pytest.approx(10)
    # What is 10 m ahead of frame 2 is 12 m ahead of frame 0.
    moved, _ = project(clip.image_from_ego(2, 0)[0], np.array([12.3, 1.06, -0.37]))
    np.testing.assert_allclose(moved, pixel, atol=1e-3)


def test_frames_choose_images_and_poses_together(drive):
    (whole,), (part,) = read_clips(drive, IMAGES), read_clips(drive, IMAGES, frames='2:5')
    np.testing.assert_array_equal(part.images, whole.images[2:5])
    np.testing.assert_array_equal(part.images[:, 0, 0, 0, 0], [20, 30, 40])
    np.testing.assert_array_equal(part.world_from_ego, whole.world_from_ego[2:5])


def test_input_and_supervision_have_their_sizes_and_projections(drive):
    config = replace(IMAGES, height=16, width=32)
    (clip,) = read_clips(drive, config)
    assert clip.images.shape == (6, 1, 16, 32, 3)
    assert clip.supervision_images.shape == (6, 1, 32, 64, 3)
    point = np.array([10.0, 1.0, 0.5])
    large, _ = project(clip.supervision_from_ego[0], point)
    small, _ = project(clip.input_from_ego[0], point)
    np.testing.assert_allclose(small, (large + 0.5) / 2 - 0.5, atol=1e-9)


def test_poses_of_a_file_are_those_of_camera_0(drive):
    write_poses(drive / 'p.txt', camera0_poses(6, step_m=1.5))
    (clip,) = read_clips(drive, IMAGES, poses='p.txt', frames=':4')
    np.testing.assert_allclose(clip.world_from_ego[:, 0, 3], 1.5 * np.arange(4), atol=1e-9)
    np.testing.assert_allclose(clip.world_from_ego[:, 1:3, 3], 0, atol=1e-9)


def test_frames_without_a_pose_are_left_out(tmp_path):
    drive = write_kitti_drive(tmp_path, frames=20)
    for number in range(6, 12):
        (drive / 'oxts/data' / f'{number:010d}.txt').unlink()
    (clip,) = read_clips(drive, IMAGES)
    # Frame 6 lies between samples 5 and 12, 0.7 s apart; frame 12 before sample 12.
    np.testing.assert_array_equal(clip.images[:, 0, 0, 0, 0] // 10, [*range(6), *range(13, 20)])


def test_standing_still_is_refused_by_the_sampler(tmp_path):
    clips = read_clips(write_kitti_drive(tmp_path, speed_m_s=0.0), IMAGES)
    with pytest.raises(SelfOccError, match='record while driving'):
        Sampler(clips, TemporalConfig(), seed=0)


def remove(path):
    return lambda drive: (drive / path).unlink()


def write(path, text):
    return lambda drive: (drive / path).write_text(text)


def cut_off(path):
    def cut(drive):
        data = (drive / path).read_bytes()
        (drive / path).write_bytes(data[: len(data) - 20])

    return cut


@pytest.mark.parametrize(
    ('damage', 'sentence'),
    [
        (remove('image_02/data/0000000003.png'), r'0000000003\.png is missing'),
        (cut_off('image_02/data/0000000003.png'), r'0000000003\.png .* is damaged'),
        (write('image_02/data/0000000003.png', 'x'), r'0000000003\.png .* is damaged'),
        (
            lambda drive: write_image(drive / 'image_02/data/0000000003.png', 3, width=60),
            r'0000000003\.png is 60x32 but camera "front" is calibrated for 64x32',
        ),
        (remove('image_02/timestamps.txt'), r'cannot read time stamps .*image_02'),
        (write('image_02/timestamps.txt', 'soon\n'), 'are malformed'),
        (write('image_02/timestamps.txt', ''), 'do not increase'),
        (lambda drive: write_stamps(drive / 'oxts', 10**12, 6), 'has no pose at the times'),
        (remove('oxts/timestamps.txt'), r'cannot read time stamps .*oxts'),
        (write('oxts/data/0000000002.txt', '49.0 nan 1 1 1 1'), r'0000000002\.txt is malformed'),
        (write('oxts/data/0000000002.txt', '49.0 8'), r'0000000002\.txt is malformed'),
        (remove('../calib_velo_to_cam.txt'), r'cannot read calibration .*velo_to_cam'),
        (write('../calib_velo_to_cam.txt', 'R: 1 2\n'), 'has no line "R" of 9 numbers'),
        (write('../calib_imu_to_velo.txt', 'T: 1\n'), 'has no line "R"'),
    ],
)
def test_damage_is_one_sentence_that_names_it(drive, damage, sentence):
    damage(drive)
    with pytest.raises(SelfOccError, match=sentence) as caught:
        read_clips(drive, IMAGES)
    assert '\n' not in str(caught.value)


def test_a_drive_without_oxts_asks_for_poses(drive):
    for path in (drive / 'oxts/data').iterdir():
        path.unlink()
    with pytest.raises(SelfOccError, match=r'has 0 poses in oxts/data: .* give poses=FILE'):
        read_clips(drive, IMAGES)


@pytest.mark.parametrize(
    ('frames', 'sentence'),
    [
        ('5', 'is no range'),
        ('-3:', 'is no range'),
        ('9:', 'is empty: there are 6'),
        ('4:', '2 in'),
    ],
)
def test_useless_ranges_are_refused(drive, frames, sentence):
    with pytest.raises(SelfOccError, match=sentence):
        read_clips(drive, IMAGES, frames=frames)


@pytest.mark.parametrize(
    ('change', 'sentence'),
    [
        (lambda poses: poses[:5], '5 lines for 6 frames'),
        (lambda poses: poses * 2, 'line 1, are no rigid transform'),
        (lambda poses: np.where(poses == 3, np.nan, poses), 'line 4, are no rigid transform'),
        (lambda poses: poses * [[-1, 1, 1, 1]], 'line 1, are no rigid transform'),
        (lambda poses: poses[:, :3, [0, 1, 2]], 'do not have 12 numbers'),
    ],
)
def test_wrong_poses_are_refused(drive, change, sentence):
    write_poses(drive / 'p.txt', change(camera0_poses(6)))
    with pytest.raises(SelfOccError, match=sentence):
        read_clips(drive, IMAGES, poses='p.txt')


def test_poses_of_the_lidar_are_refused(drive):
    poses = camera0_poses(6)
    poses[:, :3, 3] = poses[:, [2, 1, 0], 3]
    write_poses(drive / 'p.txt', poses)
    with pytest.raises(SelfOccError, match='move sideways: give those of rectified camera 0'):
        read_clips(drive, IMAGES, poses='p.txt')


def test_a_jump_of_the_pose_parts_the_drive(tmp_path):
    drive = write_kitti_drive(tmp_path, frames=8)
    poses = camera0_poses(8)
    poses[4:, 2, 3] += 50
    write_poses(drive / 'p.txt', poses)
    clips = read_clips(drive, IMAGES, poses='p.txt')
    assert [len(clip) for clip in clips] == [4, 4]
    assert max(clip.driven_m()[-1] for clip in clips) == pytest.approx(3)


def test_another_number_of_cameras_is_refused(drive):
    with pytest.raises(SelfOccError, match='has 1 cameras, the preset takes 6'):
        read_clips(drive, replace(IMAGES, cameras=6))


@pytest.fixture(scope='module')
def kitti_io():
    if not DRIVE.is_dir():
        pytest.skip('needs ../shared/data/real/kitti_raw')
    spec = importlib.util.spec_from_file_location('kitti_io', SHARED / 'tools/kitti_io.py')
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.real_data
def test_real_lidar_lands_where_kittis_own_calibration_puts_it(kitti_io):
    (clip,) = read_clips(DRIVE, NATIVE, frames='40:44', poses='poses/poses.txt')
    points = kitti_io.load_lidar_npz(DRIVE / 'velodyne_points/data_npz/0000000040.npz')
    expected, depth, seen = kitti_io.project_velo(points, kitti_io.load_calib(DAY))
    pixels, own_depth = project(clip.input_from_ego[0], points[seen] + EGO_FROM_LIDAR_M)
    assert seen.sum() > 10_000
    assert np.abs(pixels - expected).max() < 0.01
    np.testing.assert_allclose(own_depth, depth, atol=1e-4)


@pytest.mark.real_data
def test_real_points_keep_their_pixels_from_frame_to_frame(kitti_io):
    """The scan of a frame, seen in another: through our poses and directly through the file's."""
    (clip,) = read_clips(DRIVE, NATIVE, frames='40:48', poses='poses/poses.txt')
    calibration = kitti_io.load_calib(DAY)
    points = kitti_io.load_lidar_npz(DRIVE / 'velodyne_points/data_npz/0000000040.npz')
    poses = kitti_io.load_poses(DRIVE / 'poses/poses.txt')
    camera0_from_lidar = calibration['R0'] @ calibration['velo_to_cam0']
    later_from_first = invert(poses[47]) @ poses[40]
    moved = transform_points(later_from_first @ camera0_from_lidar, points)
    expected, depth = project(calibration['P'][2], moved)
    pixels, _ = project(clip.image_from_ego(7, 0)[0], points + EGO_FROM_LIDAR_M)
    assert np.abs(pixels - expected)[depth > 5].max() < 0.05


@pytest.mark.real_data
def test_real_oxts_becomes_smooth_motion(kitti_io):
    """Interpolated at the camera's stamps the steps lose the saw-tooth of the raw samples."""
    (clip,) = read_clips(DRIVE, replace(IMAGES, height=24, width=80))
    assert len(clip) == 144
    expected = kitti_io.load_poses(DRIVE / 'poses/velo_oxts_interp.txt')
    own = invert(clip.world_from_ego[0]) @ clip.world_from_ego
    steps, raw = (
        np.linalg.norm(np.diff(poses[:, :3, 3], axis=0), axis=1)
        for poses in (own, kitti_io.load_poses(DRIVE / 'poses/velo_oxts_raw.txt'))
    )
    assert np.diff(steps).std() < 0.3 * np.diff(raw).std()
    # The origins differ in height alone.
    moved = own @ [[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 1.73], [0, 0, 0, 1]]
    inner = slice(1, -1)  # the ends are continued, not interpolated
    lidar = invert(moved[1]) @ moved
    relative = invert(expected[1]) @ expected
    np.testing.assert_allclose(lidar[inner], relative[inner], atol=0.02)
