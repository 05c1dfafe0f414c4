"""Which topics feed the node, from launch arguments and from a drive."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from selfocc_core import bag_messages as messages
from selfocc_core.bags import BagReader, BagWriter
from selfocc_core.cameras import nuscenes_like_rig
from selfocc_core.errors import SelfOccError
from selfocc_core.node_inputs import (
    arguments_of_drive,
    cameras_in_parameters,
    remappings,
    topics_of_drive,
)

CAMERA = nuscenes_like_rig(16, 8)['front']
COLOR = np.zeros((8, 16, 3), np.uint8)


def message_of(topic):
    """The message that a topic of this name would have."""
    if topic.endswith('camera_info'):
        return messages.camera_info(CAMERA, 0)
    if topic.endswith('compressed'):
        return messages.compressed_image(COLOR, 0, 'x')
    if topic.startswith('/tf'):
        return messages.tf_message([])
    if 'odom' in topic:
        return messages.odometry('odom', np.eye(4), (0, 0, 0), (0, 0, 0), 0)
    return messages.raw_image(COLOR, 0, 'x')


@pytest.fixture
def bag_with(tmp_path):
    def write(*topics):
        with BagWriter(tmp_path / 'x.mcap') as bag:
            for topic in topics:
                bag.write(topic, message_of(topic), 0)
        return BagReader(tmp_path / 'x.mcap')

    return write


def test_nothing_given_is_nothing_remapped():
    assert remappings(['front', 'back'], '', '') == []
    assert remappings(['front', 'back'], '', '/odom') == [('~/input/odometry', '/odom')]


def test_a_pattern_remaps_images_raw_and_compressed_and_what_is_beside_them():
    assert remappings(['front'], '/sensing/{camera}/image_raw', '') == [
        ('~/input/front/image', '/sensing/front/image_raw'),
        ('~/input/front/image/compressed', '/sensing/front/image_raw/compressed'),
        ('~/input/front/camera_info', '/sensing/front/camera_info'),
    ]


@given(
    st.lists(st.from_regex(r'[a-z][a-z0-9_]{0,8}', fullmatch=True), min_size=1, unique=True),
    st.sampled_from(['/a/{camera}/image', '{camera}/image_raw', '/{camera}', '{camera}']),
)
def test_each_camera_gets_topics_of_its_own_and_compressed_may_be_said(cameras, pattern):
    rules = remappings(cameras, pattern, '')
    assert rules == remappings(cameras, f'{pattern}/compressed', '')
    images = [theirs for ours, theirs in rules if ours.endswith('/image')]
    assert len(set(images)) == len(cameras)
    infos = [theirs for ours, theirs in rules if ours.endswith('/camera_info')]
    for name, topic, info in zip(cameras, images, infos, strict=True):
        assert topic == pattern.replace('{camera}', name)
        assert info.rpartition('/')[0] == topic.rpartition('/')[0]


def test_one_topic_for_several_cameras_is_refused():
    assert remappings(['front'], '/image', '')[0] == ('~/input/front/image', '/image')
    with pytest.raises(
        SelfOccError, match=r'"/image" is the same for all cameras: write {camera}'
    ):
        remappings(['front', 'back'], '/image', '')


@pytest.mark.parametrize(
    ('text', 'expected'),
    [
        ('/**: {ros__parameters: {cameras: [left, right]}}', ('left', 'right')),
        ('car: {surround: {ros__parameters: {cameras: [left]}}}', ('left',)),
        ('/**: {ros__parameters: {model: ""}}', nuscenes_like_rig().names),
        ('', nuscenes_like_rig().names),
    ],
)
def test_cameras_are_found_in_a_parameter_file(tmp_path, text, expected):
    (tmp_path / 'p.yaml').write_text(text)
    assert cameras_in_parameters(tmp_path / 'p.yaml') == expected


def test_the_shipped_parameter_file_lists_the_usual_six():
    shipped = Path(__file__).parents[2] / 'config' / 'surround.yaml'
    assert cameras_in_parameters(shipped) == nuscenes_like_rig().names


@pytest.mark.parametrize(
    'content', [b'cameras: [', b'\xff\xfe', b'/**: {ros__parameters: {cameras: front}}', None]
)
def test_a_bad_parameter_file_is_one_sentence(tmp_path, content):
    path = tmp_path / 'p.yaml'
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(SelfOccError, match='parameter file'):
        cameras_in_parameters(path)


def test_arguments_follow_from_a_drive_whatever_its_topics_are_called(bag_with):
    kinds = ('image_raw/compressed', 'camera_info')
    cameras = [f'/sensing/{name}/{kind}' for name in ('left', 'front') for kind in kinds]
    with bag_with(*cameras, '/localization/odom') as bag:
        assert arguments_of_drive(bag) == {
            'cameras': 'front,left',
            'image_transport': 'compressed',
            'image_topic': '/sensing/{camera}/image_raw',
            'odometry_topic': '/localization/odom',
        }
        assert arguments_of_drive(bag, ['left'])['cameras'] == 'left'


def test_the_arguments_of_a_drive_remap_the_node_to_its_topics(bag_with):
    topics = [f'/v/{n}/{kind}' for n in ('left', 'v') for kind in ('image', 'camera_info')]
    with bag_with(*topics) as bag:
        arguments = arguments_of_drive(bag)
        names = arguments['cameras'].split(',')
        listened = {topic for _, topic in remappings(names, arguments['image_topic'], '')}
        assert set(topics) <= listened
        assert arguments['image_transport'] == 'raw'


def test_a_lone_camera_without_a_name_is_listened_to(bag_with):
    with bag_with('/image', '/camera_info') as bag:
        arguments = arguments_of_drive(bag)
        assert (arguments['cameras'], arguments['image_topic']) == ('camera', '/image')


def test_cameras_without_a_common_pattern_are_one_sentence(bag_with):
    topics = ['/v/a/image', '/v/a/camera_info', '/v/b/image_raw', '/v/b/camera_info']
    with bag_with(*topics) as bag:
        with pytest.raises(SelfOccError, match=r'/v/a/image and /v/b/image_raw: record'):
            arguments_of_drive(bag)
        assert arguments_of_drive(bag, ['b'])['image_topic'] == '/v/{camera}/image_raw'


def test_what_a_node_published_then_is_not_played(bag_with):
    played = ['/camera/front/image', '/camera/front/camera_info', '/odometry', '/tf_static']
    with bag_with(*played, '/surround/front/depth/image', '/elsewhere/image') as bag:
        assert topics_of_drive(bag) == played
