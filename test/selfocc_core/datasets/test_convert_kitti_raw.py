from __future__ import annotations

import shutil

import numpy as np
import pytest
from converted import check_stamps, cloud_in_image, convert, counts, decoded, project, refused
from small_trees import (
    CAMERA0_FROM_LIDAR,
    HEIGHT,
    KITTI_DRIVE,
    PROJECTION,
    SCAN,
    STEP_NS,
    WIDTH,
    write_depth,
    write_image,
    write_kitti_raw,
    write_scan,
    write_stamps,
)

from selfocc_core import bag_messages as messages
from selfocc_core.evaluation.drive import read_drive
from selfocc_core.evaluation.truth import depth_truths
from selfocc_core.transforms import transform_points

FIRST_NS = np.datetime64('2011-09-26T13:10:51.168593664', 'ns').astype(np.int64)


@pytest.fixture
def drive(tmp_path):
    return write_kitti_raw(tmp_path / 'tree')


@pytest.fixture
def root(drive):
    return drive.parent.parent


@pytest.fixture
def bag(root, tmp_path):
    return convert('kitti-raw', root, tmp_path / 'd.mcap')


def test_every_message_has_its_own_stamp(bag):
    check_stamps(bag)
    assert counts(bag) == {
        '/camera/front/camera_info': 4, '/camera/front/image/compressed': 4,
        '/lidar/points': 4, '/odometry': 4, '/tf': 4, '/tf_static': 1,
    }  # fmt: skip
    offsets_ns = {'/camera/front/image/compressed': 0, '/odometry': 7 * 10**6}
    for topic, offset_ns in {**offsets_ns, '/lidar/points': -(10**7)}.items():
        stamps_ns = [messages.stamp_ns_of(message) for message in decoded(bag, topic)]
        assert stamps_ns == [FIRST_NS + offset_ns + n * STEP_NS for n in range(4)]


def test_images_go_in_as_they_are(bag, drive):
    images = decoded(bag, '/camera/front/image/compressed')
    files = sorted((drive / 'image_02/data').iterdir())
    assert [image.data.tobytes() for image in images] == [path.read_bytes() for path in files]
    assert {image.format for image in images} == {'png'}


def test_the_ego_frame_is_on_the_ground_below_the_rear_axle(bag):
    read = read_drive(bag)
    lidar = read.frames.lookup('base_link', 'lidar')
    np.testing.assert_allclose(lidar[:3, 3], [0.76, 0.0, 1.73])
    np.testing.assert_allclose(lidar[:3, :3], np.eye(3))
    # The camera is 0.3 m ahead of and 0.1 m below the LiDAR, and 0.06 m to the left.
    np.testing.assert_allclose(
        read.rig['front'].ego_from_camera[:3, 3], [1.06, 0.06, 1.63], atol=1e-9
    )


def test_the_vehicle_moves_ahead(bag):
    """North, at 10 m/s; the mean of the velocity since the pose before is in its own frame."""
    trajectory = read_drive(bag).trajectory
    np.testing.assert_allclose(np.diff(trajectory.world_from_ego[:, 1, 3]), 1.0, atol=1e-6)
    np.testing.assert_allclose(trajectory.world_from_ego[:, :3, 0], [[0, 1, 0]] * 4, atol=1e-9)
    for message in decoded(bag, '/odometry'):
        velocity, turn_rate = message.twist.twist.linear, message.twist.twist.angular
        assert (velocity.x, velocity.y, velocity.z) == pytest.approx((10, 0, 0), abs=1e-5)
        assert (turn_rate.x, turn_rate.y, turn_rate.z) == pytest.approx((0, 0, 0), abs=1e-9)


def test_the_lidar_lands_where_the_dataset_puts_it(bag):
    read, cloud = read_drive(bag), decoded(bag, '/lidar/points')[0]
    fields = messages.decode_point_cloud(cloud)
    assert fields['intensity'].tolist() == [0.5, 0.25]  # the point without a place is left out
    pixels, depth = cloud_in_image(read, cloud, 'front', messages.stamp_ns_of(cloud))
    expected = project(PROJECTION, transform_points(CAMERA0_FROM_LIDAR, SCAN[:2, :3]))
    np.testing.assert_allclose(pixels, expected[0], atol=1e-4)
    np.testing.assert_allclose(depth, expected[1], atol=1e-6)


