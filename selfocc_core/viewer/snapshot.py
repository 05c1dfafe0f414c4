"""One moment of a drive, with what the node published for it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from selfocc_core.bag_messages import stamp_ns_of
from selfocc_core.bags import BagReader
from selfocc_core.cameras import Rig
from selfocc_core.depth import DepthImage
from selfocc_core.drive_topics import image_topic
from selfocc_core.errors import SelfOccError
from selfocc_core.evaluation.drive import Drive
from selfocc_core.evaluation.moments import frames_near, of_frames
from selfocc_core.evaluation.occupancy import occupied_voxels
from selfocc_core.evaluation.recording import Recording
from selfocc_core.frames import CameraFrame
from selfocc_core.transforms import invert
from selfocc_core.voxels import VoxelGrid, VoxelState


@dataclass(frozen=True, eq=False)
class Snapshot:
    """A moment of a drive.

    Attributes:
        seconds: Time since the drive began.
        frames: Images by camera.
        depths: Published depth images by camera.
        points: Published centres of occupied voxels ``[P, 3]`` in the ego frame; none without a
            recording.
    """

    seconds: float
    frames: Mapping[str, CameraFrame]
    depths: Mapping[str, DepthImage]
    points: NDArray[np.float64]


def snapshot(drive: Drive, recording: Recording, seconds: float | None) -> Snapshot:
    """Return the published moment nearest to a time of the drive; its middle by default.

    Raises:
        SelfOccError: The time is not in the drive, or the recording belongs to another drive.
    """
    with BagReader(drive.path) as bag:
        start_ns, end_ns = bag.start_ns, bag.end_ns
    length = (end_ns - start_ns) * 1e-9
    seconds = length / 2 if seconds is None else seconds
    if not 0 <= seconds <= length:
        raise SelfOccError(f'{seconds:g} s is not in the drive: it lasts {length:.1f} s')
    stamps_ns = sorted(recording.occupancy) or image_stamps(drive)
    stamp_ns = _nearest(stamps_ns, start_ns + round(seconds * 1e9))
    frames = frames_near(drive, [stamp_ns])[stamp_ns]
    if not frames:
        raise SelfOccError(
            f'{drive.path} has no images at the time of the recording: give the recording '
            'that was made from this drive'
        )
    depths = of_frames(frames, recording.depths)
    points = recording.occupancy.get(stamp_ns, np.empty((0, 3)))
    return Snapshot((stamp_ns - start_ns) * 1e-9, frames, depths, points)


def image_stamps(drive: Drive) -> list[int]:
    """Return the shutter times of the rig's first camera.

    Raises:
        SelfOccError: The drive has no images of it.
    """
    with BagReader(drive.path) as bag:
        messages = bag.messages([image_topic(bag, drive.rig.names[0])])
        return sorted({stamp_ns_of(message.decode()) for message in messages})


def voxel_states(moment: Snapshot, rig: Rig, grid: VoxelGrid) -> NDArray[np.uint8]:
    """Return the state of each voxel ``[X, Y, Z]``; unknown is what no depth image covers."""
    states = np.full(grid.shape, VoxelState.UNKNOWN, np.uint8)
    for name, depth in moment.depths.items():
        camera_from_ego = invert(rig[name].ego_from_camera)[:3]
        projection = depth.image_from_camera @ camera_from_ego
        height, width = depth.depth_m.shape
        states[grid.visible_from(projection[None], (height, width))] = VoxelState.FREE
    states[occupied_voxels(moment.points, grid)] = VoxelState.OCCUPIED
    return states


def _nearest(stamps_ns: Sequence[int], stamp_ns: int) -> int:
    return min(stamps_ns, key=lambda candidate_ns: abs(candidate_ns - stamp_ns))
