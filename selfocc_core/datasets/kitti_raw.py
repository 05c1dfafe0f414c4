"""Drives of KITTI raw, synchronised and rectified as KITTI publishes them.

Layout of a tree; only the calibration of the day is needed in any case::

    2011_09_26/calib_cam_to_cam.txt, calib_velo_to_cam.txt, calib_imu_to_velo.txt
    2011_09_26/2011_09_26_drive_0013_sync/image_02/timestamps.txt, data/0000000000.png
    2011_09_26/2011_09_26_drive_0013_sync/oxts/timestamps.txt, data/0000000000.txt
    2011_09_26/2011_09_26_drive_0013_sync/velodyne_points/timestamps.txt, data/0000000000.bin
    2011_09_26/2011_09_26_drive_0013_sync/proj_depth/groundtruth/image_02/0000000005.png

Scans may also be in this project's compact form, ``data_npz/0000000000.npz`` beside ``data``. The
official depth (``proj_depth``) may also lie as it is unpacked, in ``train`` or ``val`` below
the root or its folder ``data_depth_annotated``.

Every image, scan and pose keeps its own stamp: the poses are those of ``oxts``, up to 14 ms off
the images, and are interpolated by who reads the bag. Scans are not compensated for motion. The
ego frame is described in ``selfocc_core.datasets.kitti``; the world begins at the first pose, its
x is east, its y north.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from selfocc_core.cameras import Camera
from selfocc_core.datasets.dataset_drive import (
    CameraStream,
    DatasetDrive,
    LidarStream,
    Stamped,
)
from selfocc_core.datasets.encoded_image import read_image_of
from selfocc_core.datasets.kitti import (
    CAMERA_NAMES,
    EGO_FROM_LIDAR,
    CalibrationFile,
    camera_of,
    check_without_holes,
    numbered_files,
    read_dates_ns,
    read_scan,
)
from selfocc_core.datasets.oxts import read_oxts
from selfocc_core.datasets.tree_files import read_npz_array
from selfocc_core.errors import SelfOccError
from selfocc_core.transforms import Trajectory, invert

_DRIVE = re.compile(r'\d{4}_\d\d_\d\d_drive_\d{4}_sync', re.ASCII)
_DEPTH_PARENTS = ('train', 'val', 'data_depth_annotated/train', 'data_depth_annotated/val')
_DEPTH_UNITS_PER_M = 256.0


class KittiRaw:
    """A tree of drives.

    Args:
        root: Folder with folders of days, a folder of a day, or one of a drive.

    Raises:
        SelfOccError: There is no drive in it.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        absolute = root.absolute()  # a drive given as "." has a name too
        folders = (absolute, *sorted(absolute.glob('*')), *sorted(absolute.glob('*/*')))
        self._drives = {f.name: f for f in folders if _DRIVE.fullmatch(f.name) and _has_data(f)}
        if not self._drives:
            raise SelfOccError(
                f'{root} is not a tree of KITTI raw: it has no drive such as '
                '2011_09_26/2011_09_26_drive_0001_sync'
            )

    @property
    def drive_names(self) -> Sequence[str]:
        """Names such as ``2011_09_26_drive_0013_sync``."""
        return sorted(self._drives)

    def drive(self, name: str) -> DatasetDrive:
        """Return a drive.

        Raises:
            SelfOccError: Its calibration or another file is missing or malformed, an image is
                missing between others, or it has neither images nor scans.
        """
        return _DriveReading(self.root, self._drives[name]).drive()


def _has_data(folder: Path) -> bool:
    parts = ('velodyne_points', *(_image_folder(number) for number in CAMERA_NAMES))
    return any((folder / part).is_dir() for part in parts)


def _image_folder(number: int) -> str:
    return f'image_{number:02d}'


