from __future__ import annotations

import numpy as np
import pytest

from selfocc_core.cameras import Camera, intrinsic_matrix, looking_along
from selfocc_core.errors import SelfOccError
from training.data.synthetic.camera_renderer import CameraRenderer
from training.data.synthetic.meshes import box, concatenate, pose
from training.data.synthetic.style import LABEL

HEIGHT_M = 1.5


def camera(**changes) -> Camera:
    values = {
        'name': 'front',
        'frame_id': 'camera',
        'width': 64,
        'height': 48,
        'image_from_camera': intrinsic_matrix(40.0, 44.0, 31.0, 20.0),
        'ego_from_camera': looking_along(0.0, (0.0, 0.0, HEIGHT_M)),
    }
    return Camera(**{**values, **changes})


@pytest.fixture(scope='module')
def scene(scene_of, surfaces):
    """A slab whose top is z = 0, and a box whose face is 8 m ahead, to the left."""
    slab = box(400.0, 400.0, 1.0, surfaces.plain('asphalt', 'road'), -1.0)
    block = box(2.0, 3.0, 6.0, surfaces.plain('brick', 'building'))
    return scene_of(concatenate([slab, block.transformed(pose(9.0, 3.5, 0.0))]))


def test_depth_matches_plane_and_box(scene):
    truth = CameraRenderer(camera(), 1).truth(scene, np.eye(4))
    row = np.arange(22, 48)
    expected = HEIGHT_M * 44.0 / (row - 20.0)
    right_half = truth.depth[22:, 40:]
    np.testing.assert_allclose(right_half, np.repeat(expected[:, None], 24, 1), rtol=1e-4)
    assert (truth.label[22:, 40:] == LABEL['road']).all()
    u = 31.0 - 40.0 * 3.5 / 8.0
    assert truth.depth[20, round(u)] == pytest.approx(8.0, rel=1e-5)
    assert truth.label[20, round(u)] == LABEL['building']
    assert np.isposinf(truth.depth[0, 50])
    assert truth.label[0, 50] == 0


def test_depth_follows_the_ego(scene):
    world_from_ego = pose(3.0, 0.0, 0.0, 0.0)
    truth = CameraRenderer(camera(), 1).truth(scene, world_from_ego)
    assert truth.depth[20, round(31.0 - 40.0 * 3.5 / 5.0)] == pytest.approx(5.0, rel=1e-5)


def test_image_has_texture_and_more_samples_are_smoother(scene):
    rough = CameraRenderer(camera(), 1).image(scene, np.eye(4))
    smooth = CameraRenderer(camera(), 9).image(scene, np.eye(4))
    assert rough.shape == (48, 64, 3)
    assert rough.dtype == np.uint8
    wall = smooth[10:25, 5:18].astype(float)
    assert wall.std() > 3.0
    assert abs(rough.astype(float).mean() - smooth.astype(float).mean()) < 4.0


def test_shadow_darkens_the_ground_behind_the_box(scene):
    sun = scene.world.light.sun
    renderer = CameraRenderer(camera(ego_from_camera=_looking_down(9.0, 3.5, 60.0)), 4)
    image = renderer.image(scene, np.eye(4)).astype(float).mean(axis=2)
    reach = 6.0 * np.hypot(*sun[:2]) / sun[2] / 2 + 2.0
    away = -sun[:2] / np.hypot(*sun[:2]) * reach
    shadow, sunny = _patch(image, away), _patch(image, -away)
    assert shadow < 0.9 * sunny


def _looking_down(x: float, y: float, z: float) -> np.ndarray:
    ego_from_camera = np.diag([1.0, -1.0, -1.0, 1.0])
    ego_from_camera[:3, 3] = x, y, z
    return ego_from_camera


def _patch(image: np.ndarray, offset: np.ndarray) -> float:
    u = round(31.0 + 40.0 * offset[0] / 60.0)
    v = round(20.0 - 44.0 * offset[1] / 60.0)
    return float(image[v - 1 : v + 2, u - 1 : u + 2].mean())


@pytest.mark.parametrize(
    ('changes', 'samples', 'word'),
    [({}, 3, 'samples'), ({'distortion_model': 'plumb_bob'}, 4, 'distortion')],
)
def test_refuses_what_it_cannot_render(changes, samples, word):
    with pytest.raises(SelfOccError, match=word):
        CameraRenderer(camera(**changes), samples)
