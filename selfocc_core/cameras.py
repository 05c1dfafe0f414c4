"""Cameras and the rig they form on the vehicle."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import yaml
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from selfocc_core.errors import SelfOccError
from selfocc_core.files import read_yaml, write_atomically
from selfocc_core.quoting import first_problem
from selfocc_core.transforms import (
    Transform,
    invert,
    quaternion_from_transform,
    transform_from_quaternion,
)

MAX_SIDE_PX = 8192
# Numbers beyond are no calibration, and overflow in what is computed with them.
_LARGEST, _FARTHEST_M = 1e6, 1e4

DistortionModel = Literal['none', 'plumb_bob', 'rational_polynomial', 'equidistant']

_COEFFICIENTS: dict[DistortionModel, tuple[int, ...]] = {
    'none': (0,),
    'plumb_bob': (4, 5),
    'rational_polynomial': (8, 12, 14),
    'equidistant': (4,),
}


@dataclass(frozen=True, eq=False)
class Camera:
    """A calibrated camera fixed to the vehicle.

    Attributes:
        name: Short name, also part of topic names, for example ``front_left``.
        frame_id: Optical frame (REP-103: z forward, x right, y down).
        width: Image width in pixels.
        height: Image height in pixels.
        image_from_camera: Intrinsic matrix K ``[3, 3]``, pixel centres at integer coordinates.
        ego_from_camera: Extrinsics ``[4, 4]``; ego is ``base_link``.
        distortion_model: Lens model as in ``sensor_msgs/CameraInfo``, or ``none``.
        distortion: Its coefficients in OpenCV's order.
    """

    name: str
    frame_id: str
    width: int
    height: int
    image_from_camera: NDArray[np.float64]
    ego_from_camera: Transform
    distortion_model: DistortionModel = 'none'
    distortion: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        focal_lengths = self.image_from_camera[0, 0], self.image_from_camera[1, 1]
        if min(focal_lengths) <= 0 or not (np.abs(self.image_from_camera) < _LARGEST).all():
            raise SelfOccError(
                f'camera "{self.name}" is not calibrated (focal length {focal_lengths[0]:g}): '
                'calibrate it and put K into its camera_info or the rig file'
            )
        if not np.array_equal(self.image_from_camera[2], (0.0, 0.0, 1.0)):
            raise SelfOccError(
                f'the last row of the intrinsic matrix of camera "{self.name}" is not 0, 0, 1: '
                'correct K, or of rectified images P'
            )
        if not all(abs(value) < _LARGEST for value in self.distortion):
            raise SelfOccError(f'the distortion of camera "{self.name}" is not finite: correct it')
        if not (np.abs(self.ego_from_camera) < _FARTHEST_M).all():
            raise SelfOccError(
                f'the mounting of camera "{self.name}" is not finite, or more than '
                f'{_FARTHEST_M:g} m from the vehicle: correct it'
            )
        if not (0 < self.width <= MAX_SIDE_PX and 0 < self.height <= MAX_SIDE_PX):
            raise SelfOccError(
                f'camera "{self.name}" says its images are {self.width}x{self.height}: correct it'
            )
        if len(self.distortion) not in _COEFFICIENTS[self.distortion_model]:
            raise SelfOccError(
                f'camera "{self.name}" has {len(self.distortion)} coefficients of distortion '
                f'model {self.distortion_model}, which takes '
                f'{" or ".join(map(str, _COEFFICIENTS[self.distortion_model]))}: correct it'
            )

    @property
    def image_from_ego(self) -> NDArray[np.float64]:
        """Projection ``[3, 4]`` from ego metres to homogeneous pixels (undistorted)."""
        return self.image_from_camera @ invert(self.ego_from_camera)[:3]

    def scaled_to(self, width: int, height: int) -> Camera:
        """Return the camera for its images resized to ``width`` x ``height`` pixels."""
        scale_x, scale_y = width / self.width, height / self.height
        k = self.image_from_camera.copy()
        k[0, :2] *= scale_x
        k[1, 1] *= scale_y
        k[0, 2] = (k[0, 2] + 0.5) * scale_x - 0.5  # pixel centres are at integers
        k[1, 2] = (k[1, 2] + 0.5) * scale_y - 0.5
        return replace(self, width=width, height=height, image_from_camera=k)

    def cropped_to(self, left: int, top: int, width: int, height: int) -> Camera:
        """Return the camera for a region of its images.

        Raises:
            SelfOccError: The region is not within the image.
        """
        if min(left, top) < 0 or left + width > self.width or top + height > self.height:
            raise SelfOccError(
                f'camera "{self.name}" says it sends {width}x{height} pixels from ({left}, {top}) '
                f'of a {self.width}x{self.height} image: correct the roi of its camera_info'
            )
        k = self.image_from_camera.copy()
        k[:2, 2] -= left, top
        return replace(self, width=width, height=height, image_from_camera=k)


@dataclass(frozen=True, eq=False)
class Rig:
    """The cameras of a vehicle, in the order in which the network takes them."""

    cameras: tuple[Camera, ...]
    _by_name: dict[str, Camera] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        if not self.cameras:
            raise SelfOccError('the rig has no calibrated camera: add one to the rig file')
        by_name = {camera.name: camera for camera in self.cameras}
        if len(by_name) != len(self.cameras):
            raise SelfOccError('two cameras of the rig share a name: give each camera its own')
        object.__setattr__(self, '_by_name', by_name)

    def __getitem__(self, name: str) -> Camera:
        if name not in self._by_name:
            raise SelfOccError(f'the rig has no camera "{name}": it has {", ".join(self.names)}')
        return self._by_name[name]

    def __iter__(self) -> Iterator[Camera]:
        return iter(self.cameras)

    def __len__(self) -> int:
        return len(self.cameras)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the cameras in order."""
        return tuple(camera.name for camera in self.cameras)

    @property
    def content_hash(self) -> str:
        """SHA-256 of the calibration, so that a model made for one rig knows another."""
        canonical = json.dumps(_rounded(_to_file(self).model_dump()), sort_keys=True)
        return hashlib.sha256(canonical.encode()).hexdigest()

    @classmethod
    def from_yaml(cls, path: Path | str) -> Rig:
        """Read a rig file.

        Raises:
            SelfOccError: The file is missing, not a rig, or a camera in it is not calibrated.
        """
        content = read_yaml(Path(path), 'rig file')
        try:
            rig_file = _RigFile.model_validate(content)
            return cls(tuple(camera.to_camera() for camera in rig_file.cameras))
        except ValidationError as error:
            raise SelfOccError(f'rig file {path} is not a rig: {first_problem(error)}') from error
        except SelfOccError as error:
            raise SelfOccError(f'rig file {path}: {error}') from error

    def to_yaml(self, path: Path | str) -> None:
        """Write the rig file."""
        text = yaml.safe_dump(_to_file(self).model_dump(), sort_keys=False)
        write_atomically(Path(path), text.encode())


