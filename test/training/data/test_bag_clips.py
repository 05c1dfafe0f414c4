"""Recordings as they come from vehicles: what is wrong is named while reading, or left out."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from rosbags.rosbag2 import StoragePlugin, Writer
from small_bag import (
    IMAGES,
    PERIOD_NS,
    RIG,
    SETS,
    SPEED_M_S,
    START_NS,
    drive,
    image,
    renamed,
    spoilt,
    without,
    write,
)

from selfocc_core import bag_messages as messages
from selfocc_core.bags import BagWriter
from selfocc_core.errors import SelfOccError
from training.config import TemporalConfig
from training.data.bag import read_clips
from training.data.labels import LabelFolder, LabelSource
from training.data.sampler import Sampler

BACK = '/camera/back/image/compressed'
FRONT = '/camera/front/image/compressed'


def read(tmp_path, *changes, raw=False):
    entries = drive(raw=raw)
    for change in changes:
        entries = list(change(entries))
    return read_clips(write(tmp_path / 'drive.mcap', entries), IMAGES)


def moments_of(clips):
    """The number of each moment, from its colour."""
    return [(clip.images[:, 0, 0, 0, 0].astype(int) - 100).tolist() for clip in clips]


def cut_off(message):
    message.data = message.data[: len(message.data) // 2]
    return message


def garbage(message):
    message.data = np.zeros(50, np.uint8)
    return message


def at(message, stamp_ns):
    message.header.stamp = messages.stamp(stamp_ns)
    return message


def smaller(message):
    picture = np.zeros((30, 64, 3), np.uint8)
    return messages.compressed_image(picture, messages.stamp_ns_of(message), 'camera')


def uncalibrated(message):
    message.k[:] = 0
    message.p[:] = 0
    return message


@pytest.mark.parametrize('raw', [False, True])
def test_a_good_drive_is_one_clip_and_nothing_is_said(tmp_path, caplog, raw):
    (clip,) = read(tmp_path, raw=raw)
    assert moments_of([clip]) == [list(range(SETS))]
    assert clip.name == f'bag {tmp_path / "drive.mcap"}'
    np.testing.assert_array_equal(clip.stamps_ns, START_NS + PERIOD_NS * np.arange(SETS))
    ahead_m = SPEED_M_S * (0.1 * np.arange(SETS)[:, None] + 0.005 * np.arange(6))
    np.testing.assert_allclose(clip.world_from_ego_at_shutter[:, :, 0, 3], ahead_m, atol=1e-9)
    assert not caplog.records


@pytest.mark.parametrize(
    ('change', 'sentence'),
    [
        (without('/camera/back/'), r'5 cameras \(front, .*, the preset takes 6: record all of th'),
        (without(BACK), f'no messages on {BACK} or /camera/back/image: record the images of'),
        (without('/camera/'), 'no topic /camera/<name>/camera_info: record it with the images'),
        (
            lambda e: without('/tf')(without('/odometry')(e)),
            'no messages on /tf_static',
        ),
        (
            lambda e: [x for x in e if x.topic not in {'/odometry', '/tf'}],
            'no messages on /odometry: record it',
        ),
        (spoilt('/camera/back/camera_info', uncalibrated), '/camera/back/camera_info in bag .*is '
         'not calibrated .*: calibrate it'),
        (
            without(BACK, range(2, SETS)),
            rf'2 moments that can be trained on and needs 3 \(10 of 12 .* an image on {BACK}',
        ),
        (
            without('/odometry', range(1, SETS)),
            r'1 moments .* \(11 of 12 moments are left out: 11 in a gap of /odometry\)',
        ),
        (
            spoilt(BACK, smaller, [7]),
            rf'{BACK} in bag .*shape \(30, 64, 3\) .* calibrated for 64x36 RGB: fix its',
        ),
        (
            spoilt(BACK, garbage),
            rf'12 of 72 images in bag .* are damaged, 12 of them on {BACK} .*: record it again',
        ),
        (spoilt('/camera/', lambda m: cut_off(m) if hasattr(m, 'format') else m), '72 of 72 imag'),
        (
            spoilt(FRONT, lambda m: at(m, 0)),
            rf'0 moments .*11 without an image on {FRONT}',
        ),
        (
            spoilt('/odometry', lambda m: at(m, 5)),
            'in a gap of /odometry',
        ),
    ],
)  # fmt: skip
def test_what_cannot_be_trained_on_is_named(tmp_path, change, sentence):
    with pytest.raises(SelfOccError, match=sentence) as raised:
        read(tmp_path, change)
    assert str(tmp_path / 'drive.mcap') in str(raised.value)


@pytest.mark.parametrize(
    ('change', 'lost', 'account'),
    [
        (without(BACK, range(8, SETS)), range(8, 12), f'4 without an image on {BACK}'),
        (without(FRONT, [4]), [4], f'1 without a new image on {FRONT}'),
        (without('/odometry', [5, 6]), [5, 6], '2 in a gap of /odometry'),
        (spoilt(BACK, cut_off, [3]), [3], f'1 with a damaged image on {BACK}'),
        (spoilt(BACK, garbage, [3]), [3], f'1 with a damaged image on {BACK}'),
        (
            spoilt(FRONT, lambda m: at(m, START_NS + 3 * PERIOD_NS), [4]),  # a repeated stamp
            [4],
            f'1 without a new image on {FRONT}',
        ),
    ],
)
def test_moments_that_lack_something_are_left_out_and_counted(
    tmp_path, caplog, change, lost, account
):
    clips = read(tmp_path, change)
    assert moments_of(clips) == [[k for k in range(SETS) if k not in lost]]
    (record,) = caplog.records
    said = record.getMessage()
    assert f'{len(list(lost))} of 12 moments are left out: {account}' in said
    assert str(tmp_path / 'drive.mcap') in said


def test_stamps_that_go_back_are_refused(tmp_path):
    def again(entries):
        """As if the drive had been recorded twice into one bag."""
        images = [e for e in entries if e.topic.endswith('/compressed')]
        later = 2 * SETS * PERIOD_NS
        return entries + [e._replace(stamp_ns=e.stamp_ns + later) for e in images]

    with pytest.raises(SelfOccError, match=f'the stamps of {FRONT} in bag .* go back by 1.1 s'):
        read(tmp_path, again)


def test_a_jump_of_the_exposure_ends_a_clip(tmp_path, caplog):
    def bright(message):
        index = (messages.stamp_ns_of(message) - START_NS) // PERIOD_NS
        picture = image(index, 240)
        return messages.compressed_image(picture, messages.stamp_ns_of(message), 'camera')

    dark = [spoilt(f'/camera/{c.name}/image', dim) for c in RIG]
    clips = read(tmp_path, *dark, spoilt(BACK, bright, range(5, SETS)))
    assert [len(clip) for clip in clips] == [5, 7]
    assert 'the exposure of a camera jumps 1 times' in caplog.text


def dim(message):
    stamp_ns = messages.stamp_ns_of(message)
    picture = image((stamp_ns - START_NS) // PERIOD_NS, 50)
    return messages.compressed_image(picture, stamp_ns, 'camera')


def test_a_jump_of_the_odometry_ends_a_clip(tmp_path):
    def lost(message):
        message.pose.pose.position.x += 1000.0
        return message

    clips = read(tmp_path, spoilt('/odometry', lost, range(6, 13)))
    assert [len(clip) for clip in clips] == [6, 6]


def test_odometry_out_of_order_does_no_harm(tmp_path):
    def shuffled(entries):
        poses = [e for e in entries if e.topic == '/odometry']
        others = [e for e in entries if e.topic != '/odometry']
        return others + poses[::-1] + poses[:3]

    (clip,) = read(tmp_path, shuffled)
    (expected,) = read(tmp_path)
    np.testing.assert_array_equal(clip.world_from_ego, expected.world_from_ego)


def test_a_bag_of_sqlite3_is_a_drive_too(tmp_path):
    path, connections = tmp_path / 'drive', {}
    with Writer(path, version=8, storage_plugin=StoragePlugin.SQLITE3) as bag:
        for stamp_ns, topic, message in drive():
            name, types = message.__msgtype__, messages.typestore()
            if topic not in connections:
                connections[topic] = bag.add_connection(topic, name, typestore=types)
            bag.write(connections[topic], stamp_ns, types.serialize_cdr(message, name))
    (expected,) = read(tmp_path)
    (clip,) = read_clips(path, IMAGES)
    np.testing.assert_array_equal(clip.images, expected.images)
    np.testing.assert_array_equal(clip.world_from_ego, expected.world_from_ego)


def test_a_drive_that_stands_still_is_named(tmp_path):
    def still(message):
        message.pose.pose.position.x = 0.0
        return message

    (clip,) = read(tmp_path, spoilt('/odometry', still))
    with pytest.raises(SelfOccError, match='record while driving') as raised:
        Sampler([clip], TemporalConfig(), seed=1)
    assert str(tmp_path / 'drive.mcap') in str(raised.value)


def test_without_odometry_the_motion_is_that_of_tf(tmp_path):
    (clip,) = read(tmp_path, without('/odometry'))
    (expected,) = read(tmp_path)
    np.testing.assert_array_equal(clip.world_from_ego, expected.world_from_ego)


@pytest.mark.parametrize('raw', [False, True])
def test_a_recording_of_the_nodes_inputs_is_a_drive_too(tmp_path, raw):
    """As "ros2 bag record" makes it while the demonstration plays."""

    def with_outputs(entries):
        depth = messages.raw_image(np.ones((4, 8), np.float32), START_NS, 'camera')
        info = messages.camera_info(RIG['front'], START_NS)
        outputs = [
            entries[0]._replace(topic=f'/surround/{c.name}/depth/{kind}', message=message)
            for c in RIG
            for kind, message in (('image', depth), ('camera_info', info))
        ]
        return outputs + entries

    changes = renamed('/camera', '/surround/input'), renamed('/odometry', '/surround/input/odom')
    (clip,) = read(tmp_path, *changes, with_outputs, raw=raw)
    (expected,) = read(tmp_path, raw=raw)
    np.testing.assert_array_equal(clip.images, expected.images)
    np.testing.assert_array_equal(clip.world_from_ego, expected.world_from_ego)


def test_where_raw_and_compressed_images_were_recorded_one_of_them_is_read(tmp_path):
    raw = [e for e in drive(raw=True) if e.topic.endswith('/image')]
    (clip,) = read(tmp_path, lambda entries: sorted(entries + raw, key=lambda e: e.stamp_ns))
    assert len(clip) == SETS


def test_several_odometries_are_refused(tmp_path):
    def twice(entries):
        poses = [e for e in entries if e.topic == '/odometry']
        named = [e._replace(topic=f'/{n}') for e in poses for n in ('wheel', 'visual')]
        return [e for e in entries if e.topic != '/odometry'] + named

    with pytest.raises(SelfOccError, match='has the odometries /visual, /wheel: record one'):
        read(tmp_path, twice)


def test_one_camera_is_a_rig(tmp_path):
    entries = without('/camera/front_')(without('/camera/back')(drive()))
    path = write(tmp_path / 'drive.mcap', renamed('/camera/front', '/cam')(entries))
    (clip,) = read_clips(path, replace(IMAGES, cameras=1))
    assert clip.images.shape == (SETS, 1, 32, 64, 3)


class Road:
    """A labeller that finds nothing but road."""

    name = 'road'

    def __init__(self, classes):
        self.classes = classes

    def label(self, image):
        return np.zeros(image.shape[:2], np.uint8)


def test_a_drive_with_damaged_messages_is_labelled_too(tmp_path):
    path, type_name = tmp_path / 'drive.mcap', 'sensor_msgs/msg/CompressedImage'
    with BagWriter(path) as bag:
        bag.write_raw(FRONT, type_name, b'\0\1\0\0 no message', START_NS - 1)
        for entry in drive():
            bag.write(entry.topic, entry.message, entry.stamp_ns)
    folder = LabelFolder(tmp_path / 'labels', ('road',))
    (clip,) = read_clips(path, IMAGES, LabelSource(folder, lambda: Road(('road',))))
    assert len(clip) == SETS
    assert (clip.supervision_labels == 0).all()


def test_an_odometry_that_is_no_message_is_named(tmp_path):
    path = tmp_path / 'drive.mcap'
    with BagWriter(path) as bag:
        bag.write_raw('/odometry', 'nav_msgs/msg/Odometry', b'\0\1\0\0 none', START_NS - 1)
        for entry in drive():
            bag.write(entry.topic, entry.message, entry.stamp_ns)
    with pytest.raises(SelfOccError, match=f'/odometry in bag {path}: a message .* is not a val'):
        read_clips(path, IMAGES)
