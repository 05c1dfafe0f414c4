from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from dataset_trees import IMAGES, camera0_poses, write_image, write_poses, write_semantic_kitti

from selfocc_core.errors import SelfOccError
from training.data.semantic_kitti import read_clips

REAL = Path(__file__).resolve().parents[3] / '../shared/data/real/semantic_kitti/sequences/00'


@pytest.fixture
def sequence(tmp_path):
    return write_semantic_kitti(tmp_path)


def test_a_sequence_becomes_a_clip(sequence):
    (clip,) = read_clips(sequence, IMAGES, frames='1:5')
    np.testing.assert_array_equal(clip.images[:, 0, 0, 0, 0], [10, 20, 30, 40])
    np.testing.assert_array_equal(clip.stamps_ns, [100_000_000 * n for n in range(1, 5)])
    np.testing.assert_allclose(clip.world_from_ego[:, 0, 3], [1, 2, 3, 4], atol=1e-9)
    # The world is the first ego frame: up is up.
    np.testing.assert_allclose(clip.world_from_ego[:, :3, :3], np.tile(np.eye(3), (4, 1, 1)))
    point = clip.input_from_ego[0] @ [10.3, 0.06, 1.63, 1]
    np.testing.assert_allclose(point, [310, 150, 10])


@pytest.mark.parametrize(
    ('damage', 'sentence'),
    [
        (lambda s: (s / 'image_2/000004.png').unlink(), r'000004\.png is missing'),
        (lambda s: (s / 'image_2/000002.png').write_bytes(b'\x89PNG'), r'000002\.png .* damaged'),
        (lambda s: write_image(s / 'image_2/000002.png', 2, width=62), '62x32 but camera "front"'),
        (lambda s: (s / 'poses.txt').unlink(), 'cannot read poses'),
        (lambda s: write_poses(s / 'poses.txt', camera0_poses(9)), '9 lines for 6 frames'),
        (lambda s: (s / 'times.txt').write_text('0 0.1 x'), 'time stamps .* are malformed'),
        (lambda s: (s / 'times.txt').write_text('0 0.2 0.1'), 'do not increase'),
        (lambda s: (s / 'calib.txt').write_text('P2: 1 2 3'), 'has no line "Tr"'),
    ],
)
def test_damage_is_one_sentence_that_names_it(sequence, damage, sentence):
    damage(sequence)
    with pytest.raises(SelfOccError, match=sentence) as caught:
        read_clips(sequence, IMAGES)
    assert '\n' not in str(caught.value)


def test_a_gap_in_time_parts_the_sequence(sequence):
    (sequence / 'times.txt').write_text('0 0.1 0.2 9.0 9.1 9.2')
    assert [len(clip) for clip in read_clips(sequence, IMAGES)] == [3, 3]
    (sequence / 'times.txt').write_text('0 0.1 3.0 3.1 9.0 9.1')
    with pytest.raises(SelfOccError, match='has no 3 frames in a row'):
        read_clips(sequence, IMAGES)


@pytest.mark.real_data
@pytest.mark.skipif(not REAL.is_dir(), reason='needs ../shared/data/real/semantic_kitti')
def test_the_real_calibration_and_poses_are_read(tmp_path):
    """Real geometry under made-up images: the ground ahead, and the distance driven."""
    for name in ('calib.txt', 'poses.txt', 'times.txt'):
        shutil.copy(REAL / name, tmp_path / name)
    for number in range(100):
        write_image(tmp_path / 'image_2' / f'{number:06d}.png', number % 20)
    (clip,) = read_clips(tmp_path, IMAGES)
    poses = np.loadtxt(REAL / 'poses.txt').reshape(-1, 3, 4)
    steps = np.linalg.norm(np.diff(poses[:, :, 3], axis=0), axis=1)
    # The LiDAR is not where the camera is, so paths differ in the curve.
    assert clip.driven_m()[-1] == pytest.approx(steps.sum(), rel=0.01)
    # The car goes to where its x points, and stays on a level street.
    heading = np.diff(clip.world_from_ego[:, :3, 3], axis=0)
    ahead = np.einsum('ti,ti->t', heading, clip.world_from_ego[:-1, :3, 0])
    assert (ahead > 0.99 * np.linalg.norm(heading, axis=1)).all()
    assert np.abs(clip.world_from_ego[:, 2, 3]).max() < 2
    scan = np.fromfile(REAL / 'velodyne/000000.bin', np.float32).reshape(-1, 4)[:, :3]
    calibration = dict(
        line.split(':') for line in (REAL / 'calib.txt').read_text().splitlines() if line
    )
    projection = np.array(calibration['P2'].split(), float).reshape(3, 4)
    camera0_from_lidar = np.vstack(
        [np.array(calibration['Tr'].split(), float).reshape(3, 4), [0, 0, 0, 1]]
    )
    points = np.c_[scan, np.ones(len(scan))]
    expected = points @ (projection @ camera0_from_lidar).T
    own = (points + np.array([0, 0, 1.73, 0])) @ clip.input_from_ego[0].T
    np.testing.assert_allclose(own, expected, atol=0.01)
