"""The model in the package: what it claims, and that it knows more than a flat ground."""

from __future__ import annotations

import numpy as np
import pytest

from selfocc_core.backends import open_backend
from selfocc_core.cameras import nuscenes_like_rig
from selfocc_core.evaluation.drive import read_drive
from selfocc_core.evaluation.in_process import process_drive
from selfocc_core.evaluation.scoring import score_drive
from selfocc_core.frames import CameraFrame, FrameSet
from selfocc_core.pipeline import OccupancyPipeline
from selfocc_core.shipped_model import shipped_model

MEGABYTE = 10**6
UNSEEN_WORLD = 2100


@pytest.fixture(scope='module')
def backend():
    return open_backend(shipped_model())


@pytest.fixture(scope='module')
def drive(tmp_path_factory):
    pytest.importorskip('embreex', reason='generated drives need embreex')
    from training.data.synthetic.drive import DriveConfig, render_drive

    path = tmp_path_factory.mktemp('unseen') / 'drive.mcap'
    render_drive(DriveConfig(UNSEEN_WORLD, seconds=0.6, width=176, height=99, lidar=False), path)
    return read_drive(path)


def test_it_is_small_and_says_how_it_was_made(backend):
    assert shipped_model().stat().st_size <= 15 * MEGABYTE
    training = backend.card.training
    assert training.command.startswith('selfocc train ')
    assert training.steps > 0
    assert 'frame sets' in training.data
    assert backend.card.limits


@pytest.mark.slow
def test_it_beats_a_flat_ground_on_the_depth_of_an_unseen_world(backend, drive, tmp_path):
    process_drive(drive.path, drive.rig, backend, shipped_model(), tmp_path / 'occupancy.mcap')
    _, scores = score_drive(drive, tmp_path / 'occupancy.mcap', backend.card)
    depth, occupancy = scores['depth'], scores['occupancy']
    model, flat_ground = depth['in_volume'], depth['baselines']['flat_ground']['in_volume']
    assert model['delta_1'] > flat_ground['delta_1'] + 0.1
    assert model['abs_rel'] < flat_ground['abs_rel']
    assert np.isfinite(occupancy['obstacles']['iou'])
    assert occupancy['obstacles']['recall'] > 0.05


@pytest.mark.parametrize('missing', [('back',), ('front', 'front_left', 'back_right')])
def test_it_works_without_some_cameras(backend, missing):
    rig = nuscenes_like_rig(176, 99)
    image = np.random.default_rng(0).integers(0, 256, (99, 176, 3), np.uint8)
    frames = {name: CameraFrame(name, 0, image) for name in rig.names if name not in missing}
    result = OccupancyPipeline(backend, rig).process(FrameSet(0, frames))
    assert np.isfinite(result.sdf).all()
    assert set(result.depths) == set(frames)
    assert all(not np.isnan(depth.depth_m).any() for depth in result.depths.values())
