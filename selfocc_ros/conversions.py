"""Between numpy and the messages of ``rclpy``."""

from __future__ import annotations

from array import array
from functools import cache
from typing import Any

import numpy as np
from builtin_interfaces.msg import Time
from geometry_msgs.msg import Point, Vector3
from nav_msgs.msg import OccupancyGrid
from numpy.typing import NDArray
from sensor_msgs.msg import CameraInfo, PointCloud2, PointField
from sensor_msgs.msg import Image as ImageMessage
from std_msgs.msg import ColorRGBA, Header
from visualization_msgs.msg import Marker, MarkerArray

from selfocc_core.bag_messages import decode_compressed, decode_raw
from selfocc_core.depth import DepthImage
from selfocc_core.errors import SelfOccError
from selfocc_core.frames import Image
from selfocc_core.occupied_points import occupied_points
from selfocc_core.pipeline import OccupancyResult
from selfocc_core.voxels import VoxelGrid, VoxelState, height_band

POINT_OFFSETS = {'x': 0, 'y': 4, 'z': 8, 'rgb': 12, 'label': 20, 'occupancy': 16}
POINT = np.dtype(
    {
        'names': list(POINT_OFFSETS),
        'formats': ['<f4', '<f4', '<f4', '<u4', 'u1', '<f4'],
        'offsets': list(POINT_OFFSETS.values()),
        'itemsize': 24,
    }
)
# PCL and RViz read the four bytes 0x00RRGGBB of "rgb" as a float32 field.
_FIELD_TYPES = {'label': PointField.UINT8}
MAX_COLUMN_VOXELS = 16


def header(stamp_ns: int, frame_id: str) -> Header:
    """Return a header."""
    seconds, nanoseconds = divmod(stamp_ns, 10**9)
    return Header(stamp=Time(sec=seconds, nanosec=nanoseconds), frame_id=frame_id)


def message_bytes(values: NDArray[Any]) -> array[int]:
    """Return an array's memory as the type that every ROS version copies fast.

    Assigning the numpy array itself costs hundreds of milliseconds for an image.
    """
    data = array('B')
    data.frombytes(np.ascontiguousarray(values).reshape(-1).view(np.uint8).data)
    return data


def decode_image(message: Any) -> Image:
    """Return the RGB image ``[H, W, 3]`` of an ``Image`` or ``CompressedImage``.

    Encodings that we do not know are left to cv_bridge where the ROS installation has it.

    Raises:
        SelfOccError: The image is damaged or its encoding unknown.
    """
    if hasattr(message, 'format'):
        return decode_compressed(message)
    try:
        return decode_raw(message)
    except SelfOccError:
        bridge = _cv_bridge()
        if bridge is None:
            raise
    try:
        return np.asarray(bridge.imgmsg_to_cv2(message, 'rgb8'), np.uint8)
    except Exception as error:
        raise SelfOccError(
            f'cv_bridge cannot convert an image of "{message.header.frame_id}": {error}'
        ) from error


@cache
def _cv_bridge() -> Any | None:
    try:
        from cv_bridge import CvBridge
    except Exception:  # a cv_bridge built for another numpy fails in its own ways
        return None
    return CvBridge()


def occupied_cloud(result: OccupancyResult, frame_id: str, threshold: float) -> PointCloud2:
    """Return the occupied voxels as points: x, y, z, rgb, label, occupancy."""
    fields = occupied_points(result, threshold)
    points = np.zeros(len(fields['x']), POINT)
    for name, values in fields.items():
        points[name] = values
    return point_cloud(points, header(result.stamp_ns, frame_id))


def point_cloud(points: NDArray[np.void], cloud_header: Header) -> PointCloud2:
    """Return a cloud of points of type ``POINT``."""
    return PointCloud2(
        header=cloud_header,
        height=1,
        width=len(points),
        fields=[
            PointField(
                name=name,
                offset=offset,
                datatype=_FIELD_TYPES.get(name, PointField.FLOAT32),
                count=1,
            )
            for name, offset in POINT_OFFSETS.items()
        ],
        is_bigendian=False,
        point_step=POINT.itemsize,
        row_step=POINT.itemsize * len(points),
        data=message_bytes(points.view(np.uint8)),
        is_dense=True,
    )


