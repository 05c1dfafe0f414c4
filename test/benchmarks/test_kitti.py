from __future__ import annotations

import numpy as np
import pytest

from benchmarks.kitti import picture, read_scan
from selfocc_core.depth import DepthImage
from selfocc_core.errors import SelfOccError

POINTS = np.array([[5.0, 1.0, -1.73], [8.02, -2.0, 0.0]])
ON_GROUND = POINTS + np.array([0, 0, 1.73])


def test_a_scan_is_read_in_the_ego_frame(tmp_path):
    folder = tmp_path / 'velodyne_points' / 'data'
    folder.mkdir(parents=True)
    scan = np.append(POINTS, [[0.3], [0.4]], 1).astype(np.float32)
    scan.tofile(folder / '0000000007.bin')
    np.testing.assert_allclose(read_scan(tmp_path, 7), ON_GROUND, atol=1e-5)


def test_a_compact_scan_is_the_sum_of_its_steps(tmp_path):
    folder = tmp_path / 'velodyne_points' / 'data_npz'
    folder.mkdir(parents=True)
    units = np.round(POINTS / 0.02).astype(np.int16)
    steps = np.diff(units, axis=0, prepend=np.zeros((1, 3), np.int16))
    np.savez(folder / '0000000007.npz', dxyz=steps.T, step=0.02)
    np.testing.assert_allclose(read_scan(tmp_path, 7), ON_GROUND, atol=0.011)


@pytest.mark.parametrize('content', [None, b'123', b'\x80pickle'])
def test_what_is_no_scan_is_named(tmp_path, content):
    folder = tmp_path / 'velodyne_points' / 'data'
    folder.mkdir(parents=True)
    if content is not None:
        (folder / '0000000007.bin').write_bytes(content)
    with pytest.raises(SelfOccError, match=r'0000000007\.bin is missing or damaged'):
        read_scan(tmp_path, 7)


def test_the_picture_shows_the_points_where_they_are():
    image = np.zeros((40, 80, 3), np.uint8)
    intrinsics = np.array([[20.0, 0, 9.5], [0, 20.0, 4.5], [0, 0, 1]])
    depth = DepthImage(np.full((10, 20), 6.0, np.float32), intrinsics)
    drawn = picture(image, depth, np.array([[0.0, 0.0, 6.0]]))[40:80]
    assert drawn.shape == (40, 80, 3)
    brightest = np.unravel_index(drawn.sum(2).argmax(), (40, 80))
    assert abs(brightest[0] - 19.5) <= 1
    assert abs(brightest[1] - 39.5) <= 1
