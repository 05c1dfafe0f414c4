"""Training reads what `selfocc convert` writes, as it reads the tree itself."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from dataset_trees import IMAGES, write_kitti_drive, write_nuscenes

from selfocc_core.datasets.dataset_drive import find_drive
from selfocc_core.datasets.drive_writer import write_drive
from selfocc_core.datasets.kitti_raw import KittiRaw
from selfocc_core.datasets.nuscenes import NuScenes
from selfocc_core.transforms import invert
from training.data import bag, kitti_raw, nuscenes

REAL = Path(__file__).resolve().parents[4] / 'shared/data/real/kitti_raw'
DRIVE = '2011_09_26_drive_0013_sync'


def test_a_kitti_drive_is_the_same_both_ways(tmp_path):
    drive = write_kitti_drive(tmp_path / 'tree', frames=8)
    write_drive(find_drive(KittiRaw(tmp_path / 'tree'), None), tmp_path / 'd.mcap')
    (direct,) = kitti_raw.read_clips(drive, IMAGES)
    (converted,) = bag.read_clips(tmp_path / 'd.mcap', IMAGES)
    # The first image lies before the first pose: the tree's reader goes on, the bag's does not.
    np.testing.assert_array_equal(converted.images, direct.images[1:])
    np.testing.assert_array_equal(converted.stamps_ns, direct.stamps_ns[1:])
    steps, expected = (
        invert(poses[0]) @ poses for poses in (converted.world_from_ego, direct.world_from_ego[1:])
    )
    np.testing.assert_allclose(steps, expected, atol=1e-6)
    # The two ego frames are 0.76 m apart: what is ahead of one is as far from the other.
    point = np.array([10.0, 1.0, 0.5, 1.0])
    shifted = point - [0.76, 0, 0, 0]
    np.testing.assert_allclose(
        converted.input_from_ego[0] @ point, direct.input_from_ego[0] @ shifted, atol=1e-6
    )


def test_a_nuscenes_scene_is_the_same_both_ways(tmp_path):
    root, config = write_nuscenes(tmp_path / 'tree'), replace(IMAGES, cameras=6)
    write_drive(find_drive(NuScenes(root), None), tmp_path / 'd.mcap')
    (direct,) = nuscenes.read_clips(root, config)
    (converted,) = bag.read_clips(tmp_path / 'd.mcap', config)
    np.testing.assert_array_equal(converted.stamps_ns, direct.stamps_ns)
    np.testing.assert_array_equal(converted.images, direct.images)
    np.testing.assert_allclose(
        converted.world_from_ego_at_shutter, direct.world_from_ego_at_shutter, atol=1e-9
    )


@pytest.mark.real_data
@pytest.mark.skipif(not REAL.is_dir(), reason='needs ../shared/data/real/kitti_raw')
def test_a_real_drive_becomes_a_clip(tmp_path):
    write_drive(find_drive(KittiRaw(REAL), DRIVE), tmp_path / 'd.mcap')
    config = replace(IMAGES, height=24, width=80)
    (clip,) = bag.read_clips(tmp_path / 'd.mcap', config)
    assert 142 <= len(clip) <= 144
    assert clip.driven_m()[-1] == pytest.approx(173, abs=3)
