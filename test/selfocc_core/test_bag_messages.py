from __future__ import annotations

from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import transforms

from selfocc_core import bag_messages as messages
from selfocc_core.cameras import nuscenes_like_rig
from selfocc_core.errors import SelfOccError

RNG = np.random.default_rng(5)
IMAGE = RNG.integers(0, 255, (6, 8, 3), np.uint8)


def image_message(encoding, pixels, padding=0):
    rows = np.ascontiguousarray(pixels).reshape(pixels.shape[0], -1).view(np.uint8)
    rows = np.pad(rows, ((0, 0), (0, padding)), constant_values=77)
    return SimpleNamespace(
        header=SimpleNamespace(frame_id='camera_front'),
        encoding=encoding,
        height=pixels.shape[0],
        width=pixels.shape[1],
        step=rows.shape[1],
        is_bigendian=0,
        data=rows.tobytes(),
    )


@given(st.integers(0, 2**62))
def test_stamps_are_exact(stamp_ns):
    message = SimpleNamespace(header=SimpleNamespace(stamp=messages.stamp(stamp_ns % 2**61)))
    assert messages.stamp_ns_of(message) == stamp_ns % 2**61


@pytest.mark.parametrize('padding', [0, 5])
def test_raw_images_of_any_channel_order(padding):
    alpha = np.full((6, 8, 1), 9, np.uint8)
    variants = {
        'rgb8': IMAGE,
        'bgr8': IMAGE[..., ::-1],
        'rgba8': np.dstack([IMAGE, alpha]),
        'bgra8': np.dstack([IMAGE[..., ::-1], alpha]),
    }
    for encoding, pixels in variants.items():
        decoded = messages.decode_raw(image_message(encoding, pixels, padding))
        np.testing.assert_array_equal(decoded, IMAGE, err_msg=encoding)


def test_grey_images_become_rgb():
    decoded = messages.decode_raw(image_message('mono8', IMAGE[..., 0], 3))
    np.testing.assert_array_equal(decoded, np.repeat(IMAGE[..., :1], 3, 2))


@pytest.mark.parametrize('pattern', ['rggb', 'bggr', 'gbrg', 'grbg'])
def test_bayer_patterns_give_the_right_colour(pattern):
    color = {'r': 200, 'g': 120, 'b': 40}
    tile = np.array([color[name] for name in pattern]).reshape(2, 2)
    mosaic = np.tile(tile, (8, 8)).astype(np.uint8)
    decoded = messages.decode_raw(image_message(f'bayer_{pattern}8', mosaic))
    np.testing.assert_allclose(decoded[8, 8], (200, 120, 40), atol=2)


@pytest.mark.parametrize('encoding', ['yuv422', 'uyvy', 'yuv422_yuy2', 'yuyv'])
def test_yuv_images(encoding):
    luma_first = encoding in {'yuv422_yuy2', 'yuyv'}
    pixel = (150, 128) if luma_first else (128, 150)
    decoded = messages.decode_raw(image_message(encoding, np.tile(np.uint8(pixel), (6, 8, 1))))
    assert decoded.shape == (6, 8, 3)
    assert np.ptp(decoded) <= 2  # no chroma: grey


def test_unknown_encoding_is_named():
    with pytest.raises(SelfOccError, match='encoded as "16SC7"'):
        messages.decode_raw(image_message('16SC7', IMAGE))


@pytest.mark.parametrize('change', [{'height': 7}, {'step': 3}, {'width': 0}, {'data': b''}])
def test_size_and_data_that_disagree(change):
    message = image_message('rgb8', IMAGE)
    vars(message).update(change)
    with pytest.raises(SelfOccError, match='camera_front'):
        messages.decode_raw(message)


def test_depth_and_labels_survive():
    depth = np.array([[1.5, np.inf], [np.nan, 0.25]], np.float32)
    message = messages.raw_image(depth, 7, 'f')
    np.testing.assert_array_equal(messages.decode_float(message), depth)
    np.testing.assert_array_equal(
        messages.decode_mono(messages.raw_image(IMAGE[..., 0].copy(), 7, 'f')), IMAGE[..., 0]
    )
    with pytest.raises(SelfOccError, match='32FC1'):
        messages.decode_float(messages.raw_image(IMAGE, 7, 'f'))
    with pytest.raises(SelfOccError, match='mono8'):
        messages.decode_mono(message)


def test_big_endian_depth():
    message = image_message('32FC1', np.array([[1.5, 2.5]], '>f4'))
    message.width, message.is_bigendian = 2, 1
    np.testing.assert_array_equal(messages.decode_float(message), [[1.5, 2.5]])


def test_images_that_are_not_contiguous_are_written_well():
    message = messages.raw_image(IMAGE[:, ::2], 7, 'f')
    np.testing.assert_array_equal(messages.decode_raw(message), IMAGE[:, ::2])


def test_jpeg_is_close_and_rgb():
    smooth = cv2.resize(np.uint8([[[250, 20, 20], [20, 20, 250]]]), (64, 32))
    message = messages.compressed_image(smooth, 7, 'f')
    decoded = messages.decode_compressed(message)
    assert np.abs(decoded.astype(int) - smooth).mean() < 6


