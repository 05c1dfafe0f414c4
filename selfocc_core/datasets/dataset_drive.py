"""A drive of a public dataset in the terms in which a bag holds it, whatever the dataset.

Calibration, poses and stamps are known at once; images, scans and truths are read from their
files one by one while the bag is written.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from selfocc_core.cameras import Camera
from selfocc_core.datasets.encoded_image import EncodedImage
from selfocc_core.datasets.voxel_truth import VoxelTruth
from selfocc_core.errors import SelfOccError
from selfocc_core.transforms import Trajectory, Transform

Content_co = TypeVar('Content_co', covariant=True)
PointFields = Mapping[str, NDArray[Any]]

_CAMERA_NAME = re.compile(r'[a-z][a-z0-9_]*')
_MOST_NAMES = 20
_END_NS = 2**31 * 10**9  # stamps of ROS end in 2038
_FARTHEST_M = 1e8  # some datasets count from the centre of the earth


@dataclass(frozen=True)
class Stamped(Generic[Content_co]):
    """What a file has of one moment.

    Attributes:
        stamp_ns: When it was taken.
        read: Reads it; raises SelfOccError if the file is missing or damaged.
    """

    stamp_ns: int
    read: Callable[[], Content_co]


@dataclass(frozen=True, eq=False)
class CameraStream:
    """What a camera took.

    Attributes:
        camera: The camera.
        images: Its images in order of time.
        depths: True depth ``[H, W]`` along the optical axis in metres, NaN where it is not known,
            at the stamps of images.
    """

    camera: Camera
    images: Sequence[Stamped[EncodedImage]]
    depths: Sequence[Stamped[NDArray[np.float32]]] = ()


@dataclass(frozen=True, eq=False)
class LidarStream:
    """What a LiDAR measured.

    Attributes:
        ego_from_lidar: Where it sits ``[4, 4]``.
        scans: Fields of its points, x, y and z first, in order of time.
    """

    ego_from_lidar: Transform
    scans: Sequence[Stamped[PointFields]]


@dataclass(frozen=True, eq=False)
class DatasetDrive:
    """A drive.

    Attributes:
        name: What the dataset calls it.
        cameras: Its cameras, the front one first.
        lidar: Its LiDAR, if there is one.
        trajectory: ``world_from_ego`` at the stamps of its source, if that is known; ego is
            ``base_link``: on the ground below the rear axle, x ahead, y left, z up.
        voxels: True voxels around the ego frame, at stamps of the first camera.
        remarks: What the tree does not have or what was put right, a sentence each.
    """

    name: str
    cameras: tuple[CameraStream, ...]
    lidar: LidarStream | None = None
    trajectory: Trajectory | None = None
    voxels: Sequence[Stamped[VoxelTruth]] = ()
    remarks: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.cameras and self.lidar is None:
            raise SelfOccError(
                f'drive "{self.name}" has neither images nor LiDAR scans: unpack them'
            )
        names = [stream.camera.name for stream in self.cameras]
        for name in names:
            if not _CAMERA_NAME.fullmatch(name) or names.count(name) > 1:
                raise SelfOccError(
                    f'camera "{name}" of drive "{self.name}" cannot have a topic of its own: give '
                    'it another name of letters, digits and underscores'
                )
        for what, stamps_ns in self._stamps_ns():
            _check_stamps(f'{what} of drive "{self.name}"', stamps_ns)
        if self.trajectory is not None:
            farthest_m = np.abs(self.trajectory.world_from_ego[:, :3, 3]).max()
            if farthest_m > _FARTHEST_M:
                raise SelfOccError(
                    f'poses of drive "{self.name}" reach {farthest_m:.1e} m: unpack them again'
                )

    def _stamps_ns(self) -> Iterator[tuple[str, Sequence[int]]]:
        for stream in self.cameras:
            yield f'camera "{stream.camera.name}"', [image.stamp_ns for image in stream.images]
        if self.lidar is not None:
            yield 'the LiDAR', [scan.stamp_ns for scan in self.lidar.scans]
        if self.trajectory is not None:
            yield 'the poses', self.trajectory.stamps_ns.tolist()
        yield 'the voxels', [truth.stamp_ns for truth in self.voxels]


def _check_stamps(what: str, stamps_ns: Sequence[int]) -> None:
    if not all(0 <= stamp_ns < _END_NS for stamp_ns in stamps_ns):
        raise SelfOccError(f'stamps of {what} are not between 1970 and 2038: correct them')
    if any(after <= before for before, after in pairwise(stamps_ns)):
        raise SelfOccError(f'stamps of {what} do not increase: unpack the drive again')


class Dataset(Protocol):
    """A tree of drives."""

    root: Path

    @property
    def drive_names(self) -> Sequence[str]:
        """The names of its drives."""

    def drive(self, name: str) -> DatasetDrive:
        """Return a drive by its name.

        Raises:
            SelfOccError: It lacks what it cannot do without, or a file is malformed.
        """


def find_drive(dataset: Dataset, name: str | None) -> DatasetDrive:
    """Return a drive by its name, or the only one.

    Raises:
        SelfOccError: There is no such drive, there are several, or it cannot be read.
    """
    names = dataset.drive_names
    if not names:
        raise SelfOccError(f'{dataset.root} has no drive: unpack it again')
    if name is None and len(names) == 1:
        return dataset.drive(names[0])
    if name is not None and name in names:
        return dataset.drive(name)
    listed = ', '.join(names[:_MOST_NAMES]) + (', ...' if len(names) > _MOST_NAMES else '')
    if name is None:
        raise SelfOccError(f'{dataset.root} has several drives, choose one with --drive: {listed}')
    raise SelfOccError(f'{dataset.root} has no drive "{name}": it has {listed}')
