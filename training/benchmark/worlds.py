"""The drives of the benchmark: short, rendered once, only the moments whose truth is known."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from selfocc_core.cameras import Rig, nuscenes_like_rig
from selfocc_core.evaluation.occupancy import OccupancyTruth
from selfocc_core.voxels import VoxelGrid
from training.benchmark.views import TrueView, Truth, on_lattice
from training.data.synthetic.drive import DriveConfig, DriveRenderer, write_drive
from training.data.synthetic.timing import Timing, seconds_of
from training.data.synthetic.voxel_truth import DEFAULT_GRID


@dataclass(frozen=True)
class WorldSettings:
    """What a drive of the benchmark is.

    Attributes:
        seconds: Length of the drive; two moments a second have a truth.
        width, height: Size of its images in pixels.
    """

    seconds: float = 2.0
    width: int = 352
    height: int = 198

    @property
    def grid(self) -> VoxelGrid:
        """The grid on which occupancy is scored."""
        return DEFAULT_GRID

    def rig(self) -> Rig:
        """Return the cameras of the drives."""
        return nuscenes_like_rig(self.width, self.height)

    @property
    def folder(self) -> str:
        """Name of the cache folder of drives with these settings."""
        return f'{self.width}x{self.height}-{self.seconds:g}s'

    def renderer(self, seed: int) -> DriveRenderer:
        """Return a world ready to be rendered, at its keyframes only."""
        config = DriveConfig(seed, self.seconds, self.width, self.height, lidar=False)
        drive = DriveRenderer(config)
        drive.timing = KeyframeTiming(config.seconds, config.rate_hz)
        return drive


@dataclass(frozen=True)
class KeyframeTiming(Timing):
    """The frame sets of a drive that get ground truth, with the stamps they have among all."""

    @property
    def _all(self) -> Timing:
        return Timing(self.seconds, self.rate_hz, self.keyframe_hz)

    @property
    def _keyframes(self) -> list[int]:
        return [index for index in range(self._all.count) if self._all.is_keyframe(index)]

    @property
    def count(self) -> int:
        """Number of keyframes."""
        return len(self._keyframes)

    def camera_stamp_ns(self, frame_set: int, camera: str) -> int:
        """Return the shutter time of a camera in a keyframe."""
        return self._all.camera_stamp_ns(self._keyframes[frame_set], camera)

    def is_keyframe(self, frame_set: int) -> bool:
        """Tell that a keyframe is one."""
        return True

    def odometry_stamps_ns(self) -> NDArray[np.int64]:
        """Return the stamps of the odometry of the whole drive."""
        return self._all.odometry_stamps_ns()


def cached_drive(seed: int, settings: WorldSettings, cache: Path) -> Path:
    """Return the drive through a world; render it if the cache has none.

    A drive that lies in the cache is taken as it is. Remove it to have it rendered anew.

    Raises:
        SelfOccError: The drive cannot be rendered or written.
    """
    path = cache / settings.folder / f'{seed}.mcap'
    if not path.exists():
        write_drive(settings.renderer(seed), path)
    return path


def truths(seed: int, settings: WorldSettings) -> Iterator[Truth]:
    """Yield the truth of the moments of a world without rendering its images."""
    drive = settings.renderer(seed)
    scene, timing = drive.scene(), drive.timing
    if drive.voxels is None:
        raise AssertionError('a drive of the benchmark has a truth')
    for index in range(timing.count):
        views = {}
        for renderer in drive.cameras:
            name = renderer.camera.name
            time_s = seconds_of(timing.camera_stamp_ns(index, name))
            scene.move_to(time_s)
            seen = renderer.truth(scene, drive.world.ego.world_from_ego(time_s))
            views[name] = TrueView(on_lattice(seen.depth), on_lattice(seen.label))
        time_s = seconds_of(timing.reference_stamp_ns(index))
        scene.move_to(time_s)
        fields = drive.voxels.at(scene, time_s).fields()
        yield Truth(OccupancyTruth.from_points(fields, settings.grid), views)
