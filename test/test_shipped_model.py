"""The model in the package: what it claims, and that it knows more than a flat ground."""

from __future__ import annotations

import numpy as np
import pytest

from selfocc_core.backends import open_backend
from selfocc_core.cameras import nuscenes_like_rig
from selfocc_core.evaluation.drive import read_drive
from selfocc_core.evaluation.moments import frames_near
from selfocc_core.evaluation.recording import Recording, score_depth, score_occupancy
from selfocc_core.evaluation.truth import occupancy_truths
from selfocc_core.frames import CameraFrame, FrameSet
from selfocc_core.pipeline import OccupancyPipeline
from selfocc_core.shipped_model import shipped_model
from selfocc_core.voxels import VoxelState

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
def test_it_beats_a_flat_ground_on_the_depth_of_an_unseen_world(backend, drive):
    pipeline = OccupancyPipeline(backend, drive.rig)
    stamps_ns = [stamp_ns for stamp_ns, _ in occupancy_truths(drive, pipeline.grid)]
    occupancy, depths = {}, {}
    for stamp_ns, frames in frames_near(drive, stamps_ns).items():
        result = pipeline.process(FrameSet(stamp_ns, frames), drive.trajectory)
        occupancy[stamp_ns] = pipeline.grid.centers()[result.states == VoxelState.OCCUPIED]
        for camera, depth in result.depths.items():
            depths[camera, frames[camera].stamp_ns] = depth
    recording = Recording(occupancy, depths)
    scores = score_depth(drive, recording, pipeline.grid)
    model, flat_ground = scores['in_volume'], scores['baselines']['flat_ground']['in_volume']
    assert model['delta_1'] > flat_ground['delta_1'] + 0.1
    assert model['abs_rel'] < flat_ground['abs_rel']
    obstacles = score_occupancy(drive, recording, pipeline.grid)['obstacles']
    assert np.isfinite(obstacles['iou'])
    assert obstacles['recall'] > 0.05


@pytest.mark.parametrize('missing', [('back',), ('front', 'front_left', 'back_right')])
def test_it_works_without_some_cameras(backend, missing):
    rig = nuscenes_like_rig(176, 99)
    image = np.random.default_rng(0).integers(0, 256, (99, 176, 3), np.uint8)
    frames = {name: CameraFrame(name, 0, image) for name in rig.names if name not in missing}
    result = OccupancyPipeline(backend, rig).process(FrameSet(0, frames))
    assert np.isfinite(result.sdf).all()
    assert set(result.depths) == set(frames)
    assert all(not np.isnan(depth.depth_m).any() for depth in result.depths.values())
