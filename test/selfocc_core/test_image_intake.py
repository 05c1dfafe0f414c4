from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).parents[1]))
from mock_model import write_mock_model

from selfocc_core import bag_messages
from selfocc_core.backends import open_backend
from selfocc_core.cameras import Rig, nuscenes_like_rig
from selfocc_core.image_faults import BLACK, FROZEN
from selfocc_core.image_intake import (
    COMPRESSED_TYPE,
    DAMAGED_IMAGE,
    DAMAGED_MESSAGE,
    DOES_NOT_FIT,
    NOT_CALIBRATED,
    RAW_TYPE,
    WRONG_SIZE,
    ImageIntake,
    PipelineSource,
)

RIG = nuscenes_like_rig(352, 198)
STAMP_NS = 1_700_000_000_123_456_789


@pytest.fixture(scope='module')
def backend(tmp_path_factory):
    return open_backend(write_mock_model(tmp_path_factory.mktemp('m') / 'm.onnx'), threads=1)


class Calibration:
    """A rig that a test can change."""

    def __init__(self, rig):
        self.rig = rig

    def __call__(self):
        return self.rig


@pytest.fixture
def calibration():
    return Calibration(RIG)


def intake_of(backend, calibration, compressed=False, frozen_after=3):
    pipelines = PipelineSource(backend, calibration, RIG.names)
    return ImageIntake(compressed, pipelines, bag_messages.decode_image, frozen_after)


def pixels(seed=0, width=352, height=198):
    return np.random.default_rng(seed).integers(20, 200, (height, width, 3), np.uint8)


def raw_message(image, stamp_ns=STAMP_NS):
    message = bag_messages.raw_image(image, stamp_ns, 'camera')
    return bytes(bag_messages.typestore().serialize_cdr(message, RAW_TYPE))


def compressed_message(image):
    message = bag_messages.compressed_image(image, STAMP_NS, 'camera')
    return bytes(bag_messages.typestore().serialize_cdr(message, COMPRESSED_TYPE))


def test_an_image_becomes_what_the_pipeline_itself_would_make_of_it(backend, calibration):
    image = pixels()
    prepared = intake_of(backend, calibration)('back', raw_message(image))
    assert prepared.fault is None
    assert prepared.stamp_ns == STAMP_NS
    np.testing.assert_array_equal(prepared.image, prepared.pipeline.prepare('back', image))
    assert prepared.image.shape == (96, 176, 3)


@pytest.mark.parametrize('encoding', ['bgr8', 'bgra8', 'rgba8'])
def test_colours_are_put_in_order(backend, calibration, encoding):
    image = pixels()
    channels = {'bgr8': [2, 1, 0], 'bgra8': [2, 1, 0, 0], 'rgba8': [0, 1, 2, 0]}[encoding]
    message = bag_messages.raw_image(image, STAMP_NS, 'camera')
    message.data = np.ascontiguousarray(image[..., channels]).reshape(-1)
    message.encoding, message.step = encoding, 352 * len(channels)
    raw = bytes(bag_messages.typestore().serialize_cdr(message, RAW_TYPE))
    prepared = intake_of(backend, calibration)('back', raw)
    assert prepared.fault is None
    np.testing.assert_array_equal(prepared.image, prepared.pipeline.prepare('back', image))


def test_a_compressed_image_is_decoded(backend, calibration):
    smooth = np.full((198, 352, 3), (200, 100, 50), np.uint8)
    prepared = intake_of(backend, calibration, compressed=True)('back', compressed_message(smooth))
    assert prepared.fault is None
    assert np.abs(prepared.image.astype(int) - (200, 100, 50)).max() <= 3


@pytest.mark.parametrize('size', [0, 3, 4, 11, 30, 60, 500, 20_000])
def test_a_message_that_is_cut_off_is_damaged_and_has_no_stamp(backend, calibration, size):
    prepared = intake_of(backend, calibration)('back', raw_message(pixels())[:size])
    assert (prepared.fault, prepared.stamp_ns, prepared.image) == (DAMAGED_MESSAGE, None, None)
    assert '"back"' in prepared.sentence


@given(st.binary(max_size=300))
def test_no_bytes_whatever_raise(backend, garbage):
    for compressed in (False, True):
        prepared = intake_of(backend, Calibration(RIG), compressed)('back', garbage)
        assert (prepared.image is None) == (prepared.fault is not None)


@given(st.integers(0, 400), st.binary(min_size=1, max_size=8))
def test_no_message_with_wrong_bytes_in_its_head_raises(backend, place, wrong):
    good = raw_message(pixels())
    prepared = intake_of(backend, Calibration(RIG))('back', good[:place] + wrong + good[place:])
    assert (prepared.image is None) == (prepared.fault is not None)


def test_a_damaged_jpeg_keeps_its_stamp(backend, calibration):
    good = compressed_message(pixels())
    intake = intake_of(backend, calibration, compressed=True)
    start = good.index(b'\xff\xd8')
    damaged = good[:start] + bytes(len(good) - start)
    prepared = intake('back', damaged)
    assert (prepared.fault, prepared.stamp_ns) == (DAMAGED_IMAGE, STAMP_NS)


