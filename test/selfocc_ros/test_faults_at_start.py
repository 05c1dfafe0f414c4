"""Faults that need a node of their own, over real DDS."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip('rclpy')
from driving import POINTS, Driving
from geometry_msgs.msg import TransformStamped
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState
from mock_model import write_mock_model
from rclpy.serialization import deserialize_message
from running_node import ACTIVATE, CLEANUP, CONFIGURE, DEACTIVATE
from sensor_msgs.msg import CameraInfo, CompressedImage
from small_drive import START_NS, small_rig

from selfocc_core import bag_messages
from selfocc_ros.transport import latched_qos, reliable_qos

pytestmark = [pytest.mark.ros, pytest.mark.faults]
CAMERAS = small_rig().names
WARN = b'\x01'


def test_a_model_that_becomes_garbage_while_running_fails_the_next_start_only(
    running_node, tmp_path
):
    mine = tmp_path / 'mine.onnx'
    write_mock_model(mine)
    good = mine.read_bytes()
    drive = Driving(running_node(model=str(mine)))
    drive.until(drive.recovered)
    mine.write_bytes(b'garbage' * 1000)
    drive.forget_outputs()
    drive.until(lambda: len(drive.node.received[POINTS]) >= 3)  # it holds what it has read
    assert drive.node.change_state(DEACTIVATE)
    assert drive.node.change_state(CLEANUP)
    assert not drive.node.change_state(CONFIGURE)
    assert drive.node.state() == 'unconfigured'
    assert str(mine) in drive.node.log
    assert 'Traceback' not in drive.node.log
    mine.write_bytes(good)
    assert drive.node.change_state(CONFIGURE)
    assert drive.node.change_state(ACTIVATE)
    drive.forget_outputs()
    drive.until(lambda: len(drive.node.received[POINTS]) >= 3)


def test_a_jpeg_of_garbage_costs_only_its_camera(running_node):
    node = running_node(image_transport='compressed')
    publishers = {
        camera: node.node.create_publisher(
            CompressedImage, f'/surround/input/{camera}/image/compressed', reliable_qos()
        )
        for camera in CAMERAS
    }
    node.images = publishers
    drive = Driving(node)
    drive.messages = lambda: {
        camera: compressed(message) for camera, message in node.image_messages().items()
    }
    drive.until(drive.recovered)

    def garbage(message):
        message.data = b'\xff\xd8' + bytes(range(256)) * 4
        return message

    drive.faults = {'back': garbage}
    drive.until(lambda: drive.mask == '111011')
    drive.until(lambda: drive.missing() == 'back')
    assert drive.node.status_of(': camera back') == (WARN, 'cannot be decoded')
    drive.faults = {}
    drive.until(drive.recovered)


def compressed(message):
    pixels = np.frombuffer(message.data, np.uint8).reshape(message.height, message.width, 3)
    encoded = bag_messages.compressed_image(pixels, 0, message.header.frame_id)
    return CompressedImage(format='jpeg', data=encoded.data.tobytes())


@pytest.fixture
def calibrated_by_topics(running_node):
    """A node that learns its calibration from camera_info and /tf_static, driving."""
    tf2_msgs = pytest.importorskip('tf2_msgs.msg')
    node = running_node(rig_file='')
    transforms = [
        bag_messages.transform_stamped('base_link', c.frame_id, c.ego_from_camera, 0)
        for c in node.rig
    ]
    static = tf2_msgs.TFMessage(transforms=[as_rclpy(TransformStamped, t) for t in transforms])
    node.node.create_publisher(tf2_msgs.TFMessage, '/tf_static', latched_qos()).publish(static)
    infos = {
        camera.name: node.node.create_publisher(
            CameraInfo, f'/surround/input/{camera.name}/camera_info', reliable_qos()
        )
        for camera in node.rig
    }
    node.wait_for(lambda: all(publisher.get_subscription_count() for publisher in infos.values()))
    node.sent_infos = {
        c.name: as_rclpy(CameraInfo, bag_messages.camera_info(c, 0)) for c in node.rig
    }

    def publish(camera, message):
        infos[camera].publish(node.sent_infos[camera])
        node.images[camera].publish(message)

    drive = Driving(node, publish)
    drive.until(drive.recovered)
    return drive


def as_rclpy(message_class, message):
    raw = bag_messages.typestore().serialize_cdr(message, message.__msgtype__)
    return deserialize_message(bytes(raw), message_class)


def test_camera_info_of_zeros_keeps_the_former_calibration(calibrated_by_topics):
    drive = calibrated_by_topics
    good = drive.node.sent_infos['back']
    zeros = as_rclpy(CameraInfo, bag_messages.camera_info(drive.node.rig['back'], 0))
    zeros.k = [0.0] * 9
    drive.node.sent_infos['back'] = zeros
    drive.until(lambda: 'calibration' in drive.node.account(': camera back'))
    level, text = drive.node.status_of(': camera back')
    assert level == WARN
    assert 'is not calibrated' in text
    assert 'its former calibration stays' in drive.node.log
    drive.forget_outputs()
    drive.until(lambda: len(drive.node.received[POINTS]) >= 3)
    assert drive.mask == '111111'
    drive.node.sent_infos['back'] = good
    drive.until(lambda: drive.node.status_of(': camera back')[0] == b'\x00')


def test_a_calibration_that_changes_is_used_from_then_on(calibrated_by_topics):
    drive = calibrated_by_topics
    drive.node.listen(CameraInfo, '/surround/back/depth/camera_info')
    drive.until(lambda: drive.node.received['/surround/back/depth/camera_info'])
    before = drive.node.received['/surround/back/depth/camera_info'][-1].k[0]
    changed = as_rclpy(CameraInfo, bag_messages.camera_info(drive.node.rig['back'], 0))
    changed.k[0] = 1.25 * changed.k[0]
    drive.node.sent_infos['back'] = changed
    drive.until(
        lambda: (
            drive.node.received['/surround/back/depth/camera_info'][-1].k[0]
            == pytest.approx(1.25 * before)
        )
    )
    assert 'the calibration of camera "back" changed' in drive.node.log
    drive.until(drive.recovered)


def test_a_camera_without_a_place_on_the_vehicle_is_named(running_node):
    pytest.importorskip('tf2_msgs.msg')
    node = running_node(rig_file='')
    node.listen_to_all()
    info = node.node.create_publisher(
        CameraInfo, '/surround/input/back/camera_info', reliable_qos()
    )
    node.wait_for(info.get_subscription_count)
    node.wait_for(lambda: node.received['/diagnostics'])
    message = as_rclpy(CameraInfo, bag_messages.camera_info(node.rig['back'], 0))
    for _ in range(40):
        info.publish(message)
        node.spin_for(0.2)
        calibration = node.account(': camera back').get('calibration', '')
        if 'no transform connects' in calibration:
            break
    assert f'"{node.rig["back"].frame_id}"' in calibration
    assert '"base_link"' in calibration


def test_a_transition_that_the_state_does_not_allow_is_refused_and_survived(running_node):
    """Rclpy raises then, and does not even answer."""
    node = running_node()
    node.listen_to_all()
    node.wait_until_ready()
    request = ChangeState.Request(transition=Transition(id=ACTIVATE))
    node.client(ChangeState, 'change_state').call_async(request)
    node.wait_for(lambda: 'a call was not served' in node.log)
    assert node.state() == 'active'
    node.publish_set(START_NS)
    node.wait_for(lambda: node.received[POINTS])


def test_why_configuring_failed_is_told_in_the_diagnostics(running_node, mock_model):
    node = running_node(autostart=False, model='/nowhere/model.onnx')
    assert not node.change_state(CONFIGURE)
    node.wait_for(lambda: node.received['/diagnostics'])
    told = next(line for line in node.log.splitlines() if '/nowhere' in line).split(': ', 1)[1]
    assert node.status_of(': occupancy') == (b'\x02', told)
    assert node.set_parameter('model', string_value=str(mock_model)).successful
    assert node.change_state(CONFIGURE)
    node.wait_for(lambda: node.status_of(': occupancy')[0] == b'\x00')


@pytest.mark.parametrize(
    ('parameter', 'value'),
    [('model', '~no such user/m.onnx'), ('cameras', ['front-left']), ('camera_offsets_ms', [5.0])],
)
def test_a_parameter_without_meaning_ends_the_start_with_one_sentence(
    running_node, parameter, value
):
    node = running_node(**{parameter: value})
    node.status = node.process.process.wait(20)
    assert node.status == 1
    assert f'parameter {parameter} ' in node.log
    assert 'Traceback' not in node.log
