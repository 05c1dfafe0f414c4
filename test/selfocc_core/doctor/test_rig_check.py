"""A good rig, and each fault in turn."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import transforms

from selfocc_core.cameras import Rig, looking_along, nuscenes_like_rig
from selfocc_core.doctor.coverage_check import SECTORS
from selfocc_core.doctor.finding import first_error
from selfocc_core.doctor.lens_check import field_of_view_deg
from selfocc_core.doctor.rig_check import check_rig
from selfocc_core.model_card import DepthSpec, GridSpec, InputSpec, ModelCard, TrainingRecord
from selfocc_core.transforms import transform_from_quaternion

GOOD = nuscenes_like_rig(640, 360)


def card(**changes):
    made = ModelCard(
        name='mock',
        version='0.1.0',
        onnx_sha256='',
        opset=17,
        input=InputSpec(cameras=6, height=96, width=176),
        grid=GridSpec(minimum_m=(-20, -20, -2), maximum_m=(20, 20, 4), shape=(40, 40, 6)),
        depth=DepthSpec(height=24, width=44, near_m=0.5, far_m=60),
        training=TrainingRecord(command='none', data='none', steps=0, seed=0),
    )
    return made.model_copy(update=changes)


def with_front(**changes):
    return Rig((replace(GOOD['front'], **changes), *GOOD.cameras[1:]))


def with_k(fx=500.0, fy=500.0, cx=320.0, cy=180.0):
    return with_front(image_from_camera=np.array([[fx, 0, cx], [0, fy, cy], [0, 0, 1.0]]))


def placed(x, y, z):
    return with_front(ego_from_camera=looking_along(0.0, (x, y, z)))


def turned(rotation):
    ego_from_camera = GOOD['front'].ego_from_camera.copy()
    ego_from_camera[:3, :3] = rotation
    return with_front(ego_from_camera=ego_from_camera)


def rolled(degrees):
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    about_axis = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1.0]])
    return turned(GOOD['front'].ego_from_camera[:3, :3] @ about_axis)


def told_of(rig, subject='camera front'):
    return [(f.level, f.sentence) for f in check_rig(rig) if f.subject == subject]


def test_a_good_rig_is_told_with_numbers():
    findings = check_rig(GOOD, card())
    assert {finding.level for finding in findings} == {'ok'}
    assert [str(finding) for finding in findings[:2]] == [
        f'rig: 6 cameras for the 6 of model mock: {", ".join(GOOD.names)}',
        'camera front: 1.51 m above the ground, looks +0° from ahead (left is positive) and +0° '
        'up, sees 65° across',
    ]
    assert findings[-1].sentence.startswith('the cameras see 9')


def test_a_file_that_is_no_rig_is_one_error(tmp_path):
    (tmp_path / 'rig.yaml').write_text('cameras: 3')
    (finding,) = check_rig(tmp_path / 'rig.yaml')
    assert (finding.level, finding.subject) == ('error', 'rig')
    assert 'is not a rig' in finding.sentence
    GOOD.to_yaml(tmp_path / 'good.yaml')
    assert first_error(check_rig(tmp_path / 'good.yaml')) is None


def test_a_rig_that_the_model_does_not_take():
    few = card(input=InputSpec(cameras=4, height=96, width=176))
    assert 'has 6 cameras, and model mock takes 4' in str(first_error(check_rig(GOOD, few)))
    other = card(rig_hash='0' * 64)
    assert 'was exported for another rig' in str(first_error(check_rig(GOOD, other)))
    own = card(rig_hash=GOOD.content_hash)
    assert first_error(check_rig(GOOD, own)) is None


@pytest.mark.parametrize(
    ('rig', 'level', 'sentence'),
    [
        (placed(1.7, 0.0, -0.3), 'error', 'it sits 0.30 m below the ground'),
        (placed(1700.0, 0.0, 1500.0), 'error', 'give metres'),
        (placed(1.7, 0.0, 7.0), 'warning', '7.0 m above the ground: is that so?'),
        (turned(np.eye(3)), 'error', 'it looks 90° up, at the sky: an optical frame has z'),
        (turned(np.diag([1.0, -1.0, -1.0])), 'warning', '90° down, at the ground'),
        (rolled(180), 'error', 'its image is upside down'),
        (rolled(90), 'warning', 'its image is rolled by 90°'),
        (turned(GOOD['front'].ego_from_camera[:3, :3] * [-1, 1, 1]), 'error', 'mirrored'),
        (turned(2 * np.eye(3)), 'error', 'not orthogonal'),
        (turned(GOOD['back'].ego_from_camera[:3, :3]), 'warning', 'away from the front'),
        (with_k(cx=900.0), 'error', 'principal point (900, 180) lies outside its 640x360 image'),
        (with_k(cx=500.0), 'warning', 'far from the middle'),
        (with_k(fy=900.0), 'warning', 'fx is 500 and fy 900 pixels'),
        (with_k(fx=5000.0, fy=5000.0), 'warning', 'it sees only 7° across'),
        (with_k(fx=200.0, fy=200.0), 'warning', 'it sees 116° across without distortion'),
        (
            with_front(distortion_model='plumb_bob', distortion=(-2.0, 0.0, 0.0, 0.0, 0.0)),
            'warning',
            'plumb_bob coefficients fold the image before its corner',
        ),
        (
            with_front(distortion_model='equidistant', distortion=(-2.0, 0.0, 0.0, 0.0)),
            'warning',
            'equidistant coefficients fold',
        ),
    ],
)
def test_each_fault_of_a_camera_is_named(rig, level, sentence):
    told = told_of(rig)
    assert any(found == level and sentence in words for found, words in told), told


@pytest.mark.parametrize(
    'lens',
    [
        {'distortion_model': 'plumb_bob', 'distortion': (-0.3, 0.1, 0.001, 0.0, -0.01)},
        {'distortion_model': 'equidistant', 'distortion': (0.02, -0.01, 0.0, 0.0)},
        {
            'distortion_model': 'rational_polynomial',
            'distortion': (1.2, 0.3, 0.0, 0.0, 0.01, 1.5, 0.6, 0.05),
        },
    ],
)
def test_usual_lenses_are_fine(lens):
    assert [level for level, _ in told_of(with_front(**lens))] == ['ok']


def test_a_fisheye_sees_as_far_as_its_model_says():
    k = np.array([[200.0, 0, 319.5], [0, 200.0, 179.5], [0, 0, 1]])
    fisheye = replace(
        GOOD['front'],
        image_from_camera=k,
        distortion_model='equidistant',
        distortion=(0.0, 0.0, 0.0, 0.0),
    )
    assert field_of_view_deg(fisheye) == pytest.approx(np.degrees(640 / 200), abs=0.1)


def test_a_camera_that_looks_away_from_its_name():
    mirrored = [
        replace(camera, ego_from_camera=np.diag([1.0, -1, 1, 1]) @ camera.ego_from_camera)
        for camera in GOOD
    ]
    warned = {f.subject for f in check_rig(Rig(tuple(mirrored))) if f.level == 'warning'}
    assert warned == {
        f'camera {n}' for n in ('front_left', 'front_right', 'back_left', 'back_right')
    }


def test_two_cameras_at_one_place():
    copied = replace(GOOD['back'], ego_from_camera=GOOD['front'].ego_from_camera, name='copy')
    told = str(first_error(check_rig(Rig((*GOOD.cameras[:5], copied)))))
    assert told.startswith('camera copy: it sits where camera front does and looks the same way')
    stereo = replace(
        GOOD['front'], name='second', ego_from_camera=looking_along(0, (1.7, 0.3, 1.5))
    )
    assert first_error(check_rig(Rig((GOOD['front'], stereo)))) is None


def test_directions_in_which_nothing_is_seen_are_named():
    right_only = Rig(tuple(c for c in GOOD if 'left' not in c.name))
    warned = [f.sentence for f in check_rig(right_only, card()) if f.level == 'warning']
    assert len(warned) == 1
    assert warned[0].startswith('nothing sees the left')
    front_only = check_rig(Rig((GOOD['front'],)), card())
    blind = [f.sentence.split(':')[0] for f in front_only if f.level == 'warning']
    assert blind == [f'nothing sees the {name}' for name in SECTORS[1:]]


def test_cameras_that_see_nothing_of_the_volume():
    far = replace(GOOD['front'], ego_from_camera=looking_along(0.0, (29.0, 0.0, 1.0)))
    told = [f for f in check_rig(Rig((far,)), card()) if f.level == 'error']
    assert [f.subject for f in told] == ['coverage']
    assert told[0].sentence.startswith('no camera sees any of the 9600 voxels of model mock')


@given(transforms(), st.floats(0.1, 1e4), st.floats(-1e5, 1e5))
def test_no_pose_or_lens_is_too_odd(ego_from_camera, focal_px, center_px):
    k = np.array([[focal_px, 0, center_px], [0, focal_px, 180.0], [0, 0, 1.0]])
    rig = with_front(ego_from_camera=ego_from_camera, image_from_camera=k)
    assert any(f.subject == 'camera front' for f in check_rig(rig, card()))


def test_a_quaternion_of_the_body_frame_is_told_as_such():
    body = transform_from_quaternion((1.7, 0.0, 1.5), (0, 0, 0, 1))
    ((level, words),) = told_of(with_front(ego_from_camera=body))
    assert level == 'error'
    assert words.endswith('is this the body frame?')
