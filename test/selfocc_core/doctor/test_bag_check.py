"""A good drive, and each fault in turn."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from selfocc_core import bag_messages as messages
from selfocc_core.bags import BagWriter
from selfocc_core.cameras import Camera, Rig, nuscenes_like_rig
from selfocc_core.doctor.bag_check import check_bag
from selfocc_core.doctor.finding import first_error
from selfocc_core.doctor.sampled_bag import SampledBag
from selfocc_core.transforms import transform_from_quaternion

NUSCENES = nuscenes_like_rig(64, 36)
RIG = Rig(tuple(NUSCENES[name] for name in ('front', 'front_left', 'back')))
START_NS, PERIOD_NS = 1_700_000_000 * 10**9, 100_000_000
GRAY = np.random.default_rng(1).integers(60, 200, (36, 64, 3)).astype(np.uint8)


@dataclass
class Shot:
    """An image of a drive."""

    camera: Camera
    index: int
    stamp_ns: int
    recorded_ns: int
    image: np.ndarray
    damaged: bool = False


def shots(sets):
    for index in range(sets):
        for number, camera in enumerate(RIG):
            stamp_ns = START_NS + index * PERIOD_NS + number * 7_000_000
            yield Shot(camera, index, stamp_ns, stamp_ns + 20_000_000, GRAY)


def write(path, edit=lambda shot: shot, sets=20, infos=None, links=RIG.cameras, poses=None):
    """Write a drive; ``edit`` changes a shot or returns ``None`` to leave it out."""
    kept = [shot for shot in map(edit, shots(sets)) if shot is not None]
    with BagWriter(path) as bag:
        frames = [
            messages.transform_stamped('base_link', c.frame_id, c.ego_from_camera, START_NS)
            for c in links
        ]
        bag.write('/tf_static', messages.tf_message(frames), START_NS)
        for topic, stamp_ns, pose in odometry(sets) if poses is None else poses:
            message = messages.odometry('odom', pose, (0, 0, 0), (0, 0, 0), stamp_ns)
            bag.write(topic, message, START_NS)
        for camera in RIG if infos is None else infos:
            info = messages.camera_info(camera, START_NS)
            bag.write(f'/camera/{camera.name}/camera_info', info, START_NS)
        for shot in sorted(kept, key=lambda shot: shot.recorded_ns):
            message = messages.compressed_image(shot.image, shot.stamp_ns, shot.camera.frame_id)
            if shot.damaged:
                message.data = message.data[:-40]
            topic = f'/camera/{shot.camera.name}/image/compressed'
            bag.write(topic, message, shot.recorded_ns)
    return path


def odometry(sets, topic='/odometry', speed_m_s=5.0, shift_ns=0, period_ns=20_000_000):
    for tick_ns in range(-PERIOD_NS, (sets + 1) * PERIOD_NS, period_ns):
        place = (speed_m_s * tick_ns * 1e-9, 0, 0)
        yield topic, START_NS + tick_ns + shift_ns, transform_from_quaternion(place, (0, 0, 0, 1))


def only(name, **changes):
    """Return an edit of one camera's shots; a change is a value or a function of the shot."""

    def edit(shot):
        if shot.camera.name != name:
            return shot
        values = {key: v(shot) if callable(v) else v for key, v in changes.items()}
        return replace(shot, **values)

    return edit


def without(name, is_missing):
    return lambda shot: None if shot.camera.name == name and is_missing(shot) else shot


def reason(findings):
    found = first_error(findings)
    return None if found is None else str(found)


def told(findings, level, subject):
    return [f.sentence for f in findings if (f.level, f.subject) == (level, subject)]


def test_a_good_drive_is_told_with_numbers(tmp_path):
    findings = check_bag(write(tmp_path / 'd.mcap'))
    assert {finding.level for finding in findings} == {'ok'}
    sentences = [str(finding) for finding in findings]
    assert 'cameras: 3: front, front_left, back' in sentences
    assert (
        'camera front: 20 images of 64x36 at 10.0 Hz on /camera/front/image/compressed'
        in sentences
    )
    assert 'frame sets: 20 of 20 are complete, of 3 cameras' in sentences
    assert 'motion: the vehicle moves 11 m' in sentences
    assert any(s.startswith('camera front: 1.51 m above the ground') for s in sentences)


