"""Sequences of SemanticKITTI, with the images of KITTI odometry where they are unpacked.

Layout of a tree; all but ``calib.txt`` and ``times.txt`` may be missing::

    sequences/00/calib.txt, times.txt, poses.txt (rectified camera 0)
    sequences/00/image_2/000000.png
    sequences/00/velodyne/000000.bin, labels/000000.label
    sequences/00/voxels/000000.label, 000000.invalid

Scans have the field ``label`` where they are labelled: an index into ``CLASS_NAMES``, 255 for
nothing; finer classes and instances stay in the dataset. Of the voxels those that the benchmark
scores are ``visible``: all but the invalid ones, whatever a camera sees; of sequences without
``.label`` there is no truth, ``.bin`` and ``.occluded`` are not read. The ego frame is described
in ``selfocc_core.datasets.kitti``; the world is the first ego frame. Scans are not compensated
for motion.

The clock of a bag is 1 s ahead of ``times.txt``, which begins at 0: for ROS, a stamp of 0 is none.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from selfocc_core.datasets.dataset_drive import CameraStream, DatasetDrive, LidarStream, Stamped
from selfocc_core.datasets.encoded_image import read_encoded_image, read_image_of
from selfocc_core.datasets.kitti import (
    CAMERA_NAMES,
    EGO_FROM_LIDAR,
    CalibrationFile,
    camera_of,
    check_without_holes,
    numbered_files,
    read_poses,
    read_scan,
    read_seconds_ns,
    world_from_ego,
)
from selfocc_core.datasets.semantic_kitti_classes import NO_CLASS, classes_of, is_scored
from selfocc_core.datasets.tree_files import read_records
from selfocc_core.datasets.voxel_truth import VoxelTruth
from selfocc_core.errors import SelfOccError
from selfocc_core.files import read_bytes
from selfocc_core.transforms import Trajectory, Transform, invert
from selfocc_core.voxels import VoxelGrid

_SEQUENCE = re.compile(r'\d\d', re.ASCII)
_FIRST_NS = 10**9

_SHAPE = (256, 256, 32)
_LOW_M, _HIGH_M = (0.0, -25.6, -2.0), (51.2, 25.6, 4.4)  # in the frame of the LiDAR


def _grid() -> VoxelGrid:
    """Return the grid of the dataset in the ego frame, whose axes are those of the LiDAR."""
    offset_m = EGO_FROM_LIDAR[:3, 3]
    low, high = (tuple((np.array(c) + offset_m).tolist()) for c in (_LOW_M, _HIGH_M))
    return VoxelGrid(low, high, _SHAPE)


GRID = _grid()


class SemanticKitti:
    """A tree of sequences.

    Args:
        root: Folder with ``sequences``, with sequences, or one of a sequence.

    Raises:
        SelfOccError: There is no sequence in it.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        absolute = root.absolute()
        folders = (absolute, *absolute.glob('*'), *absolute.glob('sequences/*'))
        self._sequences = {
            f.name: f
            for f in folders
            if _SEQUENCE.fullmatch(f.name) and (f / 'calib.txt').is_file()
        }
        if not self._sequences:
            raise SelfOccError(
                f'{root} is not a tree of SemanticKITTI: it has no sequences/00/calib.txt or the '
                'like'
            )

    @property
    def drive_names(self) -> Sequence[str]:
        """Names of two digits."""
        return sorted(self._sequences)

    def drive(self, name: str) -> DatasetDrive:
        """Return a sequence.

        Raises:
            SelfOccError: Its calibration or another file is missing or malformed, or it has
                neither images nor scans.
        """
        return _SequenceReading(self._sequences[name]).drive()