def occupied_markers(result: OccupancyResult, frame_id: str, limit: int) -> MarkerArray:
    """Return at most so many occupied voxels as cubes, the nearest first.

    For tools that show nothing else: a marker costs a hundred times what its point costs in the
    cloud.
    """
    centers = result.grid.centers()[result.states == VoxelState.OCCUPIED]
    nearest = centers[np.argsort(np.linalg.norm(centers, axis=1))[:limit]]
    size = result.grid.voxel_size_m
    marker = Marker(
        header=header(result.stamp_ns, frame_id),
        ns='occupancy',
        type=Marker.CUBE_LIST,
        action=Marker.ADD,
        scale=Vector3(x=float(size[0]), y=float(size[1]), z=float(size[2])),
        color=ColorRGBA(r=0.2, g=0.6, b=1.0, a=1.0),
        points=[Point(x=x, y=y, z=z) for x, y, z in nearest.tolist()],
    )
    marker.pose.orientation.w = 1.0
    return MarkerArray(markers=[marker])


def occupancy_grid(
    result: OccupancyResult, frame_id: str, low_m: float, high_m: float
) -> OccupancyGrid:
    """Return what stands between two heights, seen from above.

    Cells of the message run along x first (rows are y), the origin is the low corner.

    Raises:
        SelfOccError: No voxel lies between the heights.
    """
    band = height_band(result.states, result.grid, low_m, high_m)
    message = OccupancyGrid(header=header(result.stamp_ns, frame_id))
    message.info.map_load_time = message.header.stamp
    message.info.resolution = float(result.grid.voxel_size_m[0])
    message.info.width, message.info.height = band.shape
    message.info.origin.position.x = float(result.grid.minimum_m[0])
    message.info.origin.position.y = float(result.grid.minimum_m[1])
    message.info.origin.orientation.w = 1.0
    message.data = array('b', np.ascontiguousarray(band.T).tobytes())
    return message


def voxel_columns(states: NDArray[np.uint8]) -> NDArray[np.uint32]:
    """Pack voxel states ``[X, Y, Z]`` as ``nav2_msgs/VoxelGrid`` does: ``[Y * X]``.

    Of each column, bit ``z`` of the lower half says "not free", of the upper half "occupied":
    occupied 11, unknown 01, free 00.

    Raises:
        SelfOccError: The grid is higher than the 16 voxels that fit.
    """
    if states.shape[2] > MAX_COLUMN_VOXELS:
        raise SelfOccError(
            f'nav2_msgs/VoxelGrid holds 16 voxels in height, the model has {states.shape[2]}'
        )
    bits = np.uint32(1) << np.arange(states.shape[2], dtype=np.uint32)
    not_free = ((states != VoxelState.FREE) * bits).sum(2, dtype=np.uint32)
    occupied = ((states == VoxelState.OCCUPIED) * bits).sum(2, dtype=np.uint32)
    return np.asarray((occupied << np.uint32(16) | not_free).T.reshape(-1), np.uint32)


def voxel_grid(result: OccupancyResult, frame_id: str) -> Any:
    """Return a ``nav2_msgs/VoxelGrid``; needs that package.

    Raises:
        SelfOccError: The grid is higher than the message can hold.
    """
    from nav2_msgs.msg import VoxelGrid as VoxelGridMessage

    grid: VoxelGrid = result.grid
    message = VoxelGridMessage(header=header(result.stamp_ns, frame_id))
    message.data = array('I', voxel_columns(result.states).tobytes())
    for axis, name in enumerate('xyz'):
        setattr(message.origin, name, float(grid.minimum_m[axis]))
        setattr(message.resolutions, name, float(grid.voxel_size_m[axis]))
        setattr(message, f'size_{name}', grid.shape[axis])
    return message


def depth_message(depth: DepthImage, image_header: Header) -> ImageMessage:
    """Return a depth image, 32FC1 in metres along the optical axis (REP-118)."""
    height, width = depth.depth_m.shape
    return ImageMessage(
        header=image_header,
        height=height,
        width=width,
        encoding='32FC1',
        is_bigendian=0,
        step=4 * width,
        data=message_bytes(depth.depth_m.astype('<f4', copy=False)),
    )


def depth_camera_info(depth: DepthImage, image_header: Header) -> CameraInfo:
    """Return the calibration of a depth image: its own intrinsics, no distortion."""
    k = depth.image_from_camera
    return CameraInfo(
        header=image_header,
        height=depth.depth_m.shape[0],
        width=depth.depth_m.shape[1],
        distortion_model='plumb_bob',
        d=[0.0] * 5,
        k=k.reshape(-1).tolist(),
        r=np.eye(3).reshape(-1).tolist(),
        p=np.hstack([k, np.zeros((3, 1))]).reshape(-1).tolist(),
    )
