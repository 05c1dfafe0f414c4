from __future__ import annotations

import sys
from unittest.mock import MagicMock

import numpy as np
import pytest

pytest.importorskip('rclpy')
import rclpy
from rclpy.signals import SignalHandlerOptions
from sensor_msgs.msg import CameraInfo
from small_drive import small_rig

from selfocc_core import bag_messages
from selfocc_core.errors import SelfOccError
from selfocc_core.transform_tree import TransformTree
from selfocc_ros import transform_listener
from selfocc_ros.conversions import header
from selfocc_ros.rig_source import FixedRig, ListenedRig
from selfocc_ros.warnings import Warnings

RIG = small_rig()


class StandInTransforms(TransformTree):
    """Stands in for /tf_static, whose message type the wheels lack."""

    def close(self):
        pass


@pytest.fixture
def node(own_domain):
    rclpy.init(args=[], signal_handler_options=SignalHandlerOptions.NO)
    yield rclpy.create_node('surround')
    rclpy.try_shutdown()


def listened(node, names, transforms):
    warnings = Warnings(node.get_logger())
    return ListenedRig(node, names, 'base_link', transforms, rectified=False, warnings=warnings)


def info_of(camera):
    from_bag = bag_messages.camera_info(camera, 0)
    message = CameraInfo(header=header(0, camera.frame_id), height=camera.height)
    message.width, message.distortion_model = camera.width, 'plumb_bob'
    message.d, message.k = from_bag.d.tolist(), from_bag.k.tolist()
    return message


@pytest.fixture
def source(node):
    transforms = StandInTransforms()
    return listened(node, RIG.names, transforms), transforms


def all_known(source, transforms):
    for camera in RIG:
        transforms.set('base_link', camera.frame_id, camera.ego_from_camera)
        source.take(camera.name, info_of(camera))
    return source.rig


@pytest.mark.ros
def test_cameras_become_known_one_by_one_in_the_order_of_the_parameter(node):
    transforms = StandInTransforms()
    source = listened(node, RIG.names[:3], transforms)
    assert set(source.problems.values()) == {'no camera_info has arrived'}
    source.take('front_left', info_of(RIG['front_left']))
    assert source.rig is None  # its transform has not come yet
    assert 'no transform connects' in source.problems['front_left']
    for camera in RIG:
        transforms.set('base_link', camera.frame_id, camera.ego_from_camera)
    source.take('front_left', info_of(RIG['front_left']))
    assert source.rig.names == ('front_left',)
    assert 'front_left' not in source.problems
    known = source.rig
    source.take('front_left', info_of(RIG['front_left']))
    assert source.rig is known
    source.take('front', info_of(RIG['front']))
    assert source.rig.names == ('front', 'front_left')
    expected = RIG['front'].image_from_ego
    np.testing.assert_allclose(source.rig['front'].image_from_ego, expected, atol=1e-9)
    source.close()
    assert node.count_subscribers('/surround/input/front/camera_info') == 0


@pytest.mark.ros
def test_an_uncalibrated_camera_is_left_out_and_named(source):
    source, transforms = source
    transforms.set('base_link', RIG['front'].frame_id, RIG['front'].ego_from_camera)
    message = info_of(RIG['front'])
    message.k = [0.0] * 9
    source.take('front', message)
    assert source.rig is None
    assert 'is not calibrated' in source.problems['front']


@pytest.mark.ros
def test_zeros_do_not_replace_a_good_calibration(source):
    source, transforms = source
    known = all_known(source, transforms)
    message = info_of(RIG['front'])
    message.k = [0.0] * 9
    source.take('front', message)
    assert source.rig is known
    assert 'is not calibrated' in source.problems['front']
    source.take('front', info_of(RIG['front']))
    assert source.rig is known
    assert source.problems == {}


@pytest.mark.ros
def test_a_changed_calibration_is_taken_over(source):
    source, transforms = source
    known = all_known(source, transforms)
    message = info_of(RIG['back'])
    message.k[0] = 2 * message.k[0]
    source.take('back', message)
    assert source.rig is not known
    assert source.rig['back'].image_from_camera[0, 0] == message.k[0]
    assert source.rig['front'] is known['front']


@pytest.mark.ros
def test_a_camera_that_is_mounted_anew_is_taken_over(source):
    source, transforms = source
    all_known(source, transforms)
    moved = RIG['back'].ego_from_camera.copy()
    moved[2, 3] += 0.5
    transforms.set('base_link', RIG['back'].frame_id, moved)
    source.take('back', info_of(RIG['back']))
    np.testing.assert_allclose(source.rig['back'].ego_from_camera, moved)
    known = source.rig
    trembling = moved.copy()
    trembling[2, 3] += 1e-4  # a sprung cab, or the noise of an estimate
    transforms.set('base_link', RIG['back'].frame_id, trembling)
    source.take('back', info_of(RIG['back']))
    assert source.rig is known


@pytest.mark.ros
def test_a_camera_info_of_the_wrong_shape_is_a_problem_and_no_crash(source):
    source, transforms = source
    all_known(source, transforms)
    message = info_of(RIG['back'])
    message.roi.width, message.roi.height, message.roi.x_offset = 176, 96, 50
    source.take('back', message)
    assert 'correct the roi' in source.problems['back']


def test_a_transform_without_rotation_is_ignored_and_the_others_are_taken(monkeypatch):
    from geometry_msgs.msg import TransformStamped

    for name in ('tf2_msgs', 'tf2_msgs.msg'):
        monkeypatch.setitem(sys.modules, name, MagicMock())
    node = MagicMock()
    monkeypatch.setattr(transform_listener.importlib.util, 'find_spec', lambda name: True)
    transforms = transform_listener.TransformListener(node)
    broken, good = (TransformStamped(child_frame_id=name) for name in ('broken', 'good'))
    broken.header.frame_id = good.header.frame_id = 'base_link'
    broken.transform.rotation.w = 0.0
    transforms._take(MagicMock(transforms=[broken, good]))
    np.testing.assert_array_equal(transforms.lookup('base_link', 'good'), np.eye(4))
    with pytest.raises(SelfOccError):
        transforms.lookup('base_link', 'broken')
    assert '"broken"' in node.get_logger().warning.call_args.args[0]


def test_a_rig_file_gives_the_cameras_asked_for(tmp_path):
    RIG.to_yaml(tmp_path / 'rig.yaml')
    assert FixedRig(str(tmp_path / 'rig.yaml'), ['back', 'front']).rig.names == ('back', 'front')
    with pytest.raises(SelfOccError, match='has no camera "roof"'):
        FixedRig(str(tmp_path / 'rig.yaml'), ['roof'])
