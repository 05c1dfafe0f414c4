from __future__ import annotations

from array import array
from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip('rclpy')
from selfocc_core.bag_messages import (
    decode_point_cloud,
    decode_raw,
    pixel_array,
    stamp_ns_of,
    xyz,
)
from selfocc_core.depth import DepthImage
from selfocc_core.errors import SelfOccError
from selfocc_core.pipeline import OccupancyResult
from selfocc_core.semantics import CLASS_COLORS, CLASS_NAMES
from selfocc_core.voxels import VoxelGrid, VoxelState
from selfocc_ros import conversions
from selfocc_ros.conversions import (
    decode_image,
    depth_camera_info,
    depth_message,
    header,
    message_bytes,
    occupancy_grid,
    occupied_cloud,
    voxel_columns,
)

GRID = VoxelGrid((0.0, -2.0, 0.0), (3.0, 2.0, 2.0), (3, 4, 2))
STAMP_NS = 1_700_000_000_123_456_789


def result_with(*occupied, unknown=()):
    states = np.full(GRID.shape, VoxelState.FREE, np.uint8)
    sdf = np.full(GRID.shape, 1.0, np.float32)
    for voxel in occupied:
        states[voxel], sdf[voxel] = VoxelState.OCCUPIED, -0.25
    for voxel in unknown:
        states[voxel] = VoxelState.UNKNOWN
    return OccupancyResult(STAMP_NS, GRID, states, sdf, {})


def test_cloud_holds_the_centres_of_the_occupied_voxels():
    cloud = occupied_cloud(result_with((0, 0, 0), (2, 3, 1)), 'base_link', threshold=0.0)
    fields = decode_point_cloud(cloud)
    assert xyz(fields).tolist() == [[0.5, -1.5, 0.5], [2.5, 1.5, 1.5]]
    assert fields['occupancy'].tolist() == [0.75, 0.75]
    assert fields['label'].tolist() == [CLASS_NAMES.index('other')] * 2
    assert len(set(fields['rgb'].view(np.uint32).tolist())) == 2
    assert stamp_ns_of(cloud) == STAMP_NS
    assert (cloud.height, cloud.width, cloud.is_dense) == (1, 2, True)
    assert cloud.row_step == len(cloud.data) == 2 * cloud.point_step


def test_cloud_tells_the_classes_of_a_semantic_model():
    labels = np.zeros(GRID.shape, np.uint8)
    labels[2, 3, 1] = 1
    result = replace(
        result_with((0, 0, 0), (2, 3, 1)), labels=labels, class_names=('road', 'giraffe')
    )
    fields = decode_point_cloud(occupied_cloud(result, 'base_link', threshold=0.0))
    assert fields['label'].tolist() == [0, 1]
    road, giraffe = fields['rgb'].view(np.uint32).tolist()
    red, green, blue = CLASS_COLORS[CLASS_NAMES.index('road')].tolist()
    assert road == red << 16 | green << 8 | blue
    assert giraffe != road


def test_cloud_of_an_empty_grid_is_empty_and_valid():
    cloud = occupied_cloud(result_with(), 'base_link', threshold=0.0)
    assert (cloud.width, len(cloud.data), len(cloud.fields)) == (0, 0, 6)


def test_occupancy_grid_runs_along_x_first():
    result = result_with((2, 1, 0), unknown=[(0, 3, 0), (0, 3, 1)])
    message = occupancy_grid(result, 'base_link', 0.0, 2.0)
    assert (message.info.width, message.info.height, message.info.resolution) == (3, 4, 1.0)
    assert (message.info.origin.position.x, message.info.origin.position.y) == (0.0, -2.0)
    cells = np.array(message.data).reshape(4, 3)
    assert cells[1, 2] == 100
    assert cells[3, 0] == -1
    assert np.count_nonzero(cells) == 2


