from __future__ import annotations

import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from handmade_drive import GRID, write_drive, write_recording

from selfocc_core.errors import SelfOccError
from selfocc_core.evaluation.drive import read_drive
from selfocc_core.evaluation.recording import read_recording
from selfocc_core.viewer.command import View
from selfocc_core.viewer.recorded_grid import recorded_grid
from selfocc_core.viewer.snapshot import snapshot, voxel_states
from selfocc_core.visualization.colors import voxel_colors
from selfocc_core.voxels import VoxelState


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    """A drive with its recording beside it, as the demo leaves them."""
    folder = tmp_path_factory.mktemp('demo')
    write_drive(folder / 'drive.mcap')
    write_recording(folder / 'occupancy.mcap')
    return folder


def read_png(path):
    return cv2.imread(str(path))[..., ::-1]


def colourful(picture):
    """How many pixels are neither grey nor dark."""
    spread = picture.max(-1).astype(int) - picture.min(-1)
    return int((spread > 60).sum())


def test_the_picture_shows_cameras_depth_and_the_recording_beside_the_drive(folder, tmp_path):
    out = tmp_path / 'new' / 'view.png'
    View(folder / 'drive.mcap', png=out).run()
    picture = read_png(out)
    assert picture.shape[1] == 1600
    assert 800 < picture.shape[0] < 1200
    upper, lower = picture[:380], picture[450:]
    assert colourful(upper[:, :780]) < 100  # the handmade images are grey
    assert colourful(upper[:, 800:]) > 20_000  # depth
    assert colourful(lower[:, :1000]) > 50_000  # in perspective
    assert colourful(lower[:, 1060:]) > 100_000  # from above
    assert [path.name for path in out.parent.iterdir()] == ['view.png']


def test_without_a_recording_the_cameras_fill_the_picture(tmp_path):
    drive = write_drive(tmp_path / 'drive.mcap')
    View(drive, png=tmp_path / 'view.png').run()
    picture = read_png(tmp_path / 'view.png')
    assert picture.shape[1] == 1600
    assert colourful(picture) < 100
    assert (picture == 90).all(-1).mean() > 0.5


def test_the_moment_nearest_to_the_time_is_shown(folder):
    drive = read_drive(folder / 'drive.mcap')
    recording = read_recording(folder / 'occupancy.mcap')
    for seconds, expected in ((0.1, 0.0), (0.6, 0.5), (None, 0.5), (1.0, 1.0)):
        moment = snapshot(drive, recording, seconds)
        assert moment.seconds == pytest.approx(expected)
        assert set(moment.frames) == set(moment.depths) == set(drive.rig.names)


def test_unknown_is_what_no_depth_image_covers(folder):
    drive = read_drive(folder / 'drive.mcap')
    moment = snapshot(drive, read_recording(folder / 'occupancy.mcap'), 0.5)
    states = voxel_states(moment, drive.rig, GRID)
    assert (states == VoxelState.OCCUPIED).sum() == 32 * 32
    assert states[tuple(GRID.indices((10.0, 0.0, 1.5))[0])] == VoxelState.FREE
    assert states[tuple(GRID.indices((0.1, 0.1, 4.2))[0])] == VoxelState.UNKNOWN


def test_the_grid_is_that_of_the_node_where_its_voxels_reach_the_edges():
    centers = GRID.centers().astype(np.float32).astype(np.float64)
    clouds = [centers[::31, ::31, ::5].reshape(-1, 3), centers[3:5, 3:5, 3:5].reshape(-1, 3)]
    grid = recorded_grid(clouds)
    assert grid.shape == GRID.shape
    np.testing.assert_allclose(grid.minimum_m, GRID.minimum_m, atol=1e-3)
    np.testing.assert_allclose(grid.maximum_m, GRID.maximum_m, atol=1e-3)


def test_the_grid_keeps_lattice_and_vehicle_in_the_middle():
    ahead = GRID.centers()[20:30, 8:24, 4:9].reshape(-1, 3)
    grid = recorded_grid([ahead, np.full((1, 3), np.nan), np.full((1, 3), 1e30)])
    np.testing.assert_allclose(grid.voxel_size_m, GRID.voxel_size_m, atol=1e-3)
    np.testing.assert_allclose(grid.minimum_m[:2], np.negative(grid.maximum_m[:2]), atol=1e-2)
    ijk, inside = grid.indices(ahead)
    assert inside.all()
    assert len(np.unique(ijk, axis=0)) == len(ahead)