def test_an_encoding_that_is_not_supported_is_named(backend, calibration):
    message = bag_messages.raw_image(pixels(), STAMP_NS, 'camera')
    message.encoding = 'bayer_xyz'
    raw = bytes(bag_messages.typestore().serialize_cdr(message, RAW_TYPE))
    prepared = intake_of(backend, calibration)('back', raw)
    assert prepared.fault == DAMAGED_IMAGE
    assert '"bayer_xyz"' in prepared.sentence


def test_black_and_frozen_images_are_refused(backend, calibration):
    intake = intake_of(backend, calibration)
    assert intake('back', raw_message(np.zeros((198, 352, 3), np.uint8))).fault == BLACK
    same = raw_message(pixels())
    faults = [intake('front', same).fault for _ in range(5)]
    assert faults == [None, None, None, FROZEN, FROZEN]
    assert intake('front_left', same).fault is None  # each camera by itself


def test_another_shape_is_refused_with_both_sizes(backend, calibration):
    intake = intake_of(backend, calibration)
    faults = [intake('back', raw_message(pixels(i, 60, 50))) for i in range(9)]
    assert {prepared.fault for prepared in faults} == {WRONG_SIZE}
    assert '60x50' in faults[0].sentence
    assert '352x198' in faults[0].sentence


def test_scaled_images_are_adopted_after_a_few_with_a_scaled_calibration(backend, calibration):
    intake = intake_of(backend, calibration)
    assert intake('back', raw_message(pixels(0))).fault is None
    prepared = [intake('back', raw_message(pixels(i, 704, 396))) for i in range(4)]
    assert [p.fault for p in prepared] == [WRONG_SIZE, WRONG_SIZE, None, None]
    assert 'taken to be resized' in prepared[2].sentence
    assert prepared[3].sentence == ''
    adopted = prepared[-1].pipeline.rig['back']
    assert (adopted.width, adopted.height) == (704, 396)
    expected = RIG['back'].scaled_to(704, 396).image_from_camera
    np.testing.assert_array_equal(adopted.image_from_camera, expected)
    assert intake('front', raw_message(pixels(0))).fault is None  # the others keep their size


def test_a_single_odd_size_does_not_lock_the_camera_out(backend, calibration):
    intake = intake_of(backend, calibration)
    assert intake('back', raw_message(pixels(0, 704, 396))).fault == WRONG_SIZE
    assert intake('back', raw_message(pixels(1))).fault is None


def test_cameras_that_are_not_calibrated_are_named(backend, calibration):
    calibration.rig = None
    intake = intake_of(backend, calibration)
    assert intake('back', raw_message(pixels(0))).fault == NOT_CALIBRATED
    calibration.rig = Rig((RIG['front'],))
    assert intake('back', raw_message(pixels(1))).fault == NOT_CALIBRATED
    assert intake('front', raw_message(pixels(2))).fault is None


def test_a_new_calibration_is_used_for_the_next_image(backend, calibration):
    intake = intake_of(backend, calibration)
    before = intake('back', raw_message(pixels(0)))
    again = intake('back', raw_message(pixels(1)))
    assert again.pipeline is before.pipeline
    calibration.rig = Rig(tuple(RIG[name] for name in RIG.names))
    after = intake('back', raw_message(pixels(2)))
    assert after.pipeline is not before.pipeline
    assert after.generation == before.generation + 1


def test_a_rig_that_does_not_fit_the_model_is_a_fault_and_no_crash(tmp_path, calibration):
    small = open_backend(write_mock_model(tmp_path / 'm.onnx', cameras=2), threads=1)
    prepared = intake_of(small, calibration)('back', raw_message(pixels()))
    assert prepared.fault == DOES_NOT_FIT
    assert 'takes 2' in prepared.sentence


def test_each_camera_keeps_its_place_in_the_network_while_others_are_unknown(backend):
    """The network tells its inputs apart by their place."""
    calibration = Calibration(Rig((RIG['back'], RIG['back_right'])))
    prepared = intake_of(backend, calibration)('back', raw_message(pixels()))
    from selfocc_core.frames import CameraFrame, FrameSet

    frame_set = FrameSet(0, {'back': CameraFrame('back', 0, prepared.image)})
    assert list(prepared.pipeline._present(frame_set)) == [False] * 3 + [True] + [False] * 2


@pytest.mark.parametrize('size', [(1, 1), (16, 9), (352, 190)])
def test_images_too_small_or_of_another_shape_are_no_resized_ones(backend, calibration, size):
    intake = intake_of(backend, calibration)
    faults = {intake('back', raw_message(pixels(i, *size))).fault for i in range(6)}
    assert faults == {WRONG_SIZE}


def test_a_size_that_does_not_fit_the_model_costs_only_its_camera(backend):
    """A model exported for one rig takes no other sizes; the other cameras must not notice."""
    card = backend.card.model_copy(update={'rig_hash': RIG.content_hash})
    bound = SimpleNamespace(card=card)
    intake = intake_of(bound, Calibration(RIG))
    faults = [intake('back', raw_message(pixels(i, 704, 396))).fault for i in range(4)]
    assert faults == [WRONG_SIZE, WRONG_SIZE, DOES_NOT_FIT, DOES_NOT_FIT]
    assert intake('front', raw_message(pixels(1))).fault is None
    assert intake('back', raw_message(pixels(2))).fault is None
