from __future__ import annotations

import numpy as np
import pytest

from selfocc_core.bag_messages import stamp_ns_of
from selfocc_core.bags import BagReader, BagWriter
from selfocc_core.cameras import nuscenes_like_rig
from selfocc_core.errors import SelfOccError
from training.benchmark import worlds
from training.benchmark.measurement import Measurement
from training.benchmark.recorded import read_world
from training.benchmark.training_maps import TrainingMaps
from training.benchmark.views import STRIDE_PX, ego_points, lattice_rays, on_lattice
from training.benchmark.worlds import KeyframeTiming, cached_drive, truths
from training.data.synthetic.timing import Timing


def test_keyframes_have_the_stamps_that_they_have_in_the_whole_drive():
    every, keyframes = Timing(2.0, 10.0), KeyframeTiming(2.0, 10.0)
    wanted = [index for index in range(every.count) if every.is_keyframe(index)]
    assert keyframes.count == len(wanted) == 4
    for name in ('front', 'back_left'):
        assert [keyframes.camera_stamp_ns(k, name) for k in range(4)] == [
            every.camera_stamp_ns(index, name) for index in wanted
        ]
    assert keyframes.reference_stamp_ns(3) == every.reference_stamp_ns(15)
    np.testing.assert_array_equal(keyframes.odometry_stamps_ns(), every.odometry_stamps_ns())


def test_a_drive_has_only_moments_with_a_truth(cache, small_worlds):
    with BagReader(cached_drive(5, small_worlds, cache)) as bag:
        images = [
            stamp_ns_of(m.decode()) for m in bag.messages(['/camera/front/image/compressed'])
        ]
        voxels = [stamp_ns_of(m.decode()) for m in bag.messages(['/ground_truth/voxels'])]
    assert images == voxels
    assert len(images) == 2


def test_a_drive_is_rendered_once(cache, small_worlds, monkeypatch):
    def fail(*_):
        raise AssertionError('rendered again')

    monkeypatch.setattr(worlds.WorldSettings, 'renderer', fail)
    assert cached_drive(5, small_worlds, cache).exists()
    with pytest.raises(AssertionError, match='rendered again'):
        cached_drive(987, small_worlds, cache)  # a seed of no other test


def test_truth_is_the_same_from_the_world_and_from_its_drive(cache, small_worlds):
    recorded = read_world(cached_drive(5, small_worlds, cache), small_worlds.grid)
    from_world = list(truths(5, small_worlds))
    assert len(recorded.moments) == len(from_world) == 2
    for moment, truth in zip(recorded.moments, from_world, strict=True):
        assert set(moment.frame_set.frames) == set(truth.views) == set(recorded.rig.names)
        np.testing.assert_array_equal(moment.truth.occupancy.occupied, truth.occupancy.occupied)
        np.testing.assert_array_equal(moment.truth.occupancy.visible, truth.occupancy.visible)
        for name, view in truth.views.items():
            np.testing.assert_array_equal(moment.truth.views[name].depth_m, view.depth_m)
            np.testing.assert_array_equal(moment.truth.views[name].label, view.label)


def test_lattice_rays_go_through_the_pixels_that_are_compared():
    camera = nuscenes_like_rig(64, 36)['back_left']
    v, u = np.mgrid[:36, :64]
    pixels = lattice_rays(camera) @ camera.image_from_camera.T
    np.testing.assert_allclose(pixels[..., 0], on_lattice(u), atol=1e-9)
    np.testing.assert_allclose(pixels[..., 1], on_lattice(v), atol=1e-9)
    assert pixels.shape[:2] == (36 // STRIDE_PX, 64 // STRIDE_PX)


def test_true_depth_lies_on_true_voxels(cache, small_worlds):
    """Frames and projections agree: nearly all points seen at the reference stamp are occupied."""
    recorded = read_world(cached_drive(5, small_worlds, cache), small_worlds.grid)
    truth = recorded.moments[0].truth
    depth_m = truth.views['front'].depth_m
    finite = np.isfinite(depth_m)
    points = ego_points(recorded.rig['front'], np.where(finite, depth_m, 0))[finite]
    ijk, inside = small_worlds.grid.indices(points)
    assert truth.occupancy.occupied[tuple(ijk[inside].T)].mean() > 0.95


def test_a_drive_without_truth_is_refused(tmp_path, small_worlds, cache):
    bare = tmp_path / 'bare.mcap'
    with BagReader(cached_drive(5, small_worlds, cache)) as bag, BagWriter(bare) as out:
        for message in bag.messages():
            if not message.topic.startswith('/ground_truth/voxels'):
                out.write(message.topic, message.decode(), message.stamp_ns)
    with pytest.raises(SelfOccError, match='has no truth: remove it'):
        read_world(bare, small_worlds.grid)


def test_a_drive_with_other_images_is_refused(cache, small_worlds):
    settings = worlds.WorldSettings(width=80, height=45)
    nothing = np.zeros(settings.grid.shape, np.float32)
    depth_m = on_lattice(np.ones((45, 80), np.float32))
    every_camera = dict.fromkeys(settings.rig().names, depth_m)
    maps = TrainingMaps((1,), nothing, 0.5, 0.5, every_camera)
    with pytest.raises(SelfOccError, match='has other cameras'):
        Measurement({}, maps, settings).world(cached_drive(5, small_worlds, cache))
