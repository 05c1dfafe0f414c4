"""Faults that need a node of their own, over real DDS."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip('rclpy')
from driving import POINTS, Driving
from mock_model import write_mock_model
from running_node import ACTIVATE, CLEANUP, CONFIGURE, DEACTIVATE
from sensor_msgs.msg import CompressedImage
from small_drive import small_rig

from selfocc_core import bag_messages
from selfocc_ros.transport import reliable_qos

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