class _Strict(BaseModel):
    model_config = ConfigDict(extra='forbid')


class _Intrinsics(_Strict):
    fx: float
    fy: float
    cx: float
    cy: float


_Number = Annotated[float, Field(gt=-_LARGEST, lt=_LARGEST)]


class _Extrinsics(_Strict):
    translation_m: tuple[_Number, _Number, _Number]
    quaternion_xyzw: tuple[_Number, _Number, _Number, _Number]


class _Distortion(_Strict):
    model: DistortionModel = 'none'
    coefficients: tuple[float, ...] = Field(default=(), max_length=14)


class _CameraEntry(_Strict):
    name: str = Field(pattern=r'^[a-z][a-z0-9_]*$', max_length=64)
    frame_id: str = Field(max_length=256)
    width: int = Field(gt=0, le=MAX_SIDE_PX)
    height: int = Field(gt=0, le=MAX_SIDE_PX)
    intrinsics: _Intrinsics
    ego_from_camera: _Extrinsics
    distortion: _Distortion = _Distortion()

    def to_camera(self) -> Camera:
        k = self.intrinsics
        return Camera(
            name=self.name,
            frame_id=self.frame_id,
            width=self.width,
            height=self.height,
            image_from_camera=intrinsic_matrix(k.fx, k.fy, k.cx, k.cy),
            ego_from_camera=transform_from_quaternion(
                self.ego_from_camera.translation_m, self.ego_from_camera.quaternion_xyzw
            ),
            distortion_model=self.distortion.model,
            distortion=self.distortion.coefficients,
        )