@pytest.mark.parametrize('data', [b'', b'garbage', bytes(1000)])
def test_what_is_no_image_is_refused(data):
    message = messages.compressed_image(IMAGE, 7, 'camera_front')
    message.data = np.frombuffer(data, np.uint8)
    with pytest.raises(SelfOccError, match='camera_front'):
        messages.decode_compressed(message)


def test_camera_info_carries_the_calibration():
    camera = nuscenes_like_rig(352, 198)['back_left']
    again = messages.camera_from_info(
        'back_left', messages.camera_info(camera, 5), camera.ego_from_camera
    )
    np.testing.assert_array_equal(again.image_from_camera, camera.image_from_camera)
    assert (again.width, again.height, again.frame_id) == (352, 198, camera.frame_id)
    assert (again.distortion_model, again.distortion) == ('none', ())


def test_camera_info_of_zeros_and_of_unknown_lenses_are_refused():
    info = messages.camera_info(nuscenes_like_rig(64, 36)['front'], 5)
    info.k = np.zeros(9)
    with pytest.raises(SelfOccError, match='"front" is not calibrated'):
        messages.camera_from_info('front', info, np.eye(4))
    info.distortion_model = 'magic'
    with pytest.raises(SelfOccError, match='"magic"'):
        messages.camera_from_info('front', info, np.eye(4))


@given(transforms())
def test_transforms_survive_tf_and_odometry(parent_from_child):
    stamped = messages.transform_stamped('odom', 'base_link', parent_from_child, 3)
    np.testing.assert_allclose(
        messages.parent_from_child(stamped.transform), parent_from_child, atol=1e-9
    )
    odometry = messages.odometry('odom', parent_from_child, (1, 2, 3), (0, 0, 1), 3)
    np.testing.assert_allclose(
        messages.parent_from_child(odometry.pose.pose), parent_from_child, atol=1e-9
    )
    assert odometry.child_frame_id == 'base_link'


@pytest.mark.parametrize('count', [0, 1, 17])
def test_point_clouds_survive(count):
    fields = {axis: RNG.normal(size=count).astype(np.float32) for axis in 'xyz'}
    fields['label'] = RNG.integers(0, 9, count).astype(np.uint8)
    message = messages.point_cloud(fields, 9, 'lidar')
    decoded = messages.decode_point_cloud(message)
    assert list(decoded) == ['x', 'y', 'z', 'label']
    for name, values in fields.items():
        np.testing.assert_array_equal(decoded[name], values)
    assert messages.xyz(decoded).shape == (count, 3)


def test_a_truncated_cloud_is_refused():
    message = messages.point_cloud({axis: np.zeros(4, np.float32) for axis in 'xyz'}, 9, 'lidar')
    message.data = message.data[:-1]
    with pytest.raises(SelfOccError, match='point cloud in "lidar"'):
        messages.decode_point_cloud(message)


def region(**values):
    zeros = dict.fromkeys(('x_offset', 'y_offset', 'width', 'height'), 0)
    return SimpleNamespace(**{**zeros, **values})


def test_binning_and_region_of_interest_describe_the_images_that_arrive():
    """Half of the sensor's rows, every second pixel: 800x225 of 1600x900."""
    camera = nuscenes_like_rig(1600, 900)['front']
    info = messages.camera_info(camera, 0)
    info.roi = region(x_offset=0, y_offset=450, width=1600, height=450)
    info.binning_x = info.binning_y = 2
    seen = messages.camera_from_info('front', info, np.eye(4))
    assert (seen.width, seen.height) == (800, 225)
    k = camera.image_from_camera
    np.testing.assert_allclose(
        seen.image_from_camera,
        [
            [k[0, 0] / 2, 0, (k[0, 2] + 0.5) / 2 - 0.5],
            [0, k[1, 1] / 2, (k[1, 2] - 450 + 0.5) / 2 - 0.5],
            [0, 0, 1],
        ],
    )


def test_a_region_beyond_the_sensor_is_refused():
    info = messages.camera_info(nuscenes_like_rig(64, 36)['front'], 0)
    info.roi = region(x_offset=60, width=10, height=10)
    with pytest.raises(SelfOccError, match='correct the roi'):
        messages.camera_from_info('front', info, np.eye(4))


def test_rectified_images_take_p_and_no_distortion():
    camera = nuscenes_like_rig(64, 36)['front']
    info = messages.camera_info(camera, 0)
    info.d = np.array([0.1, 0.0, 0.0, 0.0, 0.0])
    info.p = info.p.copy()
    info.p[0] = 77.0
    raw = messages.camera_from_info('front', info, np.eye(4))
    rectified = messages.camera_from_info('front', info, np.eye(4), rectified=True)
    assert (raw.distortion_model, raw.distortion[0]) == ('plumb_bob', 0.1)
    assert raw.image_from_camera[0, 0] == camera.image_from_camera[0, 0]
    assert (rectified.distortion_model, rectified.distortion) == ('none', ())
    assert rectified.image_from_camera[0, 0] == 77.0
