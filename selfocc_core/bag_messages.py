"""Between numpy and the ROS messages of a bag, without a ROS installation.

Messages are the dataclasses of a ``rosbags`` type store; the same bytes are read by real ROS.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from rosbags.typesys import Stores, get_typestore
from rosbags.typesys.store import Typestore

from selfocc_core.cameras import Camera, DistortionModel
from selfocc_core.errors import SelfOccError
from selfocc_core.frames import Image
from selfocc_core.image_decoding import decode_image_file
from selfocc_core.quoting import shown
from selfocc_core.transforms import (
    Transform,
    quaternion_from_transform,
    transform_from_quaternion,
)

# More than the way to the Moon; products of what is no number of metres are no numbers at all.
_LARGEST_M = 1e9

_POINT_DATATYPES = {np.dtype(np.uint8): 2, np.dtype(np.float32): 7}
_NUMPY_DATATYPES = {
    1: np.int8, 2: np.uint8, 3: np.int16, 4: np.uint16,
    5: np.int32, 6: np.uint32, 7: np.float32, 8: np.float64,
}  # fmt: skip


@cache
def typestore() -> Typestore:
    """Return the message definitions that bags are written with: ROS 2 Humble.

    Humble's are common to Humble, Jazzy and Kilted for every message used here.
    """
    return get_typestore(Stores.ROS2_HUMBLE)


def message_type(name: str) -> Any:
    """Return the message class of a full type name such as ``sensor_msgs/msg/Image``."""
    return typestore().types[name]


def stamp(stamp_ns: int) -> Any:
    """Return a ``builtin_interfaces/Time``."""
    return message_type('builtin_interfaces/msg/Time')(*divmod(stamp_ns, 10**9))


def stamp_ns_of(message: Any) -> int:
    """Return the stamp of a message with a header."""
    time = message.header.stamp
    return int(time.sec) * 10**9 + int(time.nanosec)


def header(stamp_ns: int, frame_id: str) -> Any:
    """Return a ``std_msgs/Header``."""
    return message_type('std_msgs/msg/Header')(stamp(stamp_ns), frame_id)


def compressed_image(image: Image, stamp_ns: int, frame_id: str, quality: int = 92) -> Any:
    """Return a JPEG ``sensor_msgs/CompressedImage`` of an RGB image ``[H, W, 3]``."""
    bgr = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
    _, jpeg = cv2.imencode('.jpg', bgr, [cv2.IMWRITE_JPEG_QUALITY, quality])
    message = message_type('sensor_msgs/msg/CompressedImage')
    return message(header(stamp_ns, frame_id), 'jpeg', jpeg.reshape(-1))


def raw_image(image: NDArray[Any], stamp_ns: int, frame_id: str) -> Any:
    """Return a ``sensor_msgs/Image``: rgb8 ``[H, W, 3]``, mono8 or 32FC1 ``[H, W]``."""
    encoding = {(np.uint8, 3): 'rgb8', (np.uint8, 2): 'mono8', (np.float32, 2): '32FC1'}[
        (image.dtype.type, image.ndim)
    ]
    return message_type('sensor_msgs/msg/Image')(
        header(stamp_ns, frame_id),
        height=image.shape[0],
        width=image.shape[1],
        encoding=encoding,
        is_bigendian=0,
        step=image.strides[0] if image.flags.c_contiguous else image[0].nbytes,
        data=np.ascontiguousarray(image).reshape(-1).view(np.uint8),
    )


def decode_image(message: Any) -> Image:
    """Return the RGB image ``[H, W, 3]`` of an ``Image`` or ``CompressedImage``.

    Raises:
        SelfOccError: The image is damaged or its encoding unknown.
    """
    return decode_compressed(message) if hasattr(message, 'format') else decode_raw(message)


def decode_compressed(message: Any) -> Image:
    """Return the RGB image ``[H, W, 3]`` of a ``sensor_msgs/CompressedImage``.

    Raises:
        SelfOccError: The data is not an image, cut off or unreasonably large.
    """
    data = np.asarray(message.data, np.uint8)
    image = decode_image_file(data)
    if image is None:
        raise SelfOccError(
            f'an image of "{shown(message.header.frame_id)}" ({len(data)} bytes, format '
            f'"{shown(message.format)}") cannot be decoded: is the bag or the driver damaged?'
        )
    return image


COLOR_CODES = {
    'rgb8': None,
    'bgr8': cv2.COLOR_BGR2RGB,
    'rgba8': cv2.COLOR_RGBA2RGB,
    'bgra8': cv2.COLOR_BGRA2RGB,
    'mono8': cv2.COLOR_GRAY2RGB,
    'bayer_rggb8': cv2.COLOR_BayerRGGB2RGB,
    'bayer_bggr8': cv2.COLOR_BayerBGGR2RGB,
    'bayer_gbrg8': cv2.COLOR_BayerGBRG2RGB,
    'bayer_grbg8': cv2.COLOR_BayerGRBG2RGB,
    'yuv422': cv2.COLOR_YUV2RGB_UYVY,
    'uyvy': cv2.COLOR_YUV2RGB_UYVY,
    'yuv422_yuy2': cv2.COLOR_YUV2RGB_YUY2,
    'yuyv': cv2.COLOR_YUV2RGB_YUY2,
}
_CHANNELS = {'rgb8': 3, 'bgr8': 3, 'rgba8': 4, 'bgra8': 4}
_TWO_CHANNELS = ('yuv422', 'uyvy', 'yuv422_yuy2', 'yuyv')


def decode_raw(message: Any) -> Image:
    """Return the RGB image ``[H, W, 3]`` of a colour ``sensor_msgs/Image``.

    Works on messages of ``rosbags`` and of ``rclpy`` alike, honours ``step``.

    Raises:
        SelfOccError: The encoding is not supported, or size and data disagree.
    """
    if message.encoding not in COLOR_CODES:
        raise SelfOccError(
            f'images of "{shown(message.header.frame_id)}" are encoded as '
            f'"{shown(message.encoding)}": supported are {", ".join(COLOR_CODES)}'
        )
    channels = 2 if message.encoding in _TWO_CHANNELS else _CHANNELS.get(message.encoding, 1)
    pixels = pixel_array(message, np.dtype(np.uint8), channels)
    code = COLOR_CODES[message.encoding]
    if code is None:
        return pixels
    try:
        return np.asarray(cv2.cvtColor(np.ascontiguousarray(pixels), code), np.uint8)
    except cv2.error as error:
        raise SelfOccError(
            f'an image of "{shown(message.header.frame_id)}" ({message.width}x{message.height}) '
            f'cannot be converted from {message.encoding}: is its size right?'
        ) from error


def decode_float(message: Any) -> NDArray[np.float32]:
    """Return the depth ``[H, W]`` of a 32FC1 ``sensor_msgs/Image`` in metres."""
    if message.encoding != '32FC1':
        raise SelfOccError(
            f'a depth image is encoded as "{shown(message.encoding)}", not as 32FC1'
        )
    return pixel_array(message, np.dtype(np.float32), 1).astype(np.float32)


def decode_mono(message: Any) -> NDArray[np.uint8]:
    """Return the values ``[H, W]`` of a mono8 ``sensor_msgs/Image``."""
    if message.encoding != 'mono8':
        raise SelfOccError(
            f'a label image is encoded as "{shown(message.encoding)}", not as mono8'
        )
    return np.array(pixel_array(message, np.dtype(np.uint8), 1))


def pixel_array(message: Any, dtype: np.dtype[Any], channels: int) -> NDArray[Any]:
    """Return the pixels of a ``sensor_msgs/Image`` as a view ``[H, W]`` or ``[H, W, C]``.

    Raises:
        SelfOccError: Size, step and amount of data disagree.
    """
    height, width, step = int(message.height), int(message.width), int(message.step)
    data = np.frombuffer(message.data, np.uint8)
    row_bytes = width * channels * dtype.itemsize
    if height * width == 0 or step < row_bytes or data.size < height * step:
        raise SelfOccError(
            f'an image of "{shown(message.header.frame_id)}" says {width}x{height} with step '
            f'{step} but has {data.size} bytes: is the bag or the driver damaged?'
        )
    rows = data[: height * step].reshape(height, step)[:, :row_bytes]
    pixels = np.ascontiguousarray(rows).view(
        dtype.newbyteorder('>' if message.is_bigendian else '<')
    )
    shape = (height, width, channels) if channels > 1 else (height, width)
    return np.asarray(pixels.reshape(shape))


def camera_info(camera: Camera, stamp_ns: int) -> Any:
    """Return the ``sensor_msgs/CameraInfo`` of a camera."""
    k = camera.image_from_camera
    region = message_type('sensor_msgs/msg/RegionOfInterest')
    model = 'plumb_bob' if camera.distortion_model == 'none' else camera.distortion_model
    return message_type('sensor_msgs/msg/CameraInfo')(
        header(stamp_ns, camera.frame_id),
        height=camera.height,
        width=camera.width,
        distortion_model=model,
        d=np.asarray(camera.distortion or (0.0,) * 5, np.float64),
        k=k.reshape(-1).astype(np.float64),
        r=np.eye(3).reshape(-1),
        p=np.hstack([k, np.zeros((3, 1))]).reshape(-1),
        binning_x=0,
        binning_y=0,
        roi=region(0, 0, 0, 0, do_rectify=False),
    )


_DISTORTION_MODELS: dict[str, DistortionModel] = {
    '': 'none',
    'none': 'none',
    'plumb_bob': 'plumb_bob',
    'rational_polynomial': 'rational_polynomial',
    'equidistant': 'equidistant',
    'fisheye': 'equidistant',
}


def camera_from_info(
    name: str, message: Any, ego_from_camera: Transform, *, rectified: bool = False
) -> Camera:
    """Return the camera that a ``sensor_msgs/CameraInfo`` describes.

    Works on messages of ``rosbags`` and of ``rclpy`` alike. Region of interest and binning are
    taken into account: the result is the camera of the images that arrive.

    Args:
        name: Name of the camera in the rig.
        message: Its calibration.
        ego_from_camera: Extrinsics ``[4, 4]``.
        rectified: The images are rectified (``image_rect``): take P instead of K and D.

    Raises:
        SelfOccError: The camera is not calibrated, or its lens model is not supported.
    """
    model, coefficients = ('none', ()) if rectified else _lens(name, message)
    matrix = np.asarray(message.p, np.float64).reshape(3, 4)[:, :3] if rectified else message.k
    camera = Camera(
        name=name,
        frame_id=message.header.frame_id,
        width=int(message.width),
        height=int(message.height),
        image_from_camera=np.array(matrix, np.float64).reshape(3, 3),
        ego_from_camera=ego_from_camera,
        distortion_model=model,
        distortion=coefficients,
    )
    return _binned(_region_of_interest(camera, message.roi), message)


def _lens(name: str, message: Any) -> tuple[DistortionModel, tuple[float, ...]]:
    if message.distortion_model not in _DISTORTION_MODELS:
        raise SelfOccError(
            f'camera "{name}" has distortion model "{shown(message.distortion_model)}": '
            'supported are plumb_bob, rational_polynomial and equidistant'
        )
    distortion = tuple(float(value) for value in message.d)
    if not any(distortion):
        return 'none', ()
    return _DISTORTION_MODELS[message.distortion_model], distortion


def _region_of_interest(camera: Camera, roi: Any) -> Camera:
    """Return the camera of the region; a region without size is the full image."""
    if roi.width == 0 or roi.height == 0:
        return camera
    left, top = int(roi.x_offset), int(roi.y_offset)
    return camera.cropped_to(left, top, int(roi.width), int(roi.height))


def _binned(camera: Camera, message: Any) -> Camera:
    """Return the camera whose pixels are so many of the sensor's; 0 and 1 mean no binning."""
    binning_x, binning_y = max(1, int(message.binning_x)), max(1, int(message.binning_y))
    if binning_x == binning_y == 1:
        return camera
    return camera.scaled_to(max(1, camera.width // binning_x), max(1, camera.height // binning_y))


def _pose_parts(parent_from_child: Transform) -> tuple[list[float], list[float]]:
    try:
        quaternion = quaternion_from_transform(parent_from_child)
    except ValueError as error:
        raise SelfOccError(
            'a transform mirrors, or has no rotation at all: correct the calibration'
        ) from error
    return parent_from_child[:3, 3].tolist(), quaternion.tolist()


def transform_stamped(parent: str, child: str, parent_from_child: Transform, stamp_ns: int) -> Any:
    """Return a ``geometry_msgs/TransformStamped``.

    Raises:
        SelfOccError: The transform mirrors, or has no rotation.
    """
    translation, quaternion = _pose_parts(parent_from_child)
    return message_type('geometry_msgs/msg/TransformStamped')(
        header(stamp_ns, parent),
        child,
        message_type('geometry_msgs/msg/Transform')(
            message_type('geometry_msgs/msg/Vector3')(*translation),
            message_type('geometry_msgs/msg/Quaternion')(*quaternion),
        ),
    )


def tf_message(transforms: Sequence[Any]) -> Any:
    """Return a ``tf2_msgs/TFMessage``."""
    return message_type('tf2_msgs/msg/TFMessage')(list(transforms))


def parent_from_child(transform: Any) -> Transform:
    """Return the matrix of a ``geometry_msgs/Transform`` or ``geometry_msgs/Pose``.

    Raises:
        SelfOccError: A value is not finite or larger than the world, or the quaternion is zero.
    """
    t = getattr(transform, 'translation', None) or transform.position
    q = getattr(transform, 'rotation', None) or transform.orientation
    values = (t.x, t.y, t.z, q.x, q.y, q.z, q.w)
    if not all(abs(value) < _LARGEST_M for value in values):
        raise SelfOccError(f'{values} is no pose: correct the transform or the odometry')
    return transform_from_quaternion((t.x, t.y, t.z), (q.x, q.y, q.z, q.w))


def odometry(
    world: str,
    world_from_ego: Transform,
    velocity_m_s: Sequence[float],
    turn_rate_rad_s: Sequence[float],
    stamp_ns: int,
) -> Any:
    """Return a ``nav_msgs/Odometry`` of ``base_link``; velocities are in the ego frame."""
    translation, quaternion = _pose_parts(world_from_ego)
    vector, covariance = message_type('geometry_msgs/msg/Vector3'), np.zeros(36)
    pose = message_type('geometry_msgs/msg/Pose')(
        message_type('geometry_msgs/msg/Point')(*translation),
        message_type('geometry_msgs/msg/Quaternion')(*quaternion),
    )
    twist = message_type('geometry_msgs/msg/Twist')(
        vector(*velocity_m_s), vector(*turn_rate_rad_s)
    )
    return message_type('nav_msgs/msg/Odometry')(
        header(stamp_ns, world),
        'base_link',
        message_type('geometry_msgs/msg/PoseWithCovariance')(pose, covariance),
        message_type('geometry_msgs/msg/TwistWithCovariance')(twist, covariance),
    )


def point_cloud(fields: Mapping[str, NDArray[Any]], stamp_ns: int, frame_id: str) -> Any:
    """Return an unordered ``sensor_msgs/PointCloud2``.

    Args:
        fields: One array ``[P]`` of float32 or uint8 for each field, x, y and z first.
        stamp_ns: Stamp of the cloud.
        frame_id: Frame of its coordinates.
    """
    record = np.dtype([(name, values.dtype) for name, values in fields.items()])
    points = np.empty(len(next(iter(fields.values()))), record)
    for name, values in fields.items():
        points[name] = values
    field_type = message_type('sensor_msgs/msg/PointField')
    return message_type('sensor_msgs/msg/PointCloud2')(
        header(stamp_ns, frame_id),
        height=1,
        width=len(points),
        fields=[
            field_type(name, int(offset), _POINT_DATATYPES[dtype], 1)
            for name, (dtype, offset) in _layout(record).items()
        ],
        is_bigendian=False,
        point_step=record.itemsize,
        row_step=record.itemsize * len(points),
        data=points.view(np.uint8).reshape(-1) if len(points) else np.empty(0, np.uint8),
        is_dense=True,
    )


def _layout(record: np.dtype[Any]) -> dict[str, tuple[np.dtype[Any], int]]:
    return {name: (entry[0], entry[1]) for name, entry in (record.fields or {}).items()}


def decode_point_cloud(message: Any) -> dict[str, NDArray[Any]]:
    """Return the fields of a ``sensor_msgs/PointCloud2`` as arrays ``[P]``.

    Works on messages of ``rosbags`` and of ``rclpy`` alike.

    Raises:
        SelfOccError: The cloud's size and data disagree, or a field has an unknown type.
    """
    count, step = int(message.width) * int(message.height), int(message.point_step)
    data = np.frombuffer(message.data, np.uint8)
    if data.size < count * step or not all(_fits(f, step) for f in message.fields):
        raise SelfOccError(
            f'a point cloud in "{shown(message.header.frame_id)}" says {count} points of {step} '
            f'bytes but has {data.size} bytes: is the bag damaged?'
        )
    record: np.dtype[np.void] = np.dtype(
        {
            'names': [f.name for f in message.fields],
            'formats': [_dtype_of(f.datatype, message.is_bigendian) for f in message.fields],
            'offsets': [int(f.offset) for f in message.fields],
            'itemsize': step,
        }
    )
    points = data[: count * step].view(record)
    return {f.name: np.array(points[f.name]) for f in message.fields}


def _fits(point_field: Any, step: int) -> bool:
    """Whether a field has a known type and lies within a point of ``step`` bytes."""
    numpy_type = _NUMPY_DATATYPES.get(point_field.datatype)
    return numpy_type is not None and point_field.offset + np.dtype(numpy_type).itemsize <= step


def _dtype_of(datatype: int, big_endian: bool) -> np.dtype[Any]:
    dtype: np.dtype[Any] = np.dtype(_NUMPY_DATATYPES[datatype])
    ordered: np.dtype[Any] = dtype.newbyteorder('>' if big_endian else '<')
    return ordered


def xyz(fields: Mapping[str, NDArray[Any]]) -> NDArray[np.float64]:
    """Return the coordinates ``[P, 3]`` of a decoded point cloud.

    Raises:
        SelfOccError: It has none.
    """
    missing = [axis for axis in 'xyz' if axis not in fields]
    if missing:
        raise SelfOccError(f'a point cloud has no field {missing[0]}: is it one of points?')
    with np.errstate(invalid='ignore'):  # of what is not a number there is more than one kind
        return np.stack([fields[axis].astype(np.float64) for axis in 'xyz'], axis=-1)
