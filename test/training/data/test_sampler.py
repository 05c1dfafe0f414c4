from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import torch

from selfocc_core.cameras import nuscenes_like_rig
from selfocc_core.errors import SelfOccError
from training.config import TemporalConfig, VolumeFrame
from training.data.clip import Clip
from training.data.sampler import Sampler

CONFIG = TemporalConfig(
    nearest_m=0.3,
    farthest_source_m=3.0,
    sources='log_uniform',
    both_anchors=True,
    current_share=0.4,
    previous_share=0.3,
    camera_dropout=0.5,
)
PUBLISHED = TemporalConfig(
    current_share=0.2,
    previous_share=0.3,
    nearest_m=0.4,
    farthest_previous_m=2.0,
    farthest_next_m=3.0,
    sources='nearest',
)


def straight_drive(step_m: float = 0.5, frames: int = 16) -> Clip:
    """A vehicle that drives along x; the pixels of a frame are its number."""
    poses = np.tile(np.eye(4), (frames, 1, 1))
    poses[:, 0, 3] = step_m * np.arange(frames)
    numbers = np.arange(frames, dtype=np.uint8).reshape(-1, 1, 1, 1, 1)
    small, large = nuscenes_like_rig(8, 4), nuscenes_like_rig(16, 8)
    return Clip(
        name='straight',
        stamps_ns=np.arange(frames, dtype=np.int64) * 10**8,
        images=np.broadcast_to(numbers, (frames, 6, 4, 8, 3)).copy(),
        supervision_images=np.broadcast_to(numbers, (frames, 6, 8, 16, 3)).copy(),
        input_from_ego=np.stack([camera.image_from_ego for camera in small]),
        supervision_from_ego=np.stack([camera.image_from_ego for camera in large]),
        world_from_ego=poses,
        world_from_ego_at_shutter=np.repeat(poses[:, None], 6, axis=1),
    )


def frames_of(view) -> list[int]:
    """The frame that the image of each camera is from."""
    return [int(image[0, 0, 0]) for image in view.images]


def frame_of(view) -> int:
    (frame,) = set(frames_of(view))
    return frame


def own(sample):
    return sample.supervisions[0][1]


def test_sources_lie_on_both_sides_within_the_limits():
    sampler = Sampler([straight_drive()], CONFIG, seed=1)
    ways = []
    for step in range(100):
        for _, supervision in sampler.draw(step).supervisions:
            anchor = frame_of(supervision.anchor)
            earlier, later = (frame_of(source) for source in supervision.sources)
            assert earlier < anchor < later
            ways += [0.5 * (anchor - earlier), 0.5 * (later - anchor)]
    assert min(ways) >= CONFIG.nearest_m
    assert max(ways) <= CONFIG.farthest_source_m
    assert len(set(ways)) > 3


def test_the_published_form_draws_one_anchor_by_the_shares():
    sampler = Sampler([straight_drive(frames=30)], PUBLISHED, seed=1)
    sides: Counter[float] = Counter()
    for step in range(600):
        sample = sampler.draw(step)
        ((share, supervision),) = sample.supervisions
        assert share == 1
        way_m = 0.5 * (frame_of(supervision.anchor) - frame_of(sample.current))
        assert -2.0 <= way_m <= 3.0
        sides[np.sign(way_m)] += 1
    assert sides[-1] / 600 == pytest.approx(0.3, abs=0.07)
    assert sides[0] / 600 == pytest.approx(0.2, abs=0.07)
    assert sides[1] / 600 == pytest.approx(0.5, abs=0.07)


def test_an_anchor_beyond_the_limits_is_never_drawn_and_one_within_is():
    sampler = Sampler([straight_drive(frames=30)], PUBLISHED, seed=1)
    drawn = set()
    for step in range(600):
        sample = sampler.draw(step)
        drawn.add(frame_of(own(sample).anchor) - frame_of(sample.current))
    assert drawn == set(range(-4, 7))


def test_a_drive_with_anchors_on_one_side_only_uses_those():
    config = replace(PUBLISHED, current_share=0.0, previous_share=1.0)
    sampler = Sampler([straight_drive(frames=6)], config, seed=1)
    for step in range(20):
        sample = sampler.draw(step)
        assert frame_of(own(sample).anchor) < frame_of(sample.current)


def test_no_anchor_at_all_is_refused():
    config = replace(PUBLISHED, current_share=0.0)
    with pytest.raises(SelfOccError, match='no frame of the video has an anchor'):
        Sampler([straight_drive(frames=3)], config, seed=1)


def test_nearest_sources_are_the_nearest_candidates_of_the_anchor():
    sampler = Sampler([straight_drive(step_m=0.15, frames=40)], PUBLISHED, seed=1)
    for step in range(30):
        supervision = own(sampler.draw(step))
        anchor = frame_of(supervision.anchor)
        assert [frame_of(source) - anchor for source in supervision.sources] == [-3, 3]


