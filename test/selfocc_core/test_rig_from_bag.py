from __future__ import annotations

import numpy as np
import pytest

from selfocc_core import bag_messages
from selfocc_core.bags import BagWriter
from selfocc_core.cameras import nuscenes_like_rig
from selfocc_core.errors import SelfOccError
from selfocc_core.rig_from_bag import rig_from_bag
from selfocc_core.transform_tree import TransformTree
from selfocc_core.transforms import invert

RIG = nuscenes_like_rig(64, 36)


def write_bag(path, transforms, cameras=RIG.cameras):
    with BagWriter(path) as bag:
        if transforms:
            bag.write('/tf_static', bag_messages.tf_message(transforms), 0)
        for camera in sorted(cameras, key=lambda camera: camera.name):
            info = bag_messages.camera_info(camera, 5)
            bag.write(f'/camera/{camera.name}/camera_info', info, 5)
    return path


def mountings(parent='base_link'):
    return [bag_messages.transform_stamped(parent, c.frame_id, c.ego_from_camera, 0) for c in RIG]


def test_the_rig_comes_back_in_its_own_order(tmp_path):
    rig = rig_from_bag(write_bag(tmp_path / 'drive.mcap', mountings()))
    assert rig.names == RIG.names
    assert rig.content_hash == RIG.content_hash


def test_transforms_are_chained(tmp_path):
    base_from_roof = np.eye(4)
    base_from_roof[:3, 3] = (0.0, 0.0, 2.0)
    chained = [
        *mountings(parent='roof'),
        bag_messages.transform_stamped('base_link', 'roof', base_from_roof, 0),
    ]
    rig = rig_from_bag(write_bag(tmp_path / 'drive.mcap', chained))
    expected = RIG['front'].ego_from_camera[:3, 3] + (0.0, 0.0, 2.0)
    np.testing.assert_allclose(rig['front'].ego_from_camera[:3, 3], expected)


@pytest.mark.parametrize(
    ('transforms', 'cameras', 'sentence'),
    [
        ([], RIG.cameras, 'no messages on /tf_static'),
        (mountings()[1:], RIG.cameras, 'no transform connects "camera_front_optical_frame"'),
        (mountings(), (), 'no topic /camera/<name>/camera_info'),
    ],
)
def test_what_is_missing_is_named(tmp_path, transforms, cameras, sentence):
    path = write_bag(tmp_path / 'drive.mcap', transforms, cameras)
    with pytest.raises(SelfOccError, match=sentence):
        rig_from_bag(path)


def test_lookup_between_siblings_and_upwards():
    tree = TransformTree()
    a, b = RIG['front'].ego_from_camera, RIG['back'].ego_from_camera
    tree.set('base_link', 'a', a)
    tree.set('base_link', 'b', b)
    np.testing.assert_allclose(tree.lookup('a', 'b'), invert(a) @ b)
    np.testing.assert_allclose(tree.lookup('b', 'base_link'), invert(b))
    np.testing.assert_allclose(tree.lookup('a', 'a'), np.eye(4), atol=1e-12)


def test_a_loop_of_transforms_ends():
    tree = TransformTree()
    tree.set('a', 'b', np.eye(4))
    tree.set('b', 'a', np.eye(4))
    with pytest.raises(SelfOccError, match='no transform connects'):
        tree.lookup('c', 'a')
