from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from selfocc_core.doctor.topic_names import likely_topics, similar_topics, words

CAMERAS = ('front', 'front_left', 'front_right', 'back')
WANTED = '/surround/input/{}/image'


@pytest.mark.parametrize(
    ('camera', 'topic', 'is_likely'),
    [
        ('front', '/camera/front/image_raw', True),
        ('front', '/CAM_FRONT/image', True),
        ('front', '/frnt/image', True),
        ('front', '/camera/front_left/image', False),
        ('front', '/camera/front/depth/image', False),
        ('front', '/camera/image_raw', False),
        ('front_left', '/left/front/image', True),
        ('front_left', '/camera/left/image', False),
        ('back', '/camera_rear/image', True),
    ],
)
def test_a_likely_topic_has_the_words_of_its_camera_only(camera, topic, is_likely):
    found = likely_topics(WANTED.format(camera), camera, CAMERAS, [topic])
    assert found == ([topic] if is_likely else [])


def test_numbered_cameras_are_told_apart():
    topics = ['/camera2/image', '/camera1/image']
    assert likely_topics('/x/camera1/image', 'camera1', ('camera1', 'camera2'), topics) == [
        '/camera1/image'
    ]


def test_the_likeliest_comes_first():
    topics = ['/other/front/thumbnail', '/surround/inputs/front/image']
    assert likely_topics(WANTED.format('front'), 'front', CAMERAS, topics) == topics[::-1]
    assert similar_topics('/image', ['/abc', '/image_raw', '/imag', '/x'], 2) == [
        '/imag',
        '/image_raw',
    ]


def test_words_of_a_name():
    assert words('/CAM_REAR2/image_raw') == ['cam', 'back', '2', 'image', 'raw']


@given(st.lists(st.text(max_size=20), max_size=6), st.sampled_from(CAMERAS))
def test_only_candidates_are_offered(candidates, camera):
    likely = likely_topics(WANTED.format(camera), camera, CAMERAS, candidates)
    assert set(likely) <= set(candidates)
    assert set(similar_topics('/x', candidates)) <= set(candidates)