class _SequenceReading:
    """A pass over the files of a sequence that keeps account of what is not there."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._seconds_ns = read_seconds_ns(folder / 'times.txt')
        self._stamps_ns = (self._seconds_ns + _FIRST_NS).tolist()
        self._calibration = CalibrationFile(folder / 'calib.txt')
        camera0_from_lidar = np.eye(4)
        camera0_from_lidar[:3] = self._calibration.get('Tr', 3, 4)
        self._camera0_from_ego: Transform = camera0_from_lidar @ invert(EGO_FROM_LIDAR)
        self._remarks: list[str] = []

    def drive(self) -> DatasetDrive:
        found = {number: self._camera(number) for number in CAMERA_NAMES}
        cameras = tuple(stream for stream in found.values() if stream is not None)
        missing = [f'image_{number}' for number, stream in found.items() if stream is None]
        if missing:
            self._remarks.append(
                f'no images of {", ".join(missing)}: the bag has none, KITTI odometry has them'
            )
        lidar, trajectory, voxels = self._lidar(), self._trajectory(), self._voxels()
        return DatasetDrive(
            self._folder.name, cameras, lidar, trajectory, voxels, tuple(self._remarks)
        )

    def _camera(self, number: int) -> CameraStream | None:
        files = self._files(f'image_{number}', '.png', '.jpg')
        if not files:
            return None
        check_without_holes(files)
        first = read_encoded_image(next(iter(files.values())))  # the calibration has no size
        camera = camera_of(
            CAMERA_NAMES[number],
            self._calibration.get(f'P{number}', 3, 4),
            self._camera0_from_ego,
            first.width,
            first.height,
        )
        images = [
            Stamped(self._stamps_ns[n], partial(read_image_of, camera, files[n])) for n in files
        ]
        return CameraStream(camera, images)

    def _lidar(self) -> LidarStream | None:
        files, labels = self._files('velodyne', '.bin'), self._files('labels', '.label')
        if not files:
            self._remarks.append('no LiDAR in this sequence: the bag has none')
            return None
        if not labels.keys() >= files.keys():
            known = len(labels.keys() & files.keys())
            self._remarks.append(f'labels of {known} of {len(files)} scans: the bag has no others')
        scans = [
            Stamped(self._stamps_ns[n], partial(_read_labelled_scan, files[n], labels.get(n)))
            for n in files
        ]
        return LidarStream(EGO_FROM_LIDAR, scans)

    def _trajectory(self) -> Trajectory | None:
        path = self._folder / 'poses.txt'
        if not path.exists():
            self._remarks.append('no poses.txt in this sequence: the bag has no odometry')
            return None
        world_from_camera0 = read_poses(path, len(self._stamps_ns))
        poses = world_from_ego(world_from_camera0, self._camera0_from_ego)
        return Trajectory(self._seconds_ns + _FIRST_NS, poses)

    def _voxels(self) -> list[Stamped[VoxelTruth]]:
        labels, invalid = self._files('voxels', '.label'), self._files('voxels', '.invalid')
        if not labels:
            self._remarks.append('no labelled voxels in this sequence: the bag has none')
        for number, path in labels.items():
            if number not in invalid:
                raise SelfOccError(
                    f'voxels {path} have no {path.stem}.invalid beside them: unpack them again'
                )
        return [
            Stamped(self._stamps_ns[n], partial(read_voxels, labels[n], invalid[n]))
            for n in labels
        ]

    def _files(self, name: str, *suffixes: str) -> dict[int, Path]:
        """Return the files of a folder by their frame."""
        places = ((self._folder / name, suffix) for suffix in suffixes)
        return numbered_files(len(self._stamps_ns), *places)


def _read_labelled_scan(path: Path, label_path: Path | None) -> dict[str, NDArray[Any]]:
    scan: dict[str, NDArray[Any]] = {**read_scan(path)}
    if label_path is None:
        return scan
    numbers = read_records(label_path, np.uint32, 1, 'labels')[:, 0] & 0xFFFF  # above: instances
    if len(numbers) != len(scan['x']):
        raise SelfOccError(
            f'labels {label_path} are {len(numbers)} for {len(scan["x"])} points: unpack both '
            'again'
        )
    return {**scan, 'label': classes_of(numbers, label_path)}


def read_voxels(label_path: Path, invalid_path: Path) -> VoxelTruth:
    """Read the voxels of a scan.

    Args:
        label_path: Numbers of the classes of all voxels, 0 where there is nothing.
        invalid_path: A bit for each voxel: nobody has seen it.

    Raises:
        SelfOccError: A file is missing, has another size, or numbers that are no classes.
    """
    numbers = read_records(label_path, np.uint16, 1, 'voxels')[:, 0]
    packed = np.frombuffer(read_bytes(invalid_path, 'voxels'), np.uint8)
    for path, voxels in ((label_path, len(numbers)), (invalid_path, 8 * len(packed))):
        if voxels != np.prod(_SHAPE):
            raise SelfOccError(f'voxels {path} are {voxels}, not 256x256x32: unpack them again')
    labels = classes_of(numbers, label_path).reshape(_SHAPE)
    scored = is_scored(numbers) & ~np.unpackbits(packed).astype(bool)
    return VoxelTruth(GRID, labels != NO_CLASS, labels, scored.reshape(_SHAPE))