@pytest.mark.parametrize(
    'place', ['{0}', 'val/{1}', 'data_depth_annotated/train/{1}'], ids=['drive', 'val', 'whole']
)
def test_official_depth_is_metres_where_it_is_known(root, drive, tmp_path, place):
    stored = np.zeros((HEIGHT, WIDTH), np.uint16)
    stored[10:20, 30:40] = 256 * 7
    folder = root / place.format(drive.relative_to(root), drive.name)
    write_depth(folder / 'proj_depth/groundtruth/image_02/0000000002.png', stored)
    bag = convert('kitti-raw', root, tmp_path / 'd.mcap')
    (message,) = decoded(bag, '/ground_truth/front/depth')
    depth_m = messages.decode_float(message)
    assert np.isnan(depth_m).sum() == HEIGHT * WIDTH - 100
    assert set(depth_m[np.isfinite(depth_m)]) == {7.0}
    key = 'front', FIRST_NS + 2 * STEP_NS
    (truth,) = depth_truths(read_drive(bag), {key})
    assert len(truth.points) == 100
    np.testing.assert_allclose(truth.points[:, 2], 7.0)


def test_what_a_tree_lacks_is_said_once(root, drive, tmp_path, capsys):
    shutil.rmtree(drive / 'velodyne_points')
    shutil.rmtree(drive / 'oxts')
    (drive / 'image_02/data/0000000003.png').unlink()
    bag = convert('kitti-raw', root, tmp_path / 'd.mcap')
    assert counts(bag) == {
        '/camera/front/camera_info': 3, '/camera/front/image/compressed': 3, '/tf_static': 1,
    }  # fmt: skip
    said = capsys.readouterr().out
    for sentence in (
        'no LiDAR in this drive', 'no poses (oxts) in this drive',
        '3 of 4 images in image_02', 'no images of image_03, image_00, image_01',
        'no official depth', '1 cameras, 3 images\n',
    ):  # fmt: skip
        assert said.count(sentence) == 1


def test_a_drive_without_images_has_its_scans(root, drive, tmp_path):
    shutil.rmtree(drive / 'image_02')
    bag = convert('kitti-raw', root, tmp_path / 'd.mcap')
    assert counts(bag) == {'/lidar/points': 4, '/odometry': 4, '/tf': 4, '/tf_static': 1}


def test_scans_and_poses_may_be_missing_in_between(root, drive, tmp_path, capsys):
    (drive / 'velodyne_points/data/0000000001.bin').unlink()
    (drive / 'oxts/data/0000000002.txt').unlink()
    bag = convert('kitti-raw', root, tmp_path / 'd.mcap')
    stamps_ns = [messages.stamp_ns_of(message) for message in decoded(bag, '/odometry')]
    assert np.diff(stamps_ns).tolist() == [STEP_NS, 2 * STEP_NS]
    assert counts(bag)['/lidar/points'] == 3
    assert '3 of 4 scans' in capsys.readouterr().out


def test_compact_scans_stand_in_for_missing_ones(root, drive, tmp_path):
    data = drive / 'velodyne_points/data'
    (data / '0000000001.bin').unlink()
    points = np.array([[100, -50, 20], [250, 70, -86]], np.int16)
    compact = drive / 'velodyne_points/data_npz/0000000001.npz'
    compact.parent.mkdir()
    np.savez(compact, dxyz=np.diff(points, axis=0, prepend=points[:1] * 0).T, step=0.02)
    clouds = decoded(convert('kitti-raw', root, tmp_path / 'd.mcap'), '/lidar/points')
    np.testing.assert_allclose(
        messages.xyz(messages.decode_point_cloud(clouds[1])), points * 0.02, atol=1e-6
    )
    for damaged in ({'dxyz': np.zeros((2, 3), np.int16), 'step': 0.02}, {'dxyz': points}):
        np.savez(compact, **damaged)
        refused('kitti-raw', root, tmp_path, r'scan .*0000000001\.npz has no')


@pytest.mark.parametrize('below', ['', '2011_09_26', f'2011_09_26/{KITTI_DRIVE}'])
def test_the_root_may_be_a_day_or_a_drive(root, tmp_path, below, monkeypatch):
    monkeypatch.chdir(root / below)
    bag = convert('kitti-raw', root.__class__(), tmp_path / 'd.mcap')
    assert counts(bag)['/lidar/points'] == 4


