from __future__ import annotations

import cv2
import numpy as np
import pytest

from selfocc_core import bag_messages as messages
from selfocc_core.bags import BagReader
from selfocc_core.errors import SelfOccError
from selfocc_core.transforms import invert, transform_points
from training.data.synthetic import lidar
from training.data.synthetic.command import Synth
from training.data.synthetic.drive import DriveConfig, render_drive
from training.data.synthetic.timing import Timing, seconds_of


def recorded(path):
    with BagReader(path) as bag:
        return [(m.topic, m.stamp_ns, m.raw) for m in bag.messages()]


@pytest.fixture(scope='module')
def bag_path(tmp_path_factory):
    out = tmp_path_factory.mktemp('drive') / 'drive.mcap'
    render_drive(DriveConfig(seed=5, seconds=0.6, width=48, height=27, workers=2), out)
    return out


def test_same_seed_same_messages_on_any_number_of_threads(bag_path, tmp_path):
    again = tmp_path / 'again.mcap'
    render_drive(DriveConfig(seed=5, seconds=0.6, width=48, height=27, workers=1), again)
    assert recorded(bag_path) == recorded(again)


def test_other_seed_other_street(drive, other_world):
    one, other = drive.world, other_world
    assert one.static.vertices.shape != other.static.vertices.shape
    assert not np.allclose(one.light.sun, other.light.sun)


def test_bag_has_the_topics(bag_path):
    with BagReader(bag_path) as bag:
        cameras = ('front', 'front_left', 'front_right', 'back', 'back_left', 'back_right')
        for name in cameras:
            bag.require([f'/camera/{name}/image/compressed', f'/camera/{name}/camera_info'])
            bag.require([f'/ground_truth/{name}/depth', f'/ground_truth/{name}/semantics'])
            assert bag.count([f'/camera/{name}/image/compressed']) == 6
            assert bag.count([f'/ground_truth/{name}/depth']) == 2
        bag.require(['/tf', '/tf_static', '/odometry', '/lidar/points', '/ground_truth/voxels'])
        stamps = [m.stamp_ns for m in bag.messages()]
    assert stamps == sorted(stamps)


def test_stamps_agree(bag_path):
    timing = Timing(0.6, 10.0)
    with BagReader(bag_path) as bag:
        for name in ('front', 'back_left'):
            topics = [f'/camera/{name}/image/compressed', f'/camera/{name}/camera_info']
            for index, message in enumerate(bag.messages(topics)):
                stamp_ns = messages.stamp_ns_of(message.decode())
                assert stamp_ns == timing.camera_stamp_ns(index // 2, name) == message.stamp_ns
        (voxels, _) = bag.messages(['/ground_truth/voxels'])
        assert voxels.stamp_ns == timing.camera_stamp_ns(0, 'front')
        odometry = [m.stamp_ns for m in bag.messages(['/odometry'])]
    assert odometry[0] < timing.camera_stamp_ns(0, 'front_left')
    assert odometry[-1] > timing.camera_stamp_ns(5, 'back_left')
    assert set(np.diff(odometry)) == {20_000_000}


def test_odometry_velocity_is_the_derivative_of_its_pose(bag_path):
    with BagReader(bag_path) as bag:
        track = [m.decode() for m in bag.messages(['/odometry'])]
    places = np.array(
        [[o.pose.pose.position.x, o.pose.pose.position.y, o.pose.pose.position.z] for o in track]
    )
    speed = np.linalg.norm(places[2:] - places[:-2], axis=1) / 0.04
    told = [o.twist.twist.linear.x for o in track[1:-1]]
    np.testing.assert_allclose(told, speed, rtol=0.02)


def test_images_decode(bag_path):
    with BagReader(bag_path) as bag:
        message = next(bag.messages(['/camera/front/image/compressed'])).decode()
        depth = next(bag.messages(['/ground_truth/front/depth'])).decode()
    image = cv2.imdecode(np.asarray(message.data), cv2.IMREAD_COLOR)
    assert image.shape == (27, 48, 3)
    assert image.std() > 15
    assert messages.decode_float(depth).shape == (27, 48)


def test_lidar_agrees_with_camera_depth(drive):
    scene, camera = drive.scene(), drive.rig['front']
    time_s = seconds_of(drive.timing.reference_stamp_ns(3))
    scene.move_to(time_s)
    world_from_ego = drive.world.ego.world_from_ego(time_s)
    renderer = next(r for r in drive.cameras if r.camera.name == 'front')
    depth = renderer.truth(scene, world_from_ego).depth
    points = transform_points(
        invert(camera.ego_from_camera) @ lidar.ego_from_lidar(),
        lidar.sweep(scene, world_from_ego).points,
    )
    pixels = points @ camera.image_from_camera.T
    pixels = np.round(pixels[:, :2] / pixels[:, 2:]).astype(int)
    inside = (points[:, 2] > 0.5) & (pixels >= 0).all(1) & (pixels < (160, 90)).all(1)
    there = depth[pixels[inside, 1], pixels[inside, 0]]
    agree = np.abs(there - points[inside, 2]) < 0.05 * points[inside, 2]
    assert inside.sum() > 1000
    assert agree.mean() > 0.8


@pytest.mark.parametrize(
    'change',
    [
        {'seed': -1},
        {'seconds': 0.0},
        {'seconds': 1e6},
        {'width': 8},
        {'height': 10**6},
        {'rate_hz': 0.0},
        {'samples_per_pixel': 5},
        {'workers': -1},
    ],
)
def test_bad_values_are_told_and_nothing_is_written(change, tmp_path):
    out = tmp_path / 'drive.mcap'
    values = {'seed': 1, 'seconds': 0.2, 'width': 32, 'height': 18, **change}
    with pytest.raises(SelfOccError):
        render_drive(DriveConfig(**values), out)
    assert list(tmp_path.iterdir()) == []


def test_verb_writes_bag_and_contact_sheet(tmp_path):
    out, sheet = tmp_path / 'raw', tmp_path / 'sheet.png'
    verb = Synth(
        seed=2,
        out=out,
        seconds=0.2,
        width=32,
        height=18,
        ground_truth=False,
        lidar=False,
        raw=True,
        contact_sheet=sheet,
    )
    verb.run()
    picture = cv2.imread(str(sheet))
    assert picture.shape == (18 * 2 * 5, 32 * 3, 3)
    with BagReader(out) as bag:
        assert bag.topics['/camera/back/image'] == 'sensor_msgs/msg/Image'
        assert not any(topic.startswith(('/ground_truth', '/lidar')) for topic in bag.topics)
