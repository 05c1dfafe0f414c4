"""How data sets score labelled voxels: Occ3D-nuScenes and SemanticKITTI, by name.

Both count over the whole set before any ratio is taken. They differ in the classes, in what is
left out and in what a class counts that never occurs.
"""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from selfocc_core.errors import SelfOccError
from selfocc_core.evaluation.accumulation import Frame
from selfocc_core.evaluation.occupancy import Voxels
from selfocc_core.evaluation.ray_iou import TrueHits
from selfocc_core.evaluation.semantic_iou import Absent, Labels, SemanticClasses, SemanticIou
from selfocc_core.voxels import VoxelGrid

Mask = Literal['camera', 'lidar', 'none']

INVALID = 255
"""Label of voxels of SemanticKITTI that are not scored."""

_OCC3D_ARRAYS = ('semantics', 'mask_camera', 'mask_lidar')
_MAX_FILE_BYTES = 64 * 2**20


@dataclass(frozen=True)
class VoxelProtocol:
    """How the labelled voxels of a data set are scored.

    Attributes:
        name: What tables call it.
        source: Who defined it.
        grid: Grid of the labels.
        classes: Classes of occupied voxels.
        free: Label of free space: in front of the classes (0) or behind them.
        absent: What a class counts in the mean that is neither true nor predicted anywhere.
    """

    name: str
    source: str
    grid: VoxelGrid
    classes: SemanticClasses
    free: int
    absent: Absent

    def split(self, labels: NDArray[np.integer]) -> tuple[Labels, Voxels]:
        """Return class and occupancy of labels ``[X, Y, Z]`` of the data set.

        Raises:
            SelfOccError: The labels are on another grid.
        """
        if labels.shape != self.grid.shape:
            raise SelfOccError(
                f'voxels of shape {labels.shape} are none of {self.name}, which has '
                f'{self.grid.shape}: resample the prediction to its grid'
            )
        of_class = np.where(labels == INVALID, INVALID, labels - (0 if self.free else 1))
        return of_class.astype(np.uint8), np.asarray(labels != self.free, bool)


class LabelScores(SemanticIou):
    """Accumulates labelled voxels under a protocol: IoU, precision, recall, mean IoU.

    Args:
        protocol: How they are scored.
    """

    def __init__(self, protocol: VoxelProtocol) -> None:
        super().__init__(protocol.classes, protocol.absent)
        self._protocol = protocol

    @property
    def settings(self) -> object:
        """The protocol."""
        return self._protocol

    def add_labels(
        self,
        predicted: NDArray[np.integer],
        true: NDArray[np.integer],
        mask: Voxels,
        regions: Mapping[str, Voxels] | None = None,
        frame: Frame | None = None,
    ) -> None:
        """Take a moment.

        Args:
            predicted: Predicted labels ``[X, Y, Z]`` of the data set.
            true: True labels ``[X, Y, Z]``.
            mask: Voxels that count ``[X, Y, Z]``.
            regions: Voxels ``[X, Y, Z]`` that are also scored by themselves.
            frame: Drive and stamp of the moment.

        Raises:
            SelfOccError: The grid is another, or a label is unknown.
        """
        self.add(
            *self._protocol.split(predicted), *self._protocol.split(true), mask, regions, frame
        )


OCC3D = VoxelProtocol(
    'occ3d',
    'Tian et al. 2023 (Occ3D, arXiv 2304.14365), section 5.1, and their evaluation',
    VoxelGrid((-40.0, -40.0, -1.0), (40.0, 40.0, 5.4), (200, 200, 16)),
    SemanticClasses(
        (
            'others', 'barrier', 'bicycle', 'bus', 'car', 'construction_vehicle', 'motorcycle',
            'pedestrian', 'traffic_cone', 'trailer', 'truck', 'driveable_surface', 'other_flat',
            'sidewalk', 'terrain', 'manmade', 'vegetation',
        ),
        others='others',
        other_flat='other_flat',
    ),
    free=17,
    absent='left_out',
)  # fmt: skip

# Label of the data set: class of the benchmark. What is missing here is not scored: unlabelled but
# occupied (outlier, other structure, other object). Moving things count as the standing ones.
_SEMANTICKITTI_LABELS = {
    'car': (10, 252),
    'bicycle': (11,),
    'motorcycle': (15,),
    'truck': (18, 258),
    'other-vehicle': (13, 16, 20, 256, 257, 259),
    'person': (30, 254),
    'bicyclist': (31, 253),
    'motorcyclist': (32, 255),
    'road': (40, 60),
    'parking': (44,),
    'sidewalk': (48,),
    'other-ground': (49,),
    'building': (50,),
    'fence': (51,),
    'vegetation': (70,),
    'trunk': (71,),
    'terrain': (72,),
    'pole': (80,),
    'traffic-sign': (81,),
}

