from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parents[1] / 'selfocc_ros'))
from mock_model import write_mock_model
from small_drive import OFFSETS_NS, PERIOD_NS, START_NS, small_rig, write_small_drive

from selfocc_core import bag_messages
from selfocc_core.backends import open_backend
from selfocc_core.bags import BagReader, BagWriter
from selfocc_core.errors import SelfOccError
from selfocc_core.evaluation.in_process import process_drive
from selfocc_core.evaluation.recording import read_recording
from selfocc_core.playback import Playback
from selfocc_core.rig_from_bag import rig_from_bag

SETS = 9
RIG = small_rig()


@pytest.fixture(scope='module')
def model(tmp_path_factory):
    return write_mock_model(tmp_path_factory.mktemp('m') / 'm.onnx')


@pytest.fixture(scope='module')
def backend(model):
    return open_backend(model, threads=1)


@pytest.fixture(scope='module')
def drive(tmp_path_factory):
    return write_small_drive(tmp_path_factory.mktemp('d') / 'drive.mcap', SETS)


def rewritten(drive, path, change):
    """Copy a bag; ``change`` returns the message to write in place of each, or None."""
    with BagReader(drive) as bag, BagWriter(path) as writer:
        for message in bag.messages():
            raw = change(message)
            if raw is not None:
                writer.write_raw(message.topic, message.type, raw, message.stamp_ns)
    return path


def played(path, backend, rig=RIG):
    with BagReader(path) as bag:
        playback = Playback(bag, rig, backend)
        return list(playback.results()), playback.account


def test_every_frame_set_comes_with_its_stamps_and_motion(drive, backend):
    results, account = played(drive, backend)
    assert [r.result.stamp_ns for r in results] == [START_NS + i * PERIOD_NS for i in range(SETS)]
    for index, processed in enumerate(results):
        stamps = {name: frame.stamp_ns for name, frame in processed.frame_set.frames.items()}
        expected = [START_NS + index * PERIOD_NS + offset_ns for offset_ns in OFFSETS_NS]
        assert stamps == dict(zip(RIG.names, expected, strict=True))
        assert processed.with_odometry
    assert (account.images, account.frame_sets) == (6 * SETS, SETS)
    assert not account.lost
    assert not account.dropped
    assert account.inference_s > 0


def test_it_is_the_same_each_time(drive, backend):
    (first, _), (second, _) = played(drive, backend), played(drive, backend)
    for one, other in zip(first, second, strict=True):
        np.testing.assert_array_equal(one.result.sdf, other.result.sdf)
        np.testing.assert_array_equal(one.result.states, other.result.states)
        for name, depth in one.result.depths.items():
            np.testing.assert_array_equal(depth.depth_m, other.result.depths[name].depth_m)


def test_every_image_is_used_or_counted(drive, backend, tmp_path):
    """A camera that is missing for a while, damaged messages, damaged images."""

    def break_some(message):
        if '/camera/back/image' in message.topic:
            index = (message.stamp_ns - START_NS) // PERIOD_NS
            return {3: None, 5: message.raw[:40], 7: spoilt(message)}.get(index, message.raw)
        return message.raw

    def spoilt(message):
        image = message.decode()
        image.data = image.data[: len(image.data) // 2]
        return bytes(bag_messages.typestore().serialize_cdr(image, message.type))

    results, account = played(rewritten(drive, tmp_path / 'b.mcap', break_some), backend)
    assert account.images == 6 * SETS - 1
    assert dict(account.dropped) == {'damaged message': 1, 'cannot be decoded': 1}
    used = sum(len(r.frame_set.frames) for r in results)
    assert used + sum(account.dropped.values()) == account.images
    assert [len(r.frame_set.frames) for r in results] == [6, 6, 6, 5, 6, 5, 6, 5, 6]


def test_without_odometry_the_vehicle_stands_still(drive, backend, tmp_path):
    path = rewritten(
        drive, tmp_path / 'b.mcap', lambda m: None if m.topic == '/odometry' else m.raw
    )
    results, _ = played(path, backend)
    assert len(results) == SETS
    assert not any(r.with_odometry for r in results)


def test_a_camera_that_the_drive_does_not_have_is_named(drive, backend, tmp_path):
    path = rewritten(
        drive, tmp_path / 'b.mcap', lambda m: None if '/camera/back/image' in m.topic else m.raw
    )
    with pytest.raises(SelfOccError, match='record the images of camera "back"'):
        played(path, backend)


def test_what_is_recorded_is_what_came_out(drive, backend, model, tmp_path):
    rig, recording = rig_from_bag(drive), tmp_path / 'occupancy.mcap'
    statistics = process_drive(drive, rig, backend, model, recording)
    assert (statistics.images_published, statistics.frames_published) == (6 * SETS, SETS)
    assert 0 < statistics.inference_share < 1
    assert statistics.dropped == {}
    recorded, (results, _) = read_recording(recording), played(drive, backend, rig)
    for processed in results:
        result = processed.result
        points = recorded.occupancy[result.stamp_ns]
        occupied = result.grid.centers()[result.states == 1]
        np.testing.assert_allclose(points, occupied, atol=1e-5)
        for name, depth in result.depths.items():
            stamp_ns = processed.frame_set.frames[name].stamp_ns
            read = recorded.depths[name, stamp_ns]
            np.testing.assert_array_equal(read.depth_m, depth.depth_m)
            np.testing.assert_array_equal(read.image_from_camera, depth.image_from_camera)