def test_voxel_columns_follow_nav2():
    columns = voxel_columns(result_with((2, 1, 1), unknown=[(0, 3, 0)]).states)
    assert columns.dtype == np.uint32
    assert columns[1 * 3 + 2] == (1 << 17) | (1 << 1)
    assert columns[3 * 3 + 0] == 1
    assert np.count_nonzero(columns) == 2
    with pytest.raises(SelfOccError, match='16 voxels in height'):
        voxel_columns(np.zeros((2, 2, 17), np.uint8))


def test_message_bytes_keeps_memory_order_of_any_array():
    values = np.arange(12, dtype=np.float32).reshape(3, 4)
    for view in (values, values[:, ::2], values.T, values[:0]):
        data = message_bytes(view)
        assert isinstance(data, array)
        assert data.tobytes() == np.ascontiguousarray(view).tobytes()


def test_depth_keeps_infinity_and_the_scaled_intrinsics():
    depth_m = np.array([[1.0, np.inf, 3.0], [4.0, 5.0, 6.0]], np.float32)
    k = np.array([[10.0, 0.0, 1.0], [0.0, 11.0, 0.5], [0.0, 0.0, 1.0]])
    depth, own_header = DepthImage(depth_m, k), header(STAMP_NS, 'camera')
    image, info = depth_message(depth, own_header), depth_camera_info(depth, own_header)
    assert np.array_equal(pixel_array(image, np.dtype(np.float32), 1), depth_m)
    assert (info.height, info.width) == (image.height, image.width) == (2, 3)
    assert np.array_equal(np.reshape(info.k, (3, 3)), k)
    assert np.array_equal(np.reshape(info.p, (3, 4))[:, :3], k)


def image_message(encoding, pixels):
    from sensor_msgs.msg import Image

    return Image(
        header=header(0, 'camera'),
        height=pixels.shape[0],
        width=pixels.shape[1],
        encoding=encoding,
        step=pixels.strides[0],
        data=message_bytes(pixels),
    )


def test_raw_and_compressed_images_of_rclpy_are_decoded():
    import cv2
    from sensor_msgs.msg import CompressedImage

    rgb = np.zeros((8, 6, 3), np.uint8)
    rgb[..., 0] = 200
    assert np.array_equal(decode_image(image_message('rgb8', rgb)), rgb)
    assert np.array_equal(decode_image(image_message('bgr8', rgb[..., ::-1].copy())), rgb)
    png = cv2.imencode('.png', rgb[..., ::-1])[1]
    compressed = CompressedImage(format='png', data=message_bytes(png))
    assert np.array_equal(decode_image(compressed), rgb)


def test_an_unknown_encoding_is_refused_where_there_is_no_cv_bridge(monkeypatch):
    monkeypatch.setattr(conversions, '_cv_bridge', lambda: None)
    with pytest.raises(SelfOccError, match='encoded as "odd"'):
        decode_image(image_message('odd', np.zeros((2, 2), np.uint8)))


@pytest.mark.parametrize('encoding', ['rgb8', 'bgr8', 'mono8'])
def test_our_decoder_agrees_with_cv_bridge(encoding):
    bridge = pytest.importorskip('cv_bridge').CvBridge()
    channels = () if encoding == 'mono8' else (3,)
    pixels = np.random.default_rng(0).integers(0, 255, (5, 7, *channels)).astype(np.uint8)
    message = image_message(encoding, pixels)
    assert np.array_equal(decode_raw(message), bridge.imgmsg_to_cv2(message, 'rgb8'))


def test_our_cloud_is_read_by_sensor_msgs_py():
    point_cloud2 = pytest.importorskip('sensor_msgs_py.point_cloud2')
    cloud = occupied_cloud(result_with((0, 0, 0)), 'base_link', threshold=0.0)
    points = point_cloud2.read_points(cloud, field_names=['x', 'y', 'z'])
    assert points[0].tolist() == (0.5, -1.5, 0.5)
