from __future__ import annotations

import functools
from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from small_run import random_clip, small_preset

from training.batches import Batches
from training.data.mirror import mirrored
from training.data.sampler import Sampler
from training.distributed import Processes

POINTS = st.tuples(st.floats(-20, 20), st.floats(-20, 20), st.floats(-2, 4))


@functools.cache
def sample():
    return Sampler([random_clip()], small_preset().temporal, seed=2).draw(3)


def views(given):
    for _, supervision in given.supervisions:
        yield from (supervision.anchor, *supervision.sources)
    yield given.current


@given(POINTS)
def test_a_mirrored_point_appears_in_the_mirrored_column(point):
    there = torch.tensor([*point, 1.0], dtype=torch.float32)
    mirror = there * torch.tensor([1.0, -1.0, 1.0, 1.0])
    original = sample()
    for before, after in zip(views(original), views(mirrored(original)), strict=True):
        u, v, depth = (before.image_from_ego @ there).unbind(-1)
        mirrored_u, mirrored_v, mirrored_depth = (after.image_from_ego @ mirror).unbind(-1)
        width = before.images.shape[2]
        torch.testing.assert_close(mirrored_u, (width - 1) * depth - u, atol=1e-2, rtol=1e-4)
        torch.testing.assert_close((mirrored_v, mirrored_depth), (v, depth), atol=1e-3, rtol=1e-5)


def test_images_are_mirrored_with_their_columns():
    original = sample()
    for before, after in zip(views(original), views(mirrored(original)), strict=True):
        assert torch.equal(after.images[:, :, 0], before.images[:, :, -1])


def test_a_mirror_in_a_mirror_is_the_sample_itself():
    original = sample()
    twice = mirrored(mirrored(original))
    assert torch.equal(twice.swept, original.swept)
    for before, after in zip(views(original), views(twice), strict=True):
        assert torch.equal(after.images, before.images)
        torch.testing.assert_close(after.image_from_ego, before.image_from_ego)


@pytest.mark.parametrize(('share', 'expected'), [(0.0, 0), (1.0, 12), (0.5, None)])
def test_a_share_of_the_samples_is_mirrored(share, expected):
    preset = small_preset()
    config = replace(preset.temporal, mirrored_share=share)
    sampler = Sampler([random_clip()], config, seed=1)
    batches = Batches(sampler, preset.model.frame, 1, 1, Processes())
    changed = sum(
        not torch.equal(
            batches.of_step(step)[0].sample.current.images, sampler.draw(step).current.images
        )
        for step in range(12)
    )
    assert changed == expected if expected is not None else 0 < changed < 12
