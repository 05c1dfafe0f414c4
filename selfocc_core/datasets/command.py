"""The verb ``selfocc convert``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from tyro.conf import arg

from selfocc_core.errors import SelfOccError

if TYPE_CHECKING:
    from selfocc_core.datasets.dataset_drive import Dataset, DatasetDrive


@dataclass(frozen=True)
class Convert:
    """Write a drive of a public dataset as a ROS 2 bag.

    Images, calibration, /tf_static, odometry and LiDAR, and the truth on depth and voxels where
    the tree has it; images go in as they are. What a tree lacks is said and left out.

    Example: a scene of nuScenes with the voxels of Occ3D, a drive of KITTI raw

        selfocc convert --from nuscenes --root /data/nuscenes --drive scene-0061 --out drive.mcap
        selfocc convert --from kitti-raw --root /data/kitti --out drive.mcap
    """

    dataset: Annotated[Literal['nuscenes', 'kitti-raw', 'semantickitti', 'dgp'], arg(name='from')]
    """Whose layout the tree has; dgp is that of DDAD."""
    root: Path
    """Folder of the tree."""
    out: Path
    """Bag to write: a .mcap file, or a directory for a rosbag2 with metadata.yaml."""
    drive: str | None = None
    """Drive, scene or sequence; may be left out if the tree has only one."""

    def run(self) -> None:
        """Write the bag.

        Raises:
            SelfOccError: The tree or the drive cannot be used, or the bag cannot be written.
        """
        try:
            self._convert()
        except SelfOccError as error:
            raise SelfOccError(_printable(str(error))) from error

    def _convert(self) -> None:
        from selfocc_core.datasets.dataset_drive import find_drive
        from selfocc_core.datasets.drive_writer import write_drive

        drive = find_drive(_readers()[self.dataset](self.root), self.drive)
        for remark in drive.remarks:
            print(_printable(f'{drive.name}: {remark}'))
        write_drive(drive, self.out)
        print(_printable(f'{self.out}: {drive.name}, {_contents(drive)}'))


def _printable(text: str) -> str:
    """Return a text without what a table's names could do to a terminal."""
    return ''.join(letter if letter.isprintable() else '?' for letter in text)


def _readers() -> Mapping[str, Callable[[Path], Dataset]]:
    from selfocc_core.datasets.dgp import Dgp
    from selfocc_core.datasets.kitti_raw import KittiRaw
    from selfocc_core.datasets.nuscenes import NuScenes
    from selfocc_core.datasets.semantic_kitti import SemanticKitti

    return {
        'nuscenes': NuScenes,
        'kitti-raw': KittiRaw,
        'semantickitti': SemanticKitti,
        'dgp': Dgp,
    }


def _contents(drive: DatasetDrive) -> str:
    counts = {
        'cameras': len(drive.cameras),
        'images': sum(len(stream.images) for stream in drive.cameras),
        'scans': len(drive.lidar.scans) if drive.lidar else 0,
        'poses': len(drive.trajectory.stamps_ns) if drive.trajectory else 0,
        'depth images': sum(len(stream.depths) for stream in drive.cameras),
        'voxel grids': len(drive.voxels),
    }
    return ', '.join(f'{count} {what}' for what, count in counts.items() if count)