def test_bad_input_is_told_in_a_sentence_and_leaves_no_file(folder, tmp_path):
    drive, out = folder / 'drive.mcap', tmp_path / 'view.png'
    broken, silent = tmp_path / 'broken.mcap', tmp_path / 'silent.mcap'
    broken.write_bytes(drive.read_bytes()[:2000])
    write_recording(silent, frames=0)
    cases = {
        'there is no bag': View(tmp_path / 'none.mcap', png=out),
        'broken.mcap is truncated': View(broken, png=out),
        'is truncated': View(drive, recording=broken, png=out),
        'no messages on /surround/occupancy/points': View(drive, recording=silent, png=out),
        'must end in .png': View(drive, png=tmp_path / 'view.jpg'),
        'must end in .rrd': View(drive, rrd=tmp_path / 'view.mcap'),
        'it lasts 1.1 s': View(drive, png=out, at=7.0),
        'nan s is not in the drive': View(drive, png=out, at=float('nan')),
        '--at chooses the moment': View(drive, at=0.5),
    }
    for message, verb in cases.items():
        with pytest.raises(SelfOccError) as raised:
            verb.run()
        assert message in str(raised.value)
    assert sorted(path.name for path in tmp_path.iterdir()) == ['broken.mcap', 'silent.mcap']


def test_a_single_layer_is_as_thick_as_its_voxels_are_wide():
    layer = GRID.centers()[:, :, 4].reshape(-1, 3)
    grid = recorded_grid([layer])
    assert grid.shape[:2] == (32, 32)
    np.testing.assert_allclose(grid.voxel_size_m, 1.6, atol=1e-3)


def test_the_road_has_the_same_colour_whatever_stands_beside_it():
    road = GRID.centers()[:, :, 4].reshape(-1, 3)
    wall = GRID.centers()[0].reshape(-1, 3)
    for grid in (recorded_grid([road]), recorded_grid([road, wall])):
        color = voxel_colors(grid.indices(road[:1])[0], grid, None)[0]
        assert color[2] > 200  # blue
        assert color[0] < 100


def test_a_grid_of_too_few_or_too_fine_voxels_is_refused():
    with pytest.raises(SelfOccError, match='too few occupied voxels'):
        recorded_grid([np.zeros((5, 3))])
    fine = np.array([[-400, -400, -400], [0, 0, 0], [0.001, 0.001, 0.001], [400, 400, 400]])
    with pytest.raises(SelfOccError, match='too large'):
        recorded_grid([fine])


def test_without_rerun_the_missing_package_is_named(folder, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, 'rerun', None)
    monkeypatch.delitem(sys.modules, 'selfocc_core.viewer.rerun_log', raising=False)
    with pytest.raises(ImportError) as raised:
        View(folder / 'drive.mcap', rrd=tmp_path / 'view.rrd').run()
    assert raised.value.name == 'rerun'
    assert list(tmp_path.iterdir()) == []


def test_without_a_display_the_files_are_offered(folder, monkeypatch):
    pytest.importorskip('rerun')
    monkeypatch.setattr(sys, 'platform', 'linux')
    for name in ('DISPLAY', 'WAYLAND_DISPLAY'):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(SelfOccError, match=r'--png OUT\.png.*--rrd OUT\.rrd'):
        View(folder / 'drive.mcap').run()


def test_a_file_for_rerun_is_written_whole_or_not_at_all(folder, tmp_path):
    pytest.importorskip('rerun')
    out = tmp_path / 'view.rrd'
    View(folder / 'drive.mcap', rrd=out).run()
    content = out.read_bytes()
    assert content[:3] == b'RRF'
    assert len(content) > 20_000
    for entity in (b'world/occupancy', b'world/ego/back_left/image', b'world/ego/front/depth'):
        assert entity in content
    foreign = write_drive(tmp_path / 'drive.mcap')
    damaged = Path(tmp_path / 'damaged.mcap')
    damaged.write_bytes(foreign.read_bytes()[:-200])
    with pytest.raises(SelfOccError, match='truncated'):
        View(damaged, rrd=tmp_path / 'none.rrd').run()
    assert {path.name for path in tmp_path.iterdir()} == {'view.rrd', 'drive.mcap', 'damaged.mcap'}