def test_drives_are_chosen_by_name(root, drive, tmp_path):
    other = drive.with_name('2011_09_26_drive_0043_sync')
    shutil.copytree(drive, other)
    (root / '2011_09_26_drive_0044_sync').mkdir()  # holds nothing
    both = f'{drive.name}, {other.name}$'
    refused('kitti-raw', root, tmp_path, f'has several drives, choose one with --drive: {both}')
    refused('kitti-raw', root, tmp_path, f'no drive "../x": it has {both}', '../x')
    convert('kitti-raw', root, tmp_path / 'd.mcap', other.name)


def remove(path):
    return lambda drive: (drive / path).unlink()


def write(path, text):
    return lambda drive: (drive / path).write_text(text)


def edit(path, before, after):
    def change(drive):
        text = (drive / path).read_text()
        assert before in text
        (drive / path).write_text(text.replace(before, after))

    return change


def add_depth(stored):
    return lambda drive: write_depth(
        drive / 'proj_depth/groundtruth/image_02/0000000001.png', stored
    )


@pytest.mark.parametrize(
    ('damage', 'sentence'),
    [
        (remove('../calib_cam_to_cam.txt'), 'cannot read calibration .*cam_to_cam'),
        (remove('../calib_velo_to_cam.txt'), 'cannot read calibration .*velo_to_cam'),
        (remove('../calib_imu_to_velo.txt'), 'cannot read calibration .*imu_to_velo'),
        (write('../calib_velo_to_cam.txt', 'R: 1 2\n'), 'has no line "R" of 9 numbers'),
        (edit('../calib_velo_to_cam.txt', 'T:', 'T: 1'), 'has no line "T" of 3 numbers'),
        (edit('../calib_cam_to_cam.txt', 'P_rect_02', 'P_rect_03'), 'has no line "P_rect_02"'),
        (edit('../calib_cam_to_cam.txt', '4.0', 'nan 4.0'), 'has no line "P_rect_02" of 12'),
        (write('../calib_cam_to_cam.txt', '\xff'), 'has no line "R_rect_00"'),
        (
            edit('../calib_cam_to_cam.txt', 'S_rect_02: 6.4', 'S_rect_02: 6.2'),
            '64x32 but camera "front" is calibrated for 62x32',
        ),
        (remove('image_02/timestamps.txt'), 'cannot read time stamps .*image_02'),
        (lambda drive: write_stamps(drive / 'image_02', 0, 3), r'0000000003\.png has no stamp'),
        (write('image_02/timestamps.txt', 'soon\n'), 'are malformed'),
        (write('image_02/timestamps.txt', ''), 'do not increase'),
        (edit('image_02/timestamps.txt', '2011-', '2061-'), 'not between 1970 and 2038'),
        (remove('image_02/data/0000000001.png'), r'missing between .*0.png and 0000000002\.png'),
        (write('image_02/data/0000000001.png', 'x'), r'0000000001\.png is damaged or neither'),
        (lambda drive: write_image(drive / 'image_02/data/0000000001.png', 0, 60), 'is 60x32'),
        (remove('velodyne_points/timestamps.txt'), 'cannot read time stamps .*velodyne'),
        (write('velodyne_points/data/0000000001.bin', '123'), r'scan .*1\.bin is truncated'),
        (
            lambda drive: write_scan(drive / 'velodyne_points/data/0000000004.bin'),
            r'0000000004\.bin has no stamp: there are 4',
        ),
        (remove('oxts/timestamps.txt'), 'cannot read time stamps .*oxts'),
        (write('oxts/data/0000000002.txt', '49.0 nan 1 1 1 1'), r'2\.txt is malformed'),
        (add_depth(np.ones((HEIGHT, WIDTH), np.uint8)), 'not a grey PNG of 16 bits'),
        (add_depth(np.ones((HEIGHT, WIDTH, 3), np.uint16)), 'not a grey PNG of 16 bits'),
        (add_depth(np.ones((HEIGHT, WIDTH - 1), np.uint16)), '63x32 but camera "front"'),
        (shutil.rmtree, 'is not a tree of KITTI raw'),
        (
            lambda drive: [shutil.rmtree(data) for data in drive.glob('[iv]*/data')],
            'has neither images nor LiDAR',
        ),
    ],
)  # fmt: skip
def test_damage_is_one_sentence_that_names_it(root, drive, tmp_path, damage, sentence):
    damage(drive)
    refused('kitti-raw', root, tmp_path, sentence)
