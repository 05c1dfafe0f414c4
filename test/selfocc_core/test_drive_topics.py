"""Which topics are cameras and odometry, whatever a vehicle calls them."""

from __future__ import annotations

import numpy as np
import pytest

from selfocc_core import bag_messages as messages
from selfocc_core.bags import BagReader, BagWriter
from selfocc_core.cameras import nuscenes_like_rig
from selfocc_core.drive_topics import camera_names, image_topic, info_topic, odometry_topic
from selfocc_core.errors import SelfOccError
from selfocc_core.rig_from_bag import rig_from_bag

CAMERA = nuscenes_like_rig(16, 8)['front']
COLOR = np.zeros((8, 16, 3), np.uint8)
DEPTH = np.zeros((8, 16), np.float32)


def messages_of(topic):
    """The message that a topic of this name would have."""
    if topic.endswith('camera_info'):
        return messages.camera_info(CAMERA, 0)
    if topic.endswith('compressed'):
        return messages.compressed_image(COLOR, 0, 'x')
    if 'odom' in topic:
        return messages.odometry('odom', np.eye(4), (0, 0, 0), (0, 0, 0), 0)
    return messages.raw_image(DEPTH if 'depth' in topic else COLOR, 0, 'x')


@pytest.fixture
def bag_with(tmp_path):
    def write(*topics):
        with BagWriter(tmp_path / 'x.mcap') as bag:
            for topic in topics:
                bag.write(topic, messages_of(topic), 0)
        return BagReader(tmp_path / 'x.mcap')

    return write


@pytest.mark.parametrize(
    ('topics', 'expected'),
    [
        (['/camera/a/image', '/camera/a/camera_info'], '/camera/a/image'),
        (
            ['/s/input/a/image/compressed', '/s/input/a/image', '/s/input/a/camera_info'],
            '/s/input/a/image/compressed',
        ),
        (['/a/image_raw', '/a/image_rect', '/a/camera_info'], '/a/image_raw'),
        (['/v/a/image_color/compressed', '/v/a/camera_info'], '/v/a/image_color/compressed'),
    ],
)
def test_images_lie_beside_their_camera_info(bag_with, topics, expected):
    with bag_with(*topics) as bag:
        assert camera_names(bag) == ('a',)
        assert image_topic(bag, 'a') == expected
        assert info_topic(bag, 'a') == topics[-1]


def test_the_largest_group_of_cameras_is_the_rig_in_the_usual_order(bag_with):
    group = [f'/v/{n}/{k}' for n in ('roof', 'back', 'front') for k in ('image', 'camera_info')]
    with bag_with('/camera/rear/image', '/camera/rear/camera_info', *group) as bag:
        assert camera_names(bag) == ('front', 'back', 'roof')
        assert image_topic(bag, 'roof') == '/v/roof/image'


def test_a_drive_is_preferred_to_what_a_node_was_given_of_it(bag_with):
    topics = [f'{p}/front/{k}' for p in ('/a', '/camera') for k in ('image', 'camera_info')]
    with bag_with(*topics) as bag:
        assert image_topic(bag, 'front') == '/camera/front/image'


def test_depth_images_are_no_camera(bag_with):
    topics = [f'/n/{p}/{k}' for p in ('depth', 'front') for k in ('image', 'camera_info')]
    with bag_with(*topics) as bag:
        assert camera_names(bag) == ('front',)


def test_what_is_missing_is_named(bag_with):
    with (
        bag_with('/v/a/camera_info') as bag,
        pytest.raises(SelfOccError, match=r'no messages on /v/a/image/compressed or /v/a/image:'),
    ):
        image_topic(bag, 'a')


@pytest.mark.parametrize(
    ('topics', 'expected'),
    [
        ([], '/odometry'),
        (['/surround/input/odometry'], '/surround/input/odometry'),
        (['/odometry', '/wheel/odom'], '/odometry'),
    ],
)
def test_odometry(bag_with, topics, expected):
    with bag_with('/camera/a/camera_info', *topics) as bag:
        assert odometry_topic(bag) == expected


def test_the_topic_of_an_uncalibrated_camera_is_named(tmp_path):
    info = messages.camera_info(CAMERA, 0)
    info.k[:] = 0
    link = messages.transform_stamped('base_link', CAMERA.frame_id, CAMERA.ego_from_camera, 0)
    with BagWriter(tmp_path / 'x.mcap') as bag:
        bag.write('/camera/a/camera_info', info, 0)
        bag.write('/tf_static', messages.tf_message([link]), 0)
    with pytest.raises(SelfOccError, match=r'/camera/a/camera_info in bag .*: camera "a" is n'):
        rig_from_bag(tmp_path / 'x.mcap')


def test_a_lone_camera_may_lie_in_no_namespace(bag_with):
    with bag_with('/image_raw', '/camera_info') as bag:
        assert camera_names(bag) == ('camera',)
        assert image_topic(bag, 'camera') == '/image_raw'
        assert info_topic(bag, 'camera') == '/camera_info'