class _RigFile(_Strict):
    cameras: list[_CameraEntry] = Field(max_length=64)


def _to_entry(camera: Camera) -> _CameraEntry:
    k = camera.image_from_camera
    x, y, z = (round(float(v), 9) for v in camera.ego_from_camera[:3, 3])
    qx, qy, qz, qw = _canonical_quaternion(camera.ego_from_camera)
    return _CameraEntry(
        name=camera.name,
        frame_id=camera.frame_id,
        width=camera.width,
        height=camera.height,
        intrinsics=_Intrinsics(
            fx=float(k[0, 0]), fy=float(k[1, 1]), cx=float(k[0, 2]), cy=float(k[1, 2])
        ),
        ego_from_camera=_Extrinsics(translation_m=(x, y, z), quaternion_xyzw=(qx, qy, qz, qw)),
        distortion=_Distortion(model=camera.distortion_model, coefficients=camera.distortion),
    )


def _canonical_quaternion(ego_from_camera: Transform) -> list[float]:
    """Return (x, y, z, w) with a fixed sign, also where w is zero up to rounding."""
    quaternion = np.round(quaternion_from_transform(ego_from_camera), 12)
    leading = next(value for value in quaternion[[3, 0, 1, 2]] if abs(value) > 1e-6)
    return [float(value) for value in np.copysign(1.0, leading) * quaternion + 0.0]


def _rounded(content: Any) -> Any:
    """Round numbers coarser than the rig file does, so that writing and reading change nothing."""
    if isinstance(content, dict):
        return {key: _rounded(value) for key, value in content.items()}
    if isinstance(content, (list, tuple)):
        return [_rounded(value) for value in content]
    return round(content, 6) + 0.0 if isinstance(content, float) else content


def _to_file(rig: Rig) -> _RigFile:
    return _RigFile(cameras=[_to_entry(camera) for camera in rig])


def intrinsic_matrix(fx: float, fy: float, cx: float, cy: float) -> NDArray[np.float64]:
    """Return K ``[3, 3]`` of focal lengths and principal point in pixels."""
    return np.array([[fx, 0.0, cx], [0.0, fy, cy], [0.0, 0.0, 1.0]])


# Mounting of a nuScenes-like car: x, y, z in metres, heading in degrees, horizontal field of view.
_NUSCENES_LIKE = {
    'front': (1.70, 0.0, 1.51, 0.0, 64.6),
    'front_right': (1.55, -0.49, 1.50, -55.0, 64.6),
    'front_left': (1.52, 0.49, 1.51, 55.0, 64.6),
    'back': (0.03, 0.0, 1.57, 180.0, 89.4),
    'back_left': (1.04, 0.48, 1.56, 110.0, 64.6),
    'back_right': (1.01, -0.48, 1.56, -110.0, 64.6),
}


def nuscenes_like_rig(width: int = 1600, height: int = 900) -> Rig:
    """Return six surround cameras mounted as on the nuScenes car, at any image size."""
    return Rig(tuple(_mounted(name, width, height) for name in _NUSCENES_LIKE))


def _mounted(name: str, width: int, height: int) -> Camera:
    x, y, z, heading_deg, field_of_view_deg = _NUSCENES_LIKE[name]
    focal_px = width / (2 * np.tan(np.radians(field_of_view_deg) / 2))
    return Camera(
        name=name,
        frame_id=f'camera_{name}_optical_frame',
        width=width,
        height=height,
        image_from_camera=intrinsic_matrix(
            focal_px, focal_px, (width - 1) / 2, (height - 1) * 0.54
        ),
        ego_from_camera=looking_along(heading_deg, (x, y, z)),
    )


def looking_along(heading_deg: float, position_m: tuple[float, float, float]) -> Transform:
    """Return ``ego_from_camera`` of a level camera with the given heading (left is positive)."""
    c, s = np.cos(np.radians(heading_deg)), np.sin(np.radians(heading_deg))
    ego_from_camera = np.eye(4)
    ego_from_camera[:3, :3] = np.array([[s, 0.0, c], [-c, 0.0, s], [0.0, -1.0, 0.0]])
    ego_from_camera[:3, 3] = position_m
    return ego_from_camera
