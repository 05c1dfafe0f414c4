from __future__ import annotations

import numpy as np
import pytest
import torch

from selfocc_core.cameras import nuscenes_like_rig
from selfocc_core.errors import SelfOccError
from training.data.augmentation import distort
from training.data.clip import Clip
from training.data.sampler import Sampler
from training.presets import TemporalConfig

CONFIG = TemporalConfig(nearest_source_m=0.3, farthest_source_m=3.0, camera_dropout=0.5)


def straight_drive(step_m: float = 0.5, frames: int = 16) -> Clip:
    """A vehicle that drives along x; the pixels of a frame are its number."""
    poses = np.tile(np.eye(4), (frames, 1, 1))
    poses[:, 0, 3] = step_m * np.arange(frames)
    images = np.arange(frames, dtype=np.uint8).reshape(-1, 1, 1, 1, 1)
    return Clip(
        name='straight',
        stamps_ns=np.arange(frames, dtype=np.int64) * 10**8,
        images=np.broadcast_to(images, (frames, 6, 4, 8, 3)).copy(),
        input_from_ego=np.stack([camera.image_from_ego for camera in nuscenes_like_rig(8, 4)]),
        world_from_ego=poses,
        world_from_ego_at_shutter=np.repeat(poses[:, None], 6, axis=1),
    )


def frame_of(view) -> int:
    return int(view.images[0, 0, 0, 0])


def test_sources_lie_on_both_sides_within_the_limits():
    sampler = Sampler([straight_drive()], CONFIG, seed=1)
    ways = []
    for step in range(100):
        for supervision in sampler.draw(step).supervisions:
            anchor = frame_of(supervision.anchor)
            earlier, later = (frame_of(source) for source in supervision.sources)
            assert earlier < anchor < later
            ways += [0.5 * (anchor - earlier), 0.5 * (later - anchor)]
    assert min(ways) >= CONFIG.nearest_source_m
    assert max(ways) <= CONFIG.farthest_source_m
    assert len(set(ways)) > 3


def test_a_step_draws_the_same_sample_whenever_it_is_asked():
    clip = straight_drive()
    one, two = Sampler([clip], CONFIG, seed=1), Sampler([clip], CONFIG, seed=1)
    two.draw(3)
    first, again = one.draw(7), two.draw(7)
    assert torch.equal(first.swept, again.swept)
    assert torch.equal(first.camera_mask, again.camera_mask)
    assert frame_of(first.current) == frame_of(again.current)


def test_neighbouring_anchors_stay_in_reach_and_are_seen_from_the_input():
    sampler = Sampler([straight_drive()], CONFIG, seed=1)
    for step in range(50):
        sample = sampler.draw(step)
        current, anchor = frame_of(sample.current), frame_of(sample.supervisions[1].anchor)
        assert abs(current - anchor) <= CONFIG.anchor_reach
        ahead = torch.tensor([10.0, 0.0, 1.5, 1.0])
        depth = (sample.supervisions[1].anchor.image_from_ego[0] @ ahead)[2]
        camera_x_m = nuscenes_like_rig(8, 4)['front'].ego_from_camera[0, 3]
        assert float(depth) == pytest.approx(10 - camera_x_m - 0.5 * (anchor - current), abs=1e-4)


def test_at_most_one_camera_is_dropped():
    sampler = Sampler([straight_drive()], CONFIG, seed=1)
    present = [int(sampler.draw(step).camera_mask.sum()) for step in range(60)]
    assert set(present) == {5, 6}


def test_swept_points_lie_on_the_path_above_the_ground():
    swept = Sampler([straight_drive()], CONFIG, seed=1).draw(0).swept
    assert float(swept[:, 2].min()) >= 0.75
    assert float(swept[:, 1].abs().max()) <= 0.75
    assert float(swept[:, 0].max() - swept[:, 0].min()) > 4.0


def test_standing_still_is_refused():
    with pytest.raises(SelfOccError, match='record while driving'):
        Sampler([straight_drive(step_m=0.0)], CONFIG, seed=1)


def test_distortion_is_repeatable_and_bounded():
    images = torch.randint(0, 256, (2, 4, 4, 3), dtype=torch.uint8)
    one = distort(images, torch.Generator().manual_seed(1))
    two = distort(images, torch.Generator().manual_seed(1))
    other = distort(images, torch.Generator().manual_seed(2))
    assert torch.equal(one, two)
    assert not torch.equal(one, other)
    assert float(one.min()) >= 0
    assert float(one.max()) <= 255
