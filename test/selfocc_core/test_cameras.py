from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import transforms

from selfocc_core.cameras import Camera, Rig, intrinsic_matrix, looking_along, nuscenes_like_rig
from selfocc_core.errors import SelfOccError
from selfocc_core.transforms import transform_points


def pixel_of(camera: Camera, point) -> np.ndarray:
    homogeneous = camera.image_from_ego @ np.append(point, 1.0)
    return homogeneous[:2] / homogeneous[2]


@given(st.floats(-180.0, 180.0), st.floats(1.0, 80.0))
def test_what_lies_straight_ahead_is_at_the_principal_point(heading_deg, distance_m):
    k, mounting = intrinsic_matrix(500, 500, 320, 200), looking_along(heading_deg, (1, 2, 3))
    camera = Camera('c', 'c', 640, 480, k, mounting)
    angle = np.radians(heading_deg)
    ahead = np.array([1 + distance_m * np.cos(angle), 2 + distance_m * np.sin(angle), 3])
    np.testing.assert_allclose(pixel_of(camera, ahead), (320, 200), atol=1e-6)


def test_left_is_left_and_up_is_up_in_the_image():
    front = nuscenes_like_rig(1600, 900)['front']
    center = pixel_of(front, (20.0, 0.0, 1.51))
    assert pixel_of(front, (20.0, 2.0, 1.51))[0] < center[0]
    assert pixel_of(front, (20.0, 0.0, 3.0))[1] < center[1]


def test_every_direction_of_the_ground_is_seen_by_some_camera_of_the_usual_rig():
    rig = nuscenes_like_rig(1600, 900)
    for angle in np.radians(np.arange(0, 360, 5)):
        point = np.array([20 * np.cos(angle), 20 * np.sin(angle), 0.5, 1.0])
        pixels = [camera.image_from_ego @ point for camera in rig]
        assert any(p[2] > 0 and 0 <= p[0] / p[2] <= 1599 for p in pixels)


@given(transforms(), st.floats(100, 2000), st.floats(0, 1000))
def test_rig_file_keeps_the_calibration(tmp_path_factory, ego_from_camera, focal_px, center_px):
    path = tmp_path_factory.mktemp('rig') / 'rig.yaml'
    rig = Rig(
        (
            Camera(
                'left',
                'camera_left',
                800,
                600,
                intrinsic_matrix(focal_px, focal_px + 1, center_px, 300),
                ego_from_camera,
                'plumb_bob',
                (0.1, -0.2, 0.0, 0.001, 0.03),
            ),
        )
    )
    rig.to_yaml(path)
    again = Rig.from_yaml(path)['left']
    np.testing.assert_allclose(again.ego_from_camera, ego_from_camera, atol=1e-8)
    np.testing.assert_array_equal(again.image_from_camera, rig['left'].image_from_camera)
    assert again.distortion == rig['left'].distortion
    assert Rig((again,)).content_hash == rig.content_hash


def test_content_hash_tells_rigs_apart():
    rig = nuscenes_like_rig(352, 198)
    assert rig.content_hash == nuscenes_like_rig(352, 198).content_hash
    moved = replace(rig['front'], ego_from_camera=looking_along(0, (1.7, 0.0, 1.52)))
    assert Rig((moved, *rig.cameras[1:])).content_hash != rig.content_hash


@pytest.mark.parametrize('focal_px', [0.0, -1.0, float('nan')])
def test_uncalibrated_camera_is_named(focal_px):
    with pytest.raises(SelfOccError, match='"left" is not calibrated'):
        Camera('left', 'c', 8, 8, intrinsic_matrix(focal_px, 5, 4, 4), np.eye(4))


def test_rig_names_what_it_lacks():
    with pytest.raises(SelfOccError, match='no calibrated camera'):
        Rig(())
    rig = nuscenes_like_rig(64, 36)
    with pytest.raises(SelfOccError, match='no camera "roof"'):
        rig['roof']
    with pytest.raises(SelfOccError, match='share a name'):
        Rig((rig['front'], rig['front']))


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        ('cameras: [', 'not YAML'),
        ('cameras: 3', 'cameras'),
        ('{}', 'cameras'),
        ('cameras: []', 'no calibrated camera'),
        ('!!python/object/apply:os.system ["false"]', 'not YAML'),
        ('cameras: [{name: front}]', 'cameras.0'),
    ],
)
def test_bad_rig_file_is_one_sentence(tmp_path, text, message):
    path = tmp_path / 'rig.yaml'
    path.write_text(text)
    with pytest.raises(SelfOccError, match=message) as caught:
        Rig.from_yaml(path)
    assert '\n' not in str(caught.value)


def test_missing_rig_file(tmp_path):
    with pytest.raises(SelfOccError, match='cannot read rig file'):
        Rig.from_yaml(tmp_path / 'none.yaml')


def test_mounting_is_on_the_vehicle():
    for camera in nuscenes_like_rig():
        position = transform_points(camera.ego_from_camera, (0.0, 0.0, 0.0))
        assert abs(position[0]) < 3
        assert 1.0 < position[2] < 2.0


@pytest.mark.parametrize(
    ('change', 'sentence'),
    [
        ({'distortion_model': 'plumb_bob', 'distortion': (0.1, 0.2, 0.3)}, 'takes 4 or 5'),
        ({'distortion_model': 'equidistant', 'distortion': (0.1,) * 5}, 'takes 4'),
        ({'width': 10**9}, 'says its images are'),
        ({'ego_from_camera': np.full((4, 4), np.nan)}, 'mounting'),
    ],
)
def test_impossible_calibration_is_refused(change, sentence):
    with pytest.raises(SelfOccError, match=sentence):
        replace(nuscenes_like_rig()['front'], **change)


def pixel_in_camera(camera: Camera, point) -> np.ndarray:
    u, v, w = camera.image_from_camera @ np.array(point)
    return np.array([u / w, v / w])


# In a camera's own frame, in front of it.
POINTS = st.tuples(st.floats(-5, 5), st.floats(-3, 3), st.floats(1, 40))


@given(POINTS, st.integers(100, 3000), st.integers(100, 2000))
def test_a_scaled_camera_sees_a_point_where_the_resized_image_shows_it(point, width, height):
    camera = nuscenes_like_rig(1600, 900)['front_left']
    scaled = camera.scaled_to(width, height)
    assert (scaled.width, scaled.height) == (width, height)
    # The image's corners lie half a pixel outside the centres of its corner pixels.
    expected = (pixel_in_camera(camera, point) + 0.5) * [width / 1600, height / 900] - 0.5
    np.testing.assert_allclose(pixel_in_camera(scaled, point), expected, rtol=1e-9, atol=1e-6)


@given(POINTS, st.integers(0, 600), st.integers(0, 300))
def test_a_cropped_camera_sees_a_point_where_the_region_shows_it(point, left, top):
    camera = nuscenes_like_rig(1600, 900)['back']
    cropped = camera.cropped_to(left, top, 1000, 600)
    assert (cropped.width, cropped.height) == (1000, 600)
    np.testing.assert_allclose(
        pixel_in_camera(cropped, point),
        pixel_in_camera(camera, point) - [left, top],
        rtol=1e-9,
        atol=1e-6,
    )


@pytest.mark.parametrize('region', [(-1, 0, 10, 10), (0, 0, 1601, 900), (601, 0, 1000, 900)])
def test_a_region_outside_the_image_is_refused(region):
    with pytest.raises(SelfOccError, match='correct the roi'):
        nuscenes_like_rig(1600, 900)['back'].cropped_to(*region)
