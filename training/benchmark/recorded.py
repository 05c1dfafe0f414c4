"""A drive of the benchmark, read back: frame sets with their truth."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from selfocc_core.bag_messages import decode_float, decode_mono, stamp_ns_of
from selfocc_core.bags import BagReader
from selfocc_core.cameras import Rig
from selfocc_core.errors import SelfOccError
from selfocc_core.evaluation.drive import Drive, read_drive
from selfocc_core.evaluation.moments import frames_near
from selfocc_core.evaluation.occupancy import Voxels
from selfocc_core.evaluation.truth import VOXELS_TOPIC, occupancy_truths
from selfocc_core.frames import FrameSet
from selfocc_core.transforms import Trajectory
from selfocc_core.voxels import VoxelGrid
from training.benchmark.views import TrueView, Truth, on_lattice


@dataclass(frozen=True, eq=False)
class Moment:
    """A frame set whose truth is known."""

    frame_set: FrameSet
    truth: Truth


@dataclass(frozen=True, eq=False)
class RecordedWorld:
    """A drive with its moments, in order of time."""

    rig: Rig
    trajectory: Trajectory | None
    moments: tuple[Moment, ...]


def read_world(path: Path, grid: VoxelGrid) -> RecordedWorld:
    """Read every moment of a drive whose voxels are known.

    Images carry their own stamps; each camera contributes its image nearest to the moment.

    Raises:
        SelfOccError: The drive is damaged, or has no truth.
    """
    drive = read_drive(path)
    if VOXELS_TOPIC not in drive.topics:
        raise SelfOccError(f'drive {path} has no truth: remove it, so that it is rendered anew')
    occupancy = dict(occupancy_truths(drive, grid))
    frames = frames_near(drive, sorted(occupancy))
    views = dict(_views(drive))
    moments = tuple(
        Moment(
            FrameSet(stamp_ns, of_moment),
            Truth(
                occupancy[stamp_ns],
                {
                    name: views[name, frame.stamp_ns]
                    for name, frame in of_moment.items()
                    if (name, frame.stamp_ns) in views
                },
            ),
        )
        for stamp_ns, of_moment in frames.items()
    )
    return RecordedWorld(drive.rig, drive.trajectory, moments)


def seen_by(world: RecordedWorld, cameras: Sequence[str], grid: VoxelGrid) -> RecordedWorld:
    """Return what some of the cameras see of a world; without names the world as it is.

    Voxels count that are visible to the rig and lie in the image of one of these cameras, for the
    vehicle at rest.

    Raises:
        SelfOccError: The rig has no such camera.
    """
    if not cameras:
        return world
    unknown = set(cameras) - set(world.rig.names)
    if unknown:
        raise SelfOccError(
            f'the worlds have no camera "{min(unknown)}": choose {", ".join(world.rig.names)}'
        )
    rig = Rig(tuple(camera for camera in world.rig if camera.name in cameras))
    in_image = np.zeros(grid.shape, bool)
    for camera in rig:
        in_image |= grid.visible_from(camera.image_from_ego[None], (camera.height, camera.width))
    return replace(world, rig=rig, moments=tuple(_seen(m, rig, in_image) for m in world.moments))


def _seen(moment: Moment, rig: Rig, in_image: Voxels) -> Moment:
    frames = {name: f for name, f in moment.frame_set.frames.items() if name in rig.names}
    views = {name: view for name, view in moment.truth.views.items() if name in rig.names}
    occupancy = moment.truth.occupancy
    occupancy = replace(occupancy, visible=np.asarray(occupancy.visible & in_image, bool))
    return Moment(replace(moment.frame_set, frames=frames), Truth(occupancy, views))


def _views(drive: Drive) -> Iterator[tuple[tuple[str, int], TrueView]]:
    """Yield what the cameras see, by name and shutter time."""
    depths, labels = {}, {}
    topics = {
        f'/ground_truth/{name}/{kind}': (name, kind)
        for name in drive.rig.names
        for kind in ('depth', 'semantics')
    }
    with BagReader(drive.path) as bag:
        for bag_message in bag.messages([topic for topic in topics if topic in bag.topics]):
            message, (name, kind) = bag_message.decode(), topics[bag_message.topic]
            if kind == 'depth':
                depths[name, stamp_ns_of(message)] = on_lattice(decode_float(message))
            else:
                labels[name, stamp_ns_of(message)] = on_lattice(decode_mono(message))
    for key in depths.keys() & labels.keys():
        yield key, TrueView(depths[key], labels[key])