SEMANTICKITTI = VoxelProtocol(
    'semantickitti',
    'Behley et al. 2019 (SemanticKITTI, arXiv 1904.01416), section 5, and their evaluation',
    VoxelGrid((0.0, -25.6, -2.0), (51.2, 25.6, 4.4), (256, 256, 32)),
    SemanticClasses(tuple(_SEMANTICKITTI_LABELS)),
    free=0,
    absent='zero',
)

VOXEL_PROTOCOLS = {protocol.name: protocol for protocol in (OCC3D, SEMANTICKITTI)}


@dataclass(frozen=True, eq=False)
class Occ3dTruth:
    """The voxels of one sample of Occ3D-nuScenes.

    Attributes:
        labels: Labels ``[200, 200, 16]`` uint8; 17 is free.
        mask_camera: Voxels that a camera observes.
        mask_lidar: Voxels that the LiDAR observes.
    """

    labels: Labels
    mask_camera: Voxels
    mask_lidar: Voxels

    @classmethod
    def load(cls, path: Path) -> Occ3dTruth:
        """Read a ``labels.npz``.

        Raises:
            SelfOccError: It is missing, damaged or something else.
        """
        try:
            with zipfile.ZipFile(path) as archive:
                labels, camera, lidar = (_occ3d_array(archive, name) for name in _OCC3D_ARRAYS)
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
            raise SelfOccError(
                f'{path} holds no Occ3D voxels, or is missing: unpack the labels again'
            ) from error
        return cls(labels, camera > 0, lidar > 0)

    def mask(self, kind: Mask) -> Voxels:
        """Return the voxels that count."""
        return {
            'camera': self.mask_camera,
            'lidar': self.mask_lidar,
            'none': np.ones(self.labels.shape, bool),
        }[kind]

    def hits(self, origins: NDArray[np.float64]) -> TrueHits:
        """Return the rays of RayIoU from ``origins`` ``[T, 3]``; no mask limits them."""
        return TrueHits.of_labels(*OCC3D.split(self.labels), OCC3D.grid, origins)


def _occ3d_array(archive: zipfile.ZipFile, name: str) -> Labels:
    """Return an array of an archive ``.npz`` whose size was looked at before it is unpacked."""
    member = archive.getinfo(f'{name}.npy')
    if member.file_size > 2 * np.prod(OCC3D.grid.shape):
        raise ValueError(f'{name} is too large')
    array = np.load(BytesIO(archive.read(member)), allow_pickle=False)
    if array.shape != OCC3D.grid.shape or array.dtype != np.uint8:
        raise ValueError(f'{name} is {array.shape} {array.dtype}')
    return np.asarray(array, np.uint8)


def semantickitti_classes(raw: NDArray[np.uint16]) -> Labels:
    """Return the classes of the benchmark of labels ``[...]`` of the data set.

    0 is empty, 1 to 19 are the classes, 255 (``INVALID``) is what is occupied by none of them.
    """
    table = np.full(2**16, INVALID, np.uint8)
    table[0] = 0
    for index, raw_labels in enumerate(_SEMANTICKITTI_LABELS.values(), start=1):
        table[list(raw_labels)] = index
    return np.asarray(table[raw], np.uint8)


def read_semantickitti(path: Path) -> tuple[Labels, Voxels]:
    """Read the true voxels of a scan.

    Args:
        path: Its ``voxels/000000.label``; ``000000.invalid`` lies beside it.

    Returns:
        Classes ``[256, 256, 32]`` and the voxels that count: neither invalid, as no ray of any
        scan of the sequence reaches them, nor without a class.

    Raises:
        SelfOccError: A file is missing or damaged.
    """
    shape = SEMANTICKITTI.grid.shape
    invalid_path = path.with_suffix('.invalid')
    raw = np.frombuffer(_read(path), '<u2')
    invalid = np.unpackbits(np.frombuffer(_read(invalid_path), np.uint8))
    if raw.size != np.prod(shape) or invalid.size != raw.size:
        raise SelfOccError(
            f'voxels {path} or {invalid_path.name} are damaged: unpack the sequence again'
        )
    labels = semantickitti_classes(raw).reshape(shape)
    return labels, np.asarray((labels != INVALID) & (invalid.reshape(shape) == 0), bool)


def _read(path: Path) -> bytes:
    try:
        if path.stat().st_size > _MAX_FILE_BYTES:
            raise SelfOccError(f'voxels {path} are larger than 64 MiB: is it the right file?')
        return path.read_bytes()
    except OSError as error:
        raise SelfOccError(f'voxels {path} cannot be read: unpack the sequence again') from error