@pytest.mark.parametrize(
    ('edit', 'subject', 'sentence'),
    [
        (only('back', stamp_ns=0), 'camera back', 'are 0: let the driver stamp its images'),
        (
            only('back', stamp_ns=lambda s: s.stamp_ns - PERIOD_NS * 19 * (s.index > 9)),
            'camera back',
            '1 of 20 stamps on /camera/back/image/compressed do not increase',
        ),
        (only('back', damaged=True), 'camera back', 'cannot be decoded: 10 of 10 images looked'),
        (only('back', image=np.zeros_like(GRAY)), 'camera back', 'black image: 10 of 10'),
        (only('back', image=np.full_like(GRAY, 255)), 'camera back', 'saturated image: 10 of 10'),
        (only('back', image=GRAY[:20]), 'camera back', 'its images are 64x20, its calibration is'),
        (
            only('back', image=lambda s: GRAY[: 36 if s.index % 4 else 18]),
            'camera back',
            'its images change their size: 20 images of 64x18 and 64x36',
        ),
        (
            only('back', stamp_ns=lambda s: s.stamp_ns - 3 * 10**9),
            'camera back',
            'it is in none of 20 frame sets: its stamps are more than',
        ),
        (without('back', lambda s: True), 'camera back', 'it has no images'),
    ],
)
def test_each_fault_of_the_images_is_the_reason(tmp_path, edit, subject, sentence):
    findings = check_bag(write(tmp_path / 'd.mcap', edit))
    assert reason(findings).startswith(f'{subject}: ')
    assert sentence in reason(findings)


@pytest.mark.parametrize(
    ('edit', 'subject', 'sentence'),
    [
        (
            without('back', lambda s: 5 <= s.index < 10),
            'camera back',
            '5 of 20 images are missing',
        ),
        (
            without('back', lambda s: 5 <= s.index < 10),
            'frame sets',
            'of 20 are complete; missing are back in ',
        ),
        (without('back', lambda s: s.index % 3), 'camera back', '3.3 Hz, the others 10.0 Hz'),
        (
            lambda s: replace(s, damaged=s.camera.name == 'back' and s.index == 4),
            'camera back',
            'cannot be decoded: 1 of 10 images looked at; an image of "camera_back_optical_frame"',
        ),
        (
            only('back', stamp_ns=lambda s: s.stamp_ns + 80_000_000),
            'camera back',
            "its stamps are 0.08 s ahead compared with the other cameras'",
        ),
        (
            only('back', image=GRAY[::2, ::2]),
            'camera back',
            'its images are 32x18, its calibration is for 64x36: the node scales it',
        ),
    ],
)
def test_what_only_makes_it_worse_is_a_warning(tmp_path, edit, subject, sentence):
    findings = check_bag(write(tmp_path / 'd.mcap', edit))
    assert reason(findings) is None
    assert any(sentence in words for words in told(findings, 'warning', subject)), findings


def uncalibrated(camera):
    object.__setattr__(camera, 'image_from_camera', np.zeros((3, 3)))
    return camera


@pytest.mark.parametrize(
    ('drive', 'sentence'),
    [
        ({'infos': ()}, 'cameras: bag * has no topic /camera/<name>/camera_info'),
        ({'links': ()}, 'camera front: no transform connects "camera_front_optical_frame"'),
        ({'links': RIG.cameras[:2]}, 'camera back: no transform connects "camera_back_optical'),
        (
            {'infos': (*RIG.cameras[:2], uncalibrated(replace(RIG['back'])))},
            'camera back: camera "back" is not calibrated (focal length 0)',
        ),
    ],
)
def test_each_fault_of_the_calibration_is_the_reason(tmp_path, drive, sentence):
    path = write(tmp_path / 'd.mcap', **drive)
    findings = check_bag(path)
    assert reason(findings).replace(str(path), '*').startswith(sentence)


def test_images_without_camera_info_are_listed(tmp_path):
    findings = check_bag(write(tmp_path / 'd.mcap', infos=()))
    assert '/camera/back/image/compressed, /camera/front/image/compressed' in reason(findings)