class _DriveReading:
    """A pass over the files of a drive that keeps account of what is not there."""

    def __init__(self, root: Path, folder: Path) -> None:
        self._root, self._folder = root, folder
        self._remarks: list[str] = []

    def drive(self) -> DatasetDrive:
        found = {number: self._camera(number) for number in CAMERA_NAMES}
        cameras = tuple(stream for stream in found.values() if stream is not None)
        missing = [_image_folder(number) for number, stream in found.items() if stream is None]
        if missing:
            self._remarks.append(f'no images of {", ".join(missing)}: the bag has none')
        lidar, trajectory = self._lidar(), self._trajectory()
        if not any(stream.depths for stream in cameras):
            self._remarks.append('no official depth (proj_depth) in this tree: the bag has none')
        return DatasetDrive(
            self._folder.name, cameras, lidar, trajectory, remarks=tuple(self._remarks)
        )

    def _camera(self, number: int) -> CameraStream | None:
        folder = self._folder / _image_folder(number)
        stamps_ns, files = self._frames(folder, 'images', ('data', '.png'), ('data', '.jpg'))
        if not files:
            return None
        check_without_holes(files)
        camera = self._calibrated(number)
        images = [Stamped(stamps_ns[n], partial(read_image_of, camera, files[n])) for n in files]
        truths = numbered_files(len(stamps_ns), (self._depth_folder(number), '.png'))
        depths = [
            Stamped(stamps_ns[n], partial(read_depth, camera, truths[n]))
            for n in truths
            if n in files
        ]
        return CameraStream(camera, images, depths)

    def _frames(
        self, folder: Path, what: str, *places: tuple[str, str]
    ) -> tuple[list[int], dict[int, Path]]:
        """Return the stamps of all frames and the files of those that the tree has."""
        if not any(any((folder / name).glob(f'*{suffix}')) for name, suffix in places):
            return [], {}
        stamps_ns = read_dates_ns(folder / 'timestamps.txt').tolist()
        files = numbered_files(
            len(stamps_ns), *((folder / name, suffix) for name, suffix in places)
        )
        if len(files) < len(stamps_ns):
            self._remarks.append(
                f'{len(files)} of {len(stamps_ns)} {what} in {folder.name}: the bag has no others'
            )
        return stamps_ns, files

    def _calibrated(self, number: int) -> Camera:
        calibration = CalibrationFile(self._folder.parent / 'calib_cam_to_cam.txt')
        rectified_from_camera0 = np.eye(4)
        rectified_from_camera0[:3, :3] = calibration.get('R_rect_00', 3, 3)
        lidar = CalibrationFile(self._folder.parent / 'calib_velo_to_cam.txt')
        width, height = calibration.get(f'S_rect_{number:02d}', 2)
        return camera_of(
            CAMERA_NAMES[number],
            calibration.get(f'P_rect_{number:02d}', 3, 4),
            rectified_from_camera0 @ lidar.rigid() @ invert(EGO_FROM_LIDAR),
            int(width),
            int(height),
        )

    def _depth_folder(self, number: int) -> Path:
        parents = (self._root / parent / self._folder.name for parent in _DEPTH_PARENTS)
        truth = Path('proj_depth', 'groundtruth', _image_folder(number))
        candidates = [parent / truth for parent in (self._folder, *parents)]
        return next((folder for folder in candidates if folder.is_dir()), candidates[0])

    def _lidar(self) -> LidarStream | None:
        folder = self._folder / 'velodyne_points'
        stamps_ns, files = self._frames(folder, 'scans', ('data', '.bin'), ('data_npz', '.npz'))
        if not files:
            self._remarks.append('no LiDAR in this drive: the bag has none')
            return None
        scans = [Stamped(stamps_ns[n], partial(_read_scan, path)) for n, path in files.items()]
        return LidarStream(EGO_FROM_LIDAR, scans)

    def _trajectory(self) -> Trajectory | None:
        folder = self._folder / 'oxts'
        imu = read_oxts(folder) if folder.is_dir() else None
        if imu is None:
            self._remarks.append('no poses (oxts) in this drive: the bag has no odometry')
            return None
        lidar_from_imu = CalibrationFile(self._folder.parent / 'calib_imu_to_velo.txt').rigid()
        imu_from_ego = invert(EGO_FROM_LIDAR @ lidar_from_imu)
        return Trajectory(imu.stamps_ns, imu.world_from_ego @ imu_from_ego)


def _read_scan(path: Path) -> dict[str, NDArray[np.float32]]:
    return read_scan(path) if path.suffix == '.bin' else read_compact_scan(path)


def read_compact_scan(path: Path) -> dict[str, NDArray[np.float32]]:
    """Return the points of a scan in this project's compact form: x, y and z ``[P]``.

    Args:
        path: A ``.npz`` with the differences of successive points ``dxyz`` ``[3, P]`` as integers,
            in units of ``step`` metres.

    Raises:
        SelfOccError: The file is missing or damaged, or has other arrays.
    """
    differences = read_npz_array(path, 'dxyz', 'scan')
    step_m = read_npz_array(path, 'step', 'scan')
    is_scan = differences.dtype.kind == 'i' and differences.ndim == 2 and len(differences) == 3
    if not is_scan or step_m.size != 1:
        raise SelfOccError(f'scan {path} has no differences [3, P] of points: unpack it again')
    points = np.cumsum(differences.astype(np.int64), axis=1) * float(step_m)
    return dict(zip('xyz', points.astype(np.float32), strict=True))


def read_depth(camera: Camera, path: Path) -> NDArray[np.float32]:
    """Return the official depth ``[H, W]`` of an image in metres, NaN where there is none.

    Raises:
        SelfOccError: The file is missing or damaged, or of another size than the image.
    """
    encoded = read_image_of(camera, path)
    try:
        stored = cv2.imdecode(encoded.data, cv2.IMREAD_UNCHANGED)
    except cv2.error:
        stored = None
    if stored is None or stored.dtype != np.uint16 or stored.ndim != 2:
        raise SelfOccError(f'depth {path} is not a grey PNG of 16 bits: unpack it again')
    depth_m = stored.astype(np.float32) / _DEPTH_UNITS_PER_M
    depth_m[stored == 0] = np.nan
    return np.asarray(depth_m, np.float32)
