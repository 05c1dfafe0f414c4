"""A recorded drive through real DDS into the node in its own process."""

from __future__ import annotations

from unittest.mock import MagicMock

import numpy as np
import pytest

pytest.importorskip('rclpy')
from small_drive import OFFSETS_NS, PERIOD_NS, START_NS, small_rig, write_small_drive

from selfocc_core import bag_messages
from selfocc_core.bag_messages import decode_point_cloud, stamp_ns_of
from selfocc_core.bags import BagReader, BagWriter
from selfocc_core.errors import SelfOccError
from selfocc_ros.bag_player import _remapped
from selfocc_ros.diagnostics import values_of
from selfocc_ros.replay import _play, replay

pytestmark = [pytest.mark.ros, pytest.mark.usefixtures('own_domain')]


def stamps_of(bag, topic):
    return [stamp_ns_of(message.decode()) for message in bag.messages([topic])]


@pytest.mark.parametrize('sets', [1, 8])
def test_every_frame_set_of_a_drive_comes_back(tmp_path, mock_model, sets):
    drive = write_small_drive(tmp_path / 'drive.mcap', sets)
    recording = tmp_path / 'occupancy.mcap'
    statistics = replay(drive, small_rig(), mock_model, recording, tmp_path / 'node.log')

    assert statistics.images_published == 6 * sets
    assert statistics.frame_sets == statistics.frames_published == sets
    assert statistics.dropped == {}
    assert len(statistics.latency_ms) == sets
    assert min(statistics.latency_ms) > 0
    assert statistics.realtime_factor > 0
    assert (statistics.backend, statistics.model) == ('onnxruntime-cpu', str(mock_model))

    anchors_ns = [START_NS + index * PERIOD_NS for index in range(sets)]
    with BagReader(recording) as bag:
        assert stamps_of(bag, '/surround/occupancy/points') == anchors_ns
        assert stamps_of(bag, '/surround/occupancy/grid') == anchors_ns
        for name, offset_ns in zip(small_rig().names, OFFSETS_NS, strict=True):
            expected = [anchor_ns + offset_ns for anchor_ns in anchors_ns]
            assert stamps_of(bag, f'/surround/{name}/depth/image') == expected
            assert stamps_of(bag, f'/surround/{name}/depth/camera_info') == expected
        cloud = next(iter(bag.messages(['/surround/occupancy/points']))).decode()
        assert np.all(decode_point_cloud(cloud)['z'] < 0.1)
        final = list(bag.messages(['/diagnostics']))[-1].decode()
    assert values_of(final, ': inference')['published_without_odometry'] == '0'


def test_a_node_that_died_on_the_way_ends_the_replay():
    def play(rate, before_anchor):
        for stamp_ns in range(3):
            before_anchor(stamp_ns)
            yield stamp_ns

    player, recorder, process = MagicMock(play=play, message_count=3), MagicMock(), MagicMock()
    recorder.wait_until_answered.return_value = False
    process.check_alive.side_effect = SelfOccError('the node has ended')
    with pytest.raises(SelfOccError, match='the node has ended'):
        _play(player, recorder, process, 1.0)
    recorder.wait_until_answered.assert_called_once()


def test_a_drive_without_a_camera_is_refused_and_nothing_is_left(tmp_path, mock_model):
    drive = write_small_drive(tmp_path / 'drive.mcap', sets=1)
    from dataclasses import replace as changed

    from selfocc_core.cameras import Rig, nuscenes_like_rig

    roof = changed(nuscenes_like_rig(176, 96)['front'], name='roof')
    rig = Rig((*small_rig().cameras[:5], roof))
    with pytest.raises(SelfOccError, match='/camera/roof/image'):
        replay(drive, rig, mock_model, tmp_path / 'occupancy.mcap', tmp_path / 'node.log')
    assert [path.name for path in tmp_path.iterdir()] == ['drive.mcap']


def test_a_node_that_dies_is_reported_with_its_last_words(tmp_path, mock_model):
    drive = write_small_drive(tmp_path / 'drive.mcap', sets=1)
    missing = tmp_path / 'missing.onnx'
    with pytest.raises(SelfOccError, match='there is no model at'):
        replay(drive, small_rig(), missing, tmp_path / 'occupancy.mcap', tmp_path / 'node.log')
    assert not (tmp_path / 'occupancy.mcap').exists()


@pytest.mark.parametrize(
    ('images', 'heard'),
    [
        ('/camera/front/image/compressed', '/surround/input/front/image/compressed'),
        ('/surround/input/front/image', '/surround/input/front/image'),
        ('/car/front/image_raw', '/surround/input/front/image'),
    ],
)
def test_a_drive_is_played_to_the_topics_of_the_node(tmp_path, images, heard):
    camera, folder = small_rig()['front'], images.split('/image')[0]
    picture = np.zeros((camera.height, camera.width, 3), np.uint8)
    make = bag_messages.compressed_image if 'compressed' in images else bag_messages.raw_image
    with BagWriter(tmp_path / 'drive.mcap') as bag:
        bag.write(images, make(picture, 0, 'x'), 0)
        bag.write(f'{folder}/camera_info', bag_messages.camera_info(camera, 0), 0)
        pose = bag_messages.odometry('odom', np.eye(4), (0, 0, 0), (0, 0, 0), 0)
        bag.write('/car/odometry', pose, 0)
    with BagReader(tmp_path / 'drive.mcap') as bag:
        assert _remapped(bag, ['front'], '/surround') == {
            images: heard,
            f'{folder}/camera_info': '/surround/input/front/camera_info',
            '/car/odometry': '/surround/input/odometry',
        }


def test_through_the_node_comes_what_comes_without_it(tmp_path, mock_model):
    """One code decodes, synchronises and scores, so a drive has one result."""
    from selfocc_core.backends import open_backend
    from selfocc_core.evaluation.in_process import process_drive
    from selfocc_core.evaluation.recording import read_recording

    drive, rig = write_small_drive(tmp_path / 'drive.mcap', 5), small_rig()
    replay(drive, rig, mock_model, tmp_path / 'node.mcap', tmp_path / 'node.log')
    backend = open_backend(mock_model, threads=1)
    process_drive(drive, rig, backend, mock_model, tmp_path / 'own.mcap')
    node, own = read_recording(tmp_path / 'node.mcap'), read_recording(tmp_path / 'own.mcap')
    assert node.occupancy.keys() == own.occupancy.keys()
    assert node.depths.keys() == own.depths.keys()
    for stamp_ns, points in own.occupancy.items():
        np.testing.assert_allclose(node.occupancy[stamp_ns], points, atol=1e-5)
    for key, depth in own.depths.items():
        np.testing.assert_array_equal(node.depths[key].depth_m, depth.depth_m)