def test_gaussian_sources_are_drawn_for_each_camera_around_half_a_metre():
    config = replace(PUBLISHED, sources='gaussian', nearest_m=0.05)
    sampler = Sampler([straight_drive(step_m=0.1, frames=250)], config, seed=1)
    ways_m, differs = [], 0
    for step in range(200):
        supervision = own(sampler.draw(step))
        anchor = frame_of(supervision.anchor)
        for sign, source in zip((-1, 1), supervision.sources, strict=True):
            frames = frames_of(source)
            differs += len(set(frames)) > 1
            ways_m += [0.1 * sign * (frame - anchor) for frame in frames]
    assert differs > 300  # of 400
    possible_m = 0.1 * np.arange(1, 31)
    p = np.exp(-0.5 * ((possible_m - 0.5) / 0.5) ** 2)
    assert np.mean(ways_m) == pytest.approx(np.average(possible_m, weights=p), abs=0.03)
    assert np.mean(np.array(ways_m) > 1.05) == pytest.approx(p[10:].sum() / p.sum(), abs=0.03)


def test_a_source_of_another_frame_is_projected_with_that_frames_pose():
    sampler = Sampler(
        [straight_drive()], replace(PUBLISHED, sources='gaussian', nearest_m=0.5), seed=1
    )
    rig = nuscenes_like_rig(16, 8)
    for step in range(20):
        sample = sampler.draw(step)
        earlier, current = own(sample).sources[0], frame_of(sample.current)
        for camera, frame, projection in zip(
            rig, frames_of(earlier), earlier.image_from_ego, strict=True
        ):
            moved = np.array([10.0 - 0.5 * (frame - current), 1.0, 1.5, 1.0])
            expected = camera.image_from_ego @ moved
            actual = projection.numpy() @ np.array([10.0, 1.0, 1.5, 1.0])
            np.testing.assert_allclose(actual, expected, rtol=1e-4, atol=1e-4)


def test_supervising_images_have_their_own_size_and_labels():
    clip = straight_drive()
    labels = clip.supervision_images[..., 0]
    sampler = Sampler([replace(clip, supervision_labels=labels)], PUBLISHED, seed=1)
    sample = sampler.draw(0)
    anchor = own(sample).anchor
    assert sample.current.images.shape == (6, 4, 8, 3)
    assert anchor.images.shape == (6, 8, 16, 3)
    assert torch.equal(anchor.labels, anchor.images[..., 0])
    assert sample.current.labels is None


def test_both_anchors_share_the_rays():
    sample = Sampler([straight_drive()], CONFIG, seed=1).draw(0)
    assert [share for share, _ in sample.supervisions] == [0.4, pytest.approx(0.6)]
    assert frame_of(own(sample).anchor) == frame_of(sample.current)


@pytest.mark.parametrize(
    'changes',
    [
        {'current_share': 0.8, 'previous_share': 0.3},
        {'current_share': -0.1},
        {'nearest_m': 0.0},
        {'nearest_m': 2.5},
    ],
)
def test_impossible_configurations_are_refused(changes):
    with pytest.raises(SelfOccError, match='must lie'):
        replace(PUBLISHED, **changes)


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
        current, anchor = frame_of(sample.current), frame_of(sample.supervisions[1][1].anchor)
        assert abs(current - anchor) <= CONFIG.anchor_reach
        ahead = torch.tensor([10.0, 0.0, 1.5, 1.0])
        depth = (sample.supervisions[1][1].anchor.image_from_ego[0] @ ahead)[2]
        camera_x_m = nuscenes_like_rig(16, 8)['front'].ego_from_camera[0, 3]
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


def test_moving_to_the_volume_moves_no_pixel():
    sample = Sampler([straight_drive()], CONFIG, seed=1).draw(0)
    ego_from_volume = torch.tensor(VolumeFrame('right_ahead', (0.9, 0.0, 1.8)).ego_from_volume)
    moved = sample.in_volume(ego_from_volume)
    in_ego = torch.cat([sample.swept, torch.ones(len(sample.swept), 1)], 1)
    in_volume = torch.cat([moved.swept, torch.ones(len(sample.swept), 1)], 1)
    torch.testing.assert_close(in_volume @ ego_from_volume.T, in_ego)
    for before, after in (
        (sample.current, moved.current),
        (sample.supervisions[0][1].sources[1], moved.supervisions[0][1].sources[1]),
    ):
        expected = torch.einsum('nij,pj->npi', before.image_from_ego, in_ego)
        actual = torch.einsum('nij,pj->npi', after.image_from_ego, in_volume)
        torch.testing.assert_close(actual, expected, atol=1e-3, rtol=1e-4)
