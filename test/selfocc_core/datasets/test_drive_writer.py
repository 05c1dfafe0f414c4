from __future__ import annotations

import numpy as np
import pytest
from converted import convert, decoded
from hypothesis import given, settings
from hypothesis import strategies as st
from small_trees import SCAN, write_kitti_raw, write_nuscenes

from selfocc_core import bag_messages as messages
from selfocc_core.bags import BagReader
from selfocc_core.cameras import nuscenes_like_rig
from selfocc_core.datasets.dataset_drive import CameraStream, DatasetDrive, LidarStream, Stamped
from selfocc_core.datasets.drive_writer import write_drive
from selfocc_core.errors import SelfOccError
from selfocc_core.trajectory_from_bag import trajectory_from_bag
from selfocc_core.transforms import Trajectory, transform_from_quaternion

FIRST_NS, STEP_NS = 10**18, 100_000_000
numbers = st.floats(-1000, 1000)
poses = st.builds(
    lambda place, angle: transform_from_quaternion(
        place, (0, 0, np.sin(angle / 2), np.cos(angle / 2))
    ),
    st.tuples(numbers, numbers, numbers),
    st.floats(-3, 3),
)


def scans(count=1):
    fields = dict(zip(('x', 'y', 'z', 'intensity'), SCAN.T, strict=True))
    return [Stamped(FIRST_NS + STEP_NS * n, lambda: fields) for n in range(count)]


def drive(**parts) -> DatasetDrive:
    return DatasetDrive('d', **{'cameras': (), 'lidar': LidarStream(np.eye(4), scans()), **parts})


@settings(max_examples=25)
@given(st.lists(poses, min_size=1, max_size=5))
def test_poses_are_read_back_and_velocities_lead_from_one_to_the_next(
    tmp_path_factory, given_poses
):
    stamps_ns = FIRST_NS + STEP_NS * np.arange(len(given_poses))
    trajectory = Trajectory(stamps_ns, np.stack(given_poses))
    path = tmp_path_factory.mktemp('bags') / 'd.mcap'
    write_drive(drive(trajectory=trajectory), path)
    with BagReader(path) as bag:
        read = trajectory_from_bag(bag)
    assert read.stamps_ns.tolist() == stamps_ns.tolist()
    np.testing.assert_allclose(read.world_from_ego, trajectory.world_from_ego, atol=1e-9)
    odometry = decoded(path, '/odometry')
    for before, after, message in zip(given_poses, given_poses[1:], odometry[1:], strict=False):
        v, w = message.twist.twist.linear, message.twist.twist.angular
        step_m = 0.1 * after[:3, :3] @ [v.x, v.y, v.z]
        np.testing.assert_allclose(before[:3, 3] + step_m, after[:3, 3], atol=1e-6)
        turned = (
            before[:3, :3]
            @ transform_from_quaternion((0, 0, 0), (0, 0, np.sin(0.05 * w.z), np.cos(0.05 * w.z)))[
                :3, :3
            ]
        )
        np.testing.assert_allclose(turned, after[:3, :3], atol=1e-6)
    if len(given_poses) == 1:
        assert odometry[0].twist.twist.linear.x == 0


def test_a_bag_folder_is_written_too_and_progress_is_shown(tmp_path, capsys):
    write_kitti_raw(tmp_path / 'tree')
    convert('kitti-raw', tmp_path / 'tree', tmp_path / 'bag')
    assert (tmp_path / 'bag' / 'metadata.yaml').is_file()
    assert len(decoded(tmp_path / 'bag', '/lidar/points')) == 4
    assert 'Writing bag: 20/20' in capsys.readouterr().err


def test_an_earlier_bag_stays_if_the_new_one_fails(tmp_path):
    root = write_nuscenes(tmp_path / 'tree')
    bag = convert('nuscenes', root, tmp_path / 'd.mcap')
    before = bag.read_bytes()
    (root / 'samples/CAM_FRONT/500000.jpg').write_bytes(b'')
    with pytest.raises(SelfOccError, match=r'500000\.jpg is damaged'):
        convert('nuscenes', root, bag)
    assert bag.read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ['d.mcap', 'tree']


def test_a_disk_that_is_full_is_one_sentence(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, 'No space left on device')

    monkeypatch.setattr('selfocc_core.bags.BagWriter.write_raw', full)
    with pytest.raises(SelfOccError, match=r'cannot write .*d\.mcap: No space left on device'):
        write_drive(drive(), tmp_path / 'd.mcap')
    assert not list(tmp_path.iterdir())


def test_an_empty_scan_is_a_cloud(tmp_path):
    nothing = {axis: np.empty(0, np.float32) for axis in 'xyz'}
    lidar = LidarStream(np.eye(4), [Stamped(0, lambda: nothing)])
    write_drive(drive(lidar=lidar), tmp_path / 'd.mcap')
    (cloud,) = decoded(tmp_path / 'd.mcap', '/lidar/points')
    assert messages.xyz(messages.decode_point_cloud(cloud)).shape == (0, 3)


@pytest.mark.parametrize(
    ('parts', 'sentence'),
    [
        ({'lidar': None}, 'has neither images nor LiDAR'),
        ({'lidar': LidarStream(np.eye(4), scans(2)[::-1])}, 'the LiDAR .* do not increase'),
        ({'lidar': LidarStream(np.eye(4), [Stamped(-1, dict)])}, 'not between 1970 and 2038'),
        ({'lidar': LidarStream(np.eye(4), [Stamped(10**30, dict)])}, 'not between 1970'),
        (
            {'cameras': (CameraStream(nuscenes_like_rig().cameras[0], []),) * 2},
            'camera "front" of drive "d" cannot have a topic of its own',
        ),
        (
            {'trajectory': Trajectory(np.array([0]), 1e9 * np.ones((1, 4, 4)))},
            r'poses of drive "d" reach 1\.0e\+09 m',
        ),
    ],
)
def test_what_cannot_be_a_drive_is_refused(parts, sentence):
    with pytest.raises(SelfOccError, match=sentence):
        drive(**parts)
