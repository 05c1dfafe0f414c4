from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip('rclpy')
from small_drive import START_NS, small_rig

from selfocc_core.backends import open_backend
from selfocc_core.errors import SelfOccError
from selfocc_core.synchronizer import SynchronizedSet
from selfocc_ros.frame_processor import FrameProcessor, UnusableFrameSetError
from selfocc_ros.odometry_buffer import OdometryBuffer
from selfocc_ros.statistics import NodeStatistics

RIG = small_rig()


def decode(message):
    if isinstance(message, str):
        raise SelfOccError('an image cannot be decoded')
    return message


@pytest.fixture(scope='module')
def backend(mock_model):
    return open_backend(mock_model, threads=1)


@pytest.fixture
def statistics():
    return NodeStatistics(RIG.names)


def processor(backend, statistics, rig=RIG, odometry=None, minimum_cameras=1):
    return FrameProcessor(
        backend=backend,
        rig=lambda: rig,
        odometry=odometry or OdometryBuffer(),
        decode=decode,
        minimum_cameras=minimum_cameras,
        statistics=statistics,
        warn=lambda sentence: None,
    )


def frame_set(**replaced):
    images = {c.name: np.zeros((c.height, c.width, 3), np.uint8) for c in RIG} | replaced
    return SynchronizedSet(START_NS, dict.fromkeys(images, START_NS), images)


def test_a_damaged_image_costs_only_its_camera(backend, statistics):
    frames, result, rig, _ = processor(backend, statistics)(frame_set(back='garbage'))
    assert set(frames.frames) == set(RIG.names) - {'back'} == set(result.depths)
    assert rig is RIG
    assert statistics.cameras['back'].dropped == {'cannot be decoded': 1}


def test_too_few_usable_images_are_not_guessed_from(backend, statistics):
    with pytest.raises(UnusableFrameSetError, match='too few usable images'):
        processor(backend, statistics, minimum_cameras=6)(frame_set(back='garbage'))


def test_without_calibration_there_is_no_result(backend, statistics):
    with pytest.raises(UnusableFrameSetError, match='no camera is calibrated yet'):
        processor(backend, statistics, rig=None)(frame_set())


def test_odometry_is_used_where_it_covers_the_stamps(backend, statistics):
    odometry = OdometryBuffer()
    process = processor(backend, statistics, odometry=odometry)
    assert process(frame_set())[3] is False
    odometry.add(START_NS - 10**7, np.eye(4))
    odometry.add(START_NS + 10**7, np.eye(4))
    assert process(frame_set())[3] is True
