from __future__ import annotations

from contextlib import nullcontext

import numpy as np
import pytest

pytest.importorskip('rclpy')
from small_drive import START_NS, small_rig

from selfocc_core.backends import open_backend
from selfocc_core.image_intake import PreparedImage
from selfocc_core.pipeline import OccupancyPipeline
from selfocc_core.synchronizer import SynchronizedSet
from selfocc_ros.frame_processor import (
    RECALIBRATED,
    FrameProcessor,
    UnusableFrameSetError,
    unusable,
)
from selfocc_ros.odometry_buffer import OdometryBuffer

RIG = small_rig()
DAMAGED = PreparedImage(START_NS, fault='cannot be decoded')


@pytest.fixture(scope='module')
def backend(mock_model):
    return open_backend(mock_model, threads=1)


@pytest.fixture(scope='module')
def pipeline(backend):
    return OccupancyPipeline(backend, RIG)


def processor(odometry=None, minimum=1):
    return FrameProcessor(odometry or OdometryBuffer(), minimum, lambda name: nullcontext())


def image_set(pipeline, generation=1, **replaced):
    image = np.zeros((96, 176, 3), np.uint8)
    prepared = PreparedImage(START_NS, image, pipeline, generation)
    images = dict.fromkeys(RIG.names, prepared) | replaced
    return SynchronizedSet(START_NS, dict.fromkeys(images, START_NS), images)


def test_a_damaged_image_costs_only_its_camera(pipeline):
    processed = processor()(image_set(pipeline, back=DAMAGED))
    usable = set(RIG.names) - {'back'}
    assert set(processed.frame_set.frames) == usable == set(processed.result.depths)
    assert processed.rig is RIG
    assert processed.unused == {'back': 'cannot be decoded'}


def test_too_few_usable_images_are_not_guessed_from(pipeline):
    with pytest.raises(UnusableFrameSetError, match='too few usable images'):
        processor(minimum=6)(image_set(pipeline, back=DAMAGED))


def test_a_set_without_any_usable_image_has_no_result(pipeline):
    with pytest.raises(UnusableFrameSetError, match='too few usable images'):
        processor()(image_set(pipeline, **dict.fromkeys(RIG.names, DAMAGED)))


def test_images_of_the_former_calibration_are_left_out(backend, pipeline):
    """They were resized and will be projected as another camera's."""
    newer = OccupancyPipeline(backend, RIG)
    image = PreparedImage(START_NS, np.zeros((96, 176, 3), np.uint8), newer, 2)
    images = image_set(pipeline, front=image, back=image)
    assert unusable(images) == dict.fromkeys(set(RIG.names) - {'front', 'back'}, RECALIBRATED)
    processed = processor()(images)
    assert set(processed.frame_set.frames) == {'front', 'back'}


def test_odometry_is_used_where_it_covers_the_stamps(pipeline):
    odometry = OdometryBuffer()
    process = processor(odometry)
    assert process(image_set(pipeline)).with_odometry is False
    odometry.add(START_NS - 10**7, np.eye(4))
    odometry.add(START_NS + 10**7, np.eye(4))
    assert process(image_set(pipeline)).with_odometry is True