@pytest.mark.parametrize(
    ('poses', 'level', 'sentence'),
    [
        ((), 'warning', 'the bag has no nav_msgs/Odometry'),
        (odometry(20, speed_m_s=0), 'warning', 'the vehicle moves 0.00 m'),
        (odometry(20, speed_m_s=200), 'warning', 'the pose on /odometry jumps 109 times'),
        (odometry(20, shift_ns=10**11), 'error', '/odometry covers 0 % of the images: its stamps'),
        (odometry(10), 'warning', '/odometry covers 55 % of the images: poses are missing'),
        (
            odometry(20, period_ns=500_000_000, shift_ns=1),
            'warning',
            '/odometry covers 0 % of the images: p',
        ),
        ([*odometry(2, '/a'), *odometry(2, '/b')], 'error', 'has the odometries /a, /b'),
    ],
)
def test_each_fault_of_the_motion_is_told(tmp_path, poses, level, sentence):
    findings = check_bag(write(tmp_path / 'd.mcap', poses=list(poses)))
    assert any(sentence in words for words in told(findings, level, 'motion')), findings


def test_a_rig_takes_the_place_of_the_bags_calibration(tmp_path):
    path = write(tmp_path / 'd.mcap', links=())
    assert reason(check_bag(path, RIG)) is None

    more = check_bag(path, NUSCENES)
    assert (
        reason(more)
        == 'camera front_right: it has no images: record them, under the name of the rig'
    )
    fewer = check_bag(path, Rig(RIG.cameras[:1]))
    assert told(fewer, 'warning', 'cameras') == [
        'the rig has no front_left, back: they are not used'
    ]


def test_a_large_bag_is_read_in_parts(tmp_path):
    seen = []

    def edit(shot):
        seen.append(shot)
        return shot

    path = write(tmp_path / 'd.mcap', edit, sets=400)
    budget = path.stat().st_size // 4
    findings = check_bag(path, budget_bytes=budget)
    assert reason(findings) is None
    assert '; it is large, so 25 % of it is looked at' in str(findings[0])
    with SampledBag(path, budget) as bag:
        topics = [topic for topic in bag.topics if 'image' in topic]
        stamps_ns = [message.stamp_ns for message in bag.messages(topics)]
        assert len(stamps_ns) == pytest.approx(len(seen) / 4, rel=0.1)
        assert stamps_ns[-1] == bag.end_ns
        assert np.all(np.diff(stamps_ns) > 0)
    assert {f.level for f in findings if f.subject == 'frame sets'} == {'ok'}


def test_a_gap_between_the_parts_is_no_gap(tmp_path):
    path = write(tmp_path / 'd.mcap', sets=400)
    findings = check_bag(path, budget_bytes=path.stat().st_size // 4)
    assert {f.level for f in findings} == {'ok'}


@pytest.mark.parametrize('content', [b'', b'no bag at all', None])
def test_what_is_no_bag_is_one_error(tmp_path, content):
    path = tmp_path / 'd.mcap'
    if content is not None:
        path.write_bytes(content)
    (finding,) = check_bag(path)
    assert (finding.level, finding.subject) == ('error', 'bag')


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40)
@given(place=st.floats(0, 1), length=st.integers(1, 400), value=st.integers(0, 255))
def test_damage_anywhere_is_told_and_not_raised(tmp_path, place, length, value):
    path = tmp_path / 'd.mcap'
    if not path.exists():
        (tmp_path / 'good.bytes').write_bytes(write(path, sets=3).read_bytes())
    content = bytearray((tmp_path / 'good.bytes').read_bytes())
    start = int(place * (len(content) - 1))
    content[start : start + length] = bytes([value]) * len(content[start : start + length])
    path.write_bytes(content)
    findings = check_bag(path)
    assert findings
    assert all('\n' not in finding.sentence for finding in findings)


def test_a_message_that_is_cut_off_is_one_error(tmp_path):
    path = tmp_path / 'd.mcap'
    with BagWriter(path) as bag:
        bag.write('/camera/front/camera_info', messages.camera_info(RIG['front'], 0), 0)
        bag.write_raw(
            '/camera/front/image/compressed', 'sensor_msgs/msg/CompressedImage', b'\0\1\0\0\1', 1
        )
    (finding,) = check_bag(path)
    assert finding.sentence.startswith('a message on /camera/front/image/compressed is cut off')
