"""Faults injected into the running node, over real DDS: named, survived, recovered from."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip('rclpy')
from driving import GRID, POINTS, Driving
from mock_model import write_mock_model
from rclpy.serialization import serialize_message
from running_node import RunningNode
from sensor_msgs.msg import PointCloud2
from small_drive import small_rig

from selfocc_core import bag_messages
from selfocc_core.voxels import VoxelGrid
from selfocc_ros.conversions import header
from selfocc_ros.transport import large_message_environment, reliable_qos

pytestmark = [pytest.mark.ros, pytest.mark.faults]
CAMERAS = small_rig().names
OK, WARN, ERROR = b'\x00', b'\x01', b'\x02'


@pytest.fixture(scope='module')
def model(tmp_path_factory):
    pytest.importorskip('onnx')
    return write_mock_model(tmp_path_factory.mktemp('model') / 'mock.onnx')


@pytest.fixture(scope='module')
def environment():
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv('ROS_DOMAIN_ID', str(101 + time.monotonic_ns() % 100))
        patch.setenv('ROS_AUTOMATIC_DISCOVERY_RANGE', 'LOCALHOST')
        patch.setenv('OMP_NUM_THREADS', '1')
        for name, value in large_message_environment().items():
            patch.setenv(name, value)
        yield


def started(folder, model, **parameters):
    small_rig().to_yaml(folder / 'rig.yaml')
    defaults = {
        'model': str(model),
        'rig_file': str(folder / 'rig.yaml'),
        'autostart': True,
        'silent_after_ms': 300.0,
        'save_folder': str(folder / 'grids'),
    }
    return RunningNode(folder, {**defaults, **parameters})


@pytest.fixture(scope='module')
def shared(environment, model, tmp_path_factory):
    """One node for all faults that a node must survive and recover from."""
    node = started(tmp_path_factory.mktemp('node'), model, minimum_cameras=2)
    yield Driving(node)
    node.close()


@pytest.fixture
def drive(shared):
    """The shared node in good health, before the fault and after it."""
    shared.faults = {}
    shared.until(shared.recovered)
    log_before = len(shared.node.log)
    shared.said = lambda: shared.node.log[log_before:]
    yield shared
    shared.faults = {}
    shared.until(shared.recovered)
    assert 'Traceback' not in shared.said()


def without(*cameras):
    return {camera: lambda message: None for camera in cameras}


def mask_without(*cameras):
    return ''.join('0' if camera in cameras else '1' for camera in CAMERAS)


def seen_by(camera, grid):
    """Return which cells of the grid are seen from bottom to top, but not without this camera."""
    volume = VoxelGrid((-25.6, -25.6, -2.0), (25.6, 25.6, 4.4), (128, 128, 16))
    heights = volume.axis_centers(2)
    band = (heights >= 0.3) & (heights <= 2.0)
    sees = {
        c.name: volume.visible_from(c.image_from_ego[None], (c.height, c.width))[..., band]
        for c in small_rig()
    }
    others = np.any([seen for name, seen in sees.items() if name != camera], axis=0)
    together = others | sees[camera]
    assert grid.shape == others.shape[:2]
    return together.all(-1) & ~others.all(-1)


@pytest.mark.parametrize('camera', CAMERAS)
def test_each_camera_may_drop_out(drive, camera):
    """Also the anchor: the next camera gives the stamps."""
    alone = seen_by(camera, drive.newest_grid())
    assert alone.sum() > 100
    assert np.all(drive.newest_grid()[alone] != -1)
    drive.faults = without(camera)
    drive.until(lambda: drive.mask == mask_without(camera))
    assert drive.node.status_of(': occupancy')[0] == WARN
    drive.until(lambda: drive.missing() == camera)
    drive.forget_outputs()
    drive.until(lambda: len(drive.node.received[GRID]) >= 3)
    assert np.all(drive.newest_grid()[alone] == -1)  # unknown, not free
    assert not drive.node.received[f'/surround/{camera}/depth/image']
    assert drive.node.status_of(f': camera {camera}') == (WARN, 'no image for 0.3 s')
    drive.faults = {}
    drive.until(drive.recovered)
    drive.forget_outputs()
    drive.until(lambda: drive.node.received[GRID])
    assert np.all(drive.newest_grid()[alone] != -1)
    assert drive.said().count(f'camera "{camera}" is not used: no image for 0.3 s') == 1
    assert drive.said().count(f'camera "{camera}" works again') == 1


def test_while_the_anchor_is_lost_the_next_camera_gives_the_stamp(drive):
    drive.faults = without('front')
    anchor = 'front_right'
    drive.until(lambda: drive.node.account(': synchronizer')['anchor'] == anchor)
    drive.forget_outputs()
    drive.until(lambda: drive.node.received[POINTS])
    assert f'camera "{anchor}" gives the stamps now, not "front"' in drive.said()
    drive.faults = {}
    drive.until(lambda: drive.node.account(': synchronizer')['anchor'] == 'front')


def test_two_of_six_cameras_are_enough_where_the_minimum_says_so(drive):
    lost = CAMERAS[2:]
    drive.faults = without(*lost)
    drive.until(lambda: drive.mask == mask_without(*lost))
    drive.forget_outputs()
    drive.until(lambda: len(drive.node.received[POINTS]) >= 2)
    drive.until(lambda: drive.node.status_of(': occupancy')[0] == WARN)
    assert drive.missing().split(', ') == list(lost)


def test_below_the_minimum_there_is_silence_and_an_error(drive):
    drive.faults = without(*CAMERAS[1:])
    drive.until(lambda: drive.node.status_of(': occupancy')[0] == ERROR)
    drive.forget_outputs()
    drive.for_seconds(1.0)
    assert not drive.node.received[POINTS]
    assert drive.said().count('no occupancy: 2 of 6 cameras are needed') == 1
    drive.faults = {}
    drive.until(drive.recovered)
    assert drive.said().count('enough cameras work again') == 1
    drive.until(lambda: drive.node.received[POINTS])


def test_without_any_camera_there_is_an_error_and_no_crash(drive):
    drive.faults = without(*CAMERAS)
    drive.until(lambda: drive.node.status_of(': occupancy')[0] == ERROR)
    assert drive.missing().split(', ') == list(CAMERAS)


def frozen(message, kept=[]):  # noqa: B006  (the fault remembers its first image)
    kept.append(message.data)
    message.data = kept[0]
    return message


def filled_with(value):
    def fault(message):
        message.data = bytes([value]) * len(message.data)
        return message

    return fault


def cut_off(message):
    raw = bytes(serialize_message(message))
    return raw[: len(raw) // 3]


def resized(message):
    message.height, message.width, message.step = 50, 60, 180
    message.data = message.data[: 50 * 180]
    return message


def of_unknown_encoding(message):
    message.encoding = 'yuv777'
    return message


@pytest.mark.parametrize(
    ('fault', 'reason'),
    [
        (frozen, 'frozen image'),
        (filled_with(0), 'black image'),
        (filled_with(255), 'saturated image'),
        (cut_off, 'damaged message'),
        (resized, 'wrong size'),
        (of_unknown_encoding, 'cannot be decoded'),
    ],
)
def test_an_image_that_shows_nothing_is_left_out_and_named(drive, fault, reason):
    before = drive.dropped('back', reason)
    drive.faults = {'back': fault}
    drive.until(lambda: drive.mask == mask_without('back'))
    drive.until(lambda: drive.missing() == 'back')
    assert drive.node.status_of(': camera back') == (WARN, reason)
    drive.until(lambda: drive.dropped('back', reason) >= before + 3)
    alone = seen_by('back', drive.newest_grid())
    drive.forget_outputs()
    drive.until(lambda: drive.node.received[GRID])
    assert np.all(drive.newest_grid()[alone] == -1)
    assert f'camera "back" is not used: {reason}' in drive.said()


def shifted(seconds):
    def fault(message):
        stamp_ns = bag_messages.stamp_ns_of(message) + round(seconds * 1e9)
        message.header.stamp = header(stamp_ns, '').stamp
        return message

    return fault


@pytest.mark.parametrize('seconds', [10.0, -10.0])
@pytest.mark.parametrize('camera', ['front', 'back'])
def test_a_camera_with_another_clock_disturbs_nobody(drive, camera, seconds):
    where = 'ahead of' if seconds > 0 else 'behind'
    drive.faults = {camera: shifted(seconds)}
    drive.until(lambda: drive.mask == mask_without(camera))
    drive.until(lambda: drive.missing() == camera)
    assert drive.dropped(camera, f'stamp {where} the other cameras') > 0
    jumps = drive.node.account(': synchronizer')['clock_jumps']
    drive.forget_outputs()
    drive.until(lambda: len(drive.node.received[POINTS]) >= 5)
    assert drive.node.account(': synchronizer')['clock_jumps'] == jumps


@pytest.mark.parametrize('seconds', [-60.0, 60.0])
def test_when_a_recording_begins_anew_the_node_follows(drive, seconds):
    jumps = int(drive.node.account(': synchronizer')['clock_jumps'])
    drive.stamp_ns += round(seconds * 1e9)
    drive.forget_outputs()
    drive.until(lambda: len(drive.node.received[POINTS]) >= 5)
    newest_ns = bag_messages.stamp_ns_of(drive.node.received[POINTS][-1])
    assert abs(newest_ns - drive.stamp_ns) < 1e9
    drive.until(lambda: int(drive.node.account(': synchronizer')['clock_jumps']) == jumps + 1)


def test_duplicates_and_late_repeats_are_counted_and_change_nothing(drive):
    kept = []

    def repeated(message):
        kept.append(message)
        # Two at a time: more of a burst than that the node need not keep.
        return [message, message] if len(kept) % 2 else [message, *kept[-4:-3]]

    drive.faults = {'back': repeated}
    drive.until(lambda: drive.dropped('back', 'duplicate') >= 5)
    drive.until(lambda: drive.dropped('back', 'out of order') >= 5)
    # While they go on; a receiver that is late may miss an image of such a burst.
    drive.until(drive.recovered)


def test_listeners_may_come_and_go(drive):
    node = drive.node.node
    for _ in range(15):
        storm = [
            node.create_subscription(PointCloud2, POINTS, lambda message: None, reliable_qos(1))
            for _ in range(4)
        ]
        drive.tick()
        for subscription in storm:
            node.destroy_subscription(subscription)
    drive.forget_outputs()
    drive.until(lambda: len(drive.node.received[POINTS]) >= 5)


def test_the_camera_process_may_be_killed_and_started_again(drive):
    """Of one camera: its driver is a process of its own, killed without a goodbye."""

    def driver():
        script = Path(__file__).with_name('camera_driver.py')
        ahead_ns = str(drive.stamp_ns - time.time_ns())
        return subprocess.Popen([sys.executable, str(script), 'back', ahead_ns])

    drive.faults = without('back')  # the driver's images come instead of ours
    drive.until(lambda: drive.missing() == 'back')
    process = driver()
    try:
        drive.until(drive.recovered)
        process.kill()
        process.wait()
        drive.until(lambda: drive.missing() == 'back')
        process = driver()
        drive.until(drive.recovered)
    finally:
        process.kill()
        process.wait()
    assert drive.said().count('camera "back" works again') == 2


def test_every_image_is_accounted_for_in_the_end(shared):
    """After all these faults: received = used + dropped + waiting, of each camera."""
    shared.faults = {}
    shared.until(shared.recovered)
    shared.node.spin_for(2.5)  # nothing is on its way any more
    for camera in CAMERAS:
        values = shared.node.account(f': camera {camera}')
        dropped = sum(int(v) for key, v in values.items() if key.startswith('dropped: '))
        total = int(values['used']) + dropped + int(values['waiting'])
        assert int(values['received']) == total, (camera, values)
