from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from dataset_trees import IMAGES, NUSCENES_OFFSETS_US, NUSCENES_PERIOD_US, write_nuscenes

from selfocc_core.errors import SelfOccError
from selfocc_core.transforms import invert
from training.config import InputConfig
from training.data.nuscenes import read_clips

REAL = Path(__file__).resolve().parents[3] / '../shared/data/real/nuscenes'
SURROUND = replace(IMAGES, cameras=6)
ORDER = [f'CAM_{n}' for n in ('FRONT', 'FRONT_RIGHT', 'FRONT_LEFT')] + [
    f'CAM_{n}' for n in ('BACK', 'BACK_LEFT', 'BACK_RIGHT')
]


@pytest.fixture
def tree(tmp_path):
    return write_nuscenes(tmp_path / 'tree')


def edit(tree, table, change):
    path = tree / 'v1.0-mini' / f'{table}.json'
    path.write_text(json.dumps(change(json.loads(path.read_text()))))


def test_keyframes_and_sweeps_are_frame_sets_with_their_own_poses(tree):
    (clip,) = read_clips(tree, SURROUND)
    assert clip.images.shape == (7, 6, 32, 64, 3)
    np.testing.assert_array_equal(np.diff(clip.stamps_ns), NUSCENES_PERIOD_US * 1000)
    np.testing.assert_allclose(
        clip.images[:, :, 16, 32, 0], 10 * np.arange(7)[:, None] * np.ones(6), atol=2
    )
    at_shutter = invert(clip.world_from_ego)[:, None] @ clip.world_from_ego_at_shutter
    expected_m = [10.0 * NUSCENES_OFFSETS_US[channel] * 1e-6 for channel in ORDER]
    np.testing.assert_allclose(at_shutter[:, :, 0, 3], np.tile(expected_m, (7, 1)), atol=1e-9)


def test_fewer_cameras_are_the_first_ones(tree):
    (clip,) = read_clips(tree, replace(IMAGES, cameras=1))
    assert clip.images.shape[1] == 1
    np.testing.assert_allclose(clip.world_from_ego_at_shutter[:, 0], clip.world_from_ego)


def test_scenes_are_chosen_by_name(tmp_path):
    tree = write_nuscenes(tmp_path, scenes=('scene-1', 'scene-2', 'scene-3'))
    assert len(read_clips(tree, SURROUND)) == 3
    clips = read_clips(tree, SURROUND, scenes='scene-3+scene-1')
    assert [clip.name for clip in clips] == ['nuScenes scene-3', 'nuScenes scene-1']
    with pytest.raises(SelfOccError, match='has no scene "scene-9"'):
        read_clips(tree, SURROUND, scenes='scene-9')


def test_frame_sets_without_a_camera_are_left_out(tree):
    edit(
        tree,
        'sample_data',
        lambda rows: [r for r in rows if 'CAM_BACK-3' not in r['token']],
    )
    (clip,) = read_clips(tree, SURROUND)
    np.testing.assert_allclose(clip.images[:, 0, 16, 32, 0], [0, 10, 20, 40, 50, 60], atol=2)


def test_sweeps_that_are_not_unpacked_are_left_out(tmp_path):
    tree = write_nuscenes(tmp_path, frames=19)
    shutil.rmtree(tree / 'sweeps')
    (clip,) = read_clips(tree, SURROUND)
    np.testing.assert_allclose(clip.images[:, 0, 16, 32, 0], [0, 60, 120, 180], atol=2)


def unlink(name):
    return lambda tree: (tree / name).unlink()


@pytest.mark.parametrize(
    ('damage', 'sentence'),
    [
        (
            unlink('samples/CAM_BACK/scene-0001-CAM_BACK-0.jpg'),
            r'scene-0001-CAM_BACK-0\.jpg is not in',
        ),
        (
            lambda t: (t / 'sweeps/CAM_BACK/scene-0001-CAM_BACK-1.jpg').write_bytes(b'\xff\xd8'),
            r'scene-0001-CAM_BACK-1\.jpg .* is damaged',
        ),
        (
            lambda t: edit(t, 'ego_pose', lambda rows: rows[1:]),
            r'ego_pose\.json .* has no row',
        ),
        (
            lambda t: edit(t, 'ego_pose', lambda rows: [{'token': r['token']} for r in rows]),
            'are malformed',
        ),
        (
            lambda t: edit(t, 'sensor', lambda rows: [r | {'channel': 'LIDAR_TOP'} for r in rows]),
            'scene "scene-0001" .* has no image of CAM_FRONT',
        ),
        (lambda t: edit(t, 'sample_data', lambda rows: rows[:12]), 'has no 3 frames in a row'),
        (unlink('v1.0-mini/sensor.json'), 'is missing'),
    ],
)
def test_damage_is_one_sentence_that_names_it(tree, damage, sentence):
    damage(tree)
    with pytest.raises(SelfOccError, match=sentence) as caught:
        read_clips(tree, SURROUND)
    assert '\n' not in str(caught.value)


@pytest.fixture
def real_tree(tmp_path):
    """The real keyframe three times, as the readers want video."""
    if not REAL.is_dir():
        pytest.skip('needs ../shared/data/real/nuscenes')
    for folder in ('v1.0-mini', 'samples'):
        shutil.copytree(REAL / folder, tmp_path / folder)

    def later(row, n):
        late = {'token': f'{row["token"]}-{n}', 'timestamp': row['timestamp'] + n * 83_000}
        return row | late | {'is_key_frame': n == 0}

    edit(tmp_path, 'sample_data', lambda rows: [later(row, n) for row in rows for n in range(3)])
    return tmp_path


@pytest.mark.real_data
def test_real_lidar_lands_where_the_info_file_puts_it(real_tree):
    native = InputConfig(6, 900, 1600, supervision_height=900, supervision_width=1600)
    (clip,) = read_clips(real_tree, native)
    (folder,) = (REAL / 'simple').iterdir()
    frame = json.loads((folder / 'frame.json').read_text())
    with np.load(folder / 'lidar_ego.npz') as arrays:
        points = np.asarray(arrays[arrays.files[0]], np.float64)[:, :3]
    world_from_ego_at_lidar = np.array(frame['T_global_ego'])
    world = np.c_[points, np.ones(len(points))] @ world_from_ego_at_lidar.T
    reference = world @ invert(clip.world_from_ego[0]).T
    projections = clip.supervision_image_from_ego(np.zeros(6, np.intp), 0)
    for channel, image_from_ego in zip(ORDER, projections, strict=True):
        camera = frame['cameras'][channel]
        ego = world @ invert(np.array(camera['T_global_ego_at_cam'])).T
        expected = (ego @ invert(np.array(camera['T_ego_cam'])).T)[:, :3] @ np.array(camera['K']).T
        own = reference @ np.asarray(image_from_ego, np.float64).T
        ahead = expected[:, 2] > 1
        pixels, own_pixels = (p[ahead, :2] / p[ahead, 2:] for p in (expected, own))
        seen = ((pixels > 0) & (pixels < [1600, 900])).all(1)
        assert seen.sum() > 500
        assert np.abs(pixels - own_pixels)[seen].max() < 0.05
