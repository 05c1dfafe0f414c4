from __future__ import annotations

import sys
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[1]))
from mock_model import write_mock_model

from selfocc_core.backends import open_backend
from selfocc_core.cameras import nuscenes_like_rig
from selfocc_core.frame_processor import (
    RECALIBRATED,
    FrameProcessor,
    UnusableFrameSetError,
    unusable,
)
from selfocc_core.image_intake import PreparedImage
from selfocc_core.pipeline import OccupancyPipeline
from selfocc_core.synchronizer import SynchronizedSet
from selfocc_core.transforms import Trajectory

RIG = nuscenes_like_rig(176, 96)
START_NS = 1_700_000_000 * 10**9
DAMAGED = PreparedImage(START_NS, fault='cannot be decoded')


@pytest.fixture(scope='module')
def backend(tmp_path_factory):
    return open_backend(write_mock_model(tmp_path_factory.mktemp('m') / 'm.onnx'), threads=1)


@pytest.fixture(scope='module')
def pipeline(backend):
    return OccupancyPipeline(backend, RIG)


def process(images, motion=None, minimum=1):
    return FrameProcessor(minimum, lambda name: nullcontext())(images, motion)


def image_set(pipeline, generation=1, **replaced):
    image = np.zeros((96, 176, 3), np.uint8)
    prepared = PreparedImage(START_NS, image, pipeline, generation)
    images = dict.fromkeys(RIG.names, prepared) | replaced
    return SynchronizedSet(START_NS, dict.fromkeys(images, START_NS), images)


def test_a_damaged_image_costs_only_its_camera(pipeline):
    processed = process(image_set(pipeline, back=DAMAGED))
    usable = set(RIG.names) - {'back'}
    assert set(processed.frame_set.frames) == usable == set(processed.result.depths)
    assert processed.rig is RIG
    assert processed.unused == {'back': 'cannot be decoded'}


def test_too_few_usable_images_are_not_guessed_from(pipeline):
    with pytest.raises(UnusableFrameSetError, match='too few usable images'):
        process(image_set(pipeline, back=DAMAGED), minimum=6)


def test_a_set_without_any_usable_image_has_no_result(pipeline):
    with pytest.raises(UnusableFrameSetError, match='too few usable images'):
        process(image_set(pipeline, **dict.fromkeys(RIG.names, DAMAGED)))


def test_images_of_the_former_calibration_are_left_out(backend, pipeline):
    """They were resized and will be projected as another camera's."""
    newer = OccupancyPipeline(backend, RIG)
    image = PreparedImage(START_NS, np.zeros((96, 176, 3), np.uint8), newer, 2)
    images = image_set(pipeline, front=image, back=image)
    assert unusable(images) == dict.fromkeys(set(RIG.names) - {'front', 'back'}, RECALIBRATED)
    processed = process(images)
    assert set(processed.frame_set.frames) == {'front', 'back'}


def test_the_result_says_whether_motion_was_known(pipeline):
    motion = Trajectory(np.array([START_NS]), np.eye(4)[None])
    assert process(image_set(pipeline)).with_odometry is False
    assert process(image_set(pipeline), motion).with_odometry is True
