"""Renders a drive through a generated world and writes it as a bag."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import numpy as np
from numpy.typing import NDArray

from selfocc_core import bag_messages as messages
from selfocc_core.bags import BagWriter
from selfocc_core.cameras import Rig, nuscenes_like_rig
from selfocc_core.errors import SelfOccError
from selfocc_core.progress import track
from selfocc_core.transforms import invert
from training.data.synthetic import lidar
from training.data.synthetic.camera_renderer import CameraRenderer, Truth
from training.data.synthetic.raycaster import RayCaster
from training.data.synthetic.timing import Timing, seconds_of
from training.data.synthetic.voxel_truth import VoxelTruth, VoxelTruthMaker
from training.data.synthetic.world import Scene, World

WORLD_FRAME, EGO_FRAME = 'odom', 'base_link'
MAX_PIXELS = 1920 * 1208


@dataclass(frozen=True)
class DriveConfig:
    """What to render.

    Attributes:
        seed: number of the world.
        seconds: length of the drive.
        width, height: image size in pixels.
        rate_hz: frame sets per second.
        samples_per_pixel: 1, 4, 9 or 16.
        ground_truth: whether depth, semantics and voxels are written at 2 Hz.
        all_semantics: whether semantics are written of every frame set.
        lidar: whether LiDAR sweeps are written.
        raw: raw images instead of JPEG.
        workers: threads; 0 = one per core.
    """

    seed: int
    seconds: float = 10.0
    width: int = 352
    height: int = 198
    rate_hz: float = 10.0
    samples_per_pixel: int = 4
    ground_truth: bool = True
    lidar: bool = True
    raw: bool = False
    workers: int = 0
    all_semantics: bool = False

    def __post_init__(self) -> None:
        if not (self.width >= 16 and self.height >= 16 and self.width * self.height <= MAX_PIXELS):
            raise SelfOccError(
                f'images of {self.width}x{self.height} cannot be rendered: '
                'choose 16x16 to 1920x1208 pixels'
            )
        if not 0.5 <= self.rate_hz <= 50.0:
            raise SelfOccError(f'rate {self.rate_hz:g} Hz is out of range: choose 0.5 to 50')
        if self.workers < 0:
            raise SelfOccError(f'{self.workers} workers: choose 0 (one per core) or more')


@dataclass(frozen=True)
class RenderedFrameSet:
    """Everything rendered for one frame set.

    Attributes:
        index: number of the frame set.
        images: camera name to image [H,W,3] uint8 RGB.
        truth: camera name to depth and classes, at keyframes only.
        labels: camera name to classes [H,W] uint8, where they are wanted.
        voxels: occupancy at the reference stamp, at keyframes only.
        sweep: LiDAR returns at the reference stamp, if wanted.
    """

    index: int
    images: dict[str, NDArray[np.uint8]]
    truth: dict[str, Truth]
    labels: dict[str, NDArray[np.uint8]]
    voxels: VoxelTruth | None
    sweep: lidar.Sweep | None


class DriveRenderer:
    """Renders frame sets of one drive.

    Args:
        config: what to render.

    Raises:
        SelfOccError: a value of the configuration cannot be used.
    """

    def __init__(self, config: DriveConfig) -> None:
        self.config = config
        self.rig: Rig = nuscenes_like_rig(config.width, config.height)
        self.timing = Timing(config.seconds, config.rate_hz)
        self.cameras = [CameraRenderer(c, config.samples_per_pixel) for c in self.rig]
        self.world = World(config.seed, config.seconds)
        self._caster = RayCaster(self.world.static.vertices.astype(np.float32))
        self.voxels = VoxelTruthMaker(self.rig) if config.ground_truth else None

    def scene(self) -> Scene:
        """Return a new scene of the world, to be used by one thread at a time."""
        return Scene(self.world, self._caster)

    def frame_set(self, index: int, scene: Scene) -> RenderedFrameSet:
        """Render a frame set: each camera at its own stamp, the rest at the reference stamp."""
        config, keyframe = self.config, self.timing.is_keyframe(index)
        has_truth = keyframe and config.ground_truth
        images, truth, labels = {}, {}, {}
        for renderer in self.cameras:
            name = renderer.camera.name
            time_s = seconds_of(self.timing.camera_stamp_ns(index, name))
            scene.move_to(time_s)
            world_from_ego = self.world.ego.world_from_ego(time_s)
            images[name] = renderer.image(scene, world_from_ego)
            if has_truth or config.all_semantics:
                seen = renderer.truth(scene, world_from_ego)
                labels[name] = seen.label
                if has_truth:
                    truth[name] = seen
        time_s = seconds_of(self.timing.reference_stamp_ns(index))
        scene.move_to(time_s)
        world_from_ego = self.world.ego.world_from_ego(time_s)
        voxels = self.voxels.at(scene, time_s) if self.voxels and keyframe else None
        sweep = lidar.sweep(scene, world_from_ego) if config.lidar else None
        return RenderedFrameSet(index, images, truth, labels, voxels, sweep)

    def frame_sets(self) -> Iterator[RenderedFrameSet]:
        """Render all frame sets, in order, on the configured number of threads."""
        workers = self.config.workers or len(os.sched_getaffinity(0))
        scenes: SimpleQueue[Scene] = SimpleQueue()
        for _ in range(workers):
            scenes.put(self.scene())

        def render(index: int) -> RenderedFrameSet:
            scene = scenes.get()
            try:
                return self.frame_set(index, scene)
            finally:
                scenes.put(scene)

        with ThreadPoolExecutor(workers) as pool:
            yield from pool.map(render, range(self.timing.count))


def render_drive(config: DriveConfig, out: Path) -> None:
    """Render a drive and write it as a bag.

    Args:
        config: what to render.
        out: `*.mcap` for one file, otherwise a rosbag2 directory.

    Raises:
        SelfOccError: the configuration cannot be used or the bag cannot be written.
    """
    write_drive(DriveRenderer(config), out)


def write_drive(drive: DriveRenderer, out: Path) -> None:
    """Render a drive and write it as a bag (see `render_drive`)."""
    with BagWriter(out) as bag:
        odometry = _odometry_messages(drive)
        _write_static_transforms(bag, drive)
        for rendered in track(drive.frame_sets(), 'Rendering', total=drive.timing.count):
            _write_sorted(bag, odometry, _frame_set_messages(drive, rendered))
        _write_sorted(bag, odometry, [])


Entry = tuple[int, str, Any]


def _write_sorted(bag: BagWriter, odometry: list[Entry], entries: list[Entry]) -> None:
    """Write entries in order of time, after the odometry due before the last of them."""
    end_ns = max((stamp_ns for stamp_ns, _, _ in entries), default=2**62)
    due = [entry for entry in odometry if entry[0] <= end_ns]
    del odometry[: len(due)]
    for stamp_ns, topic, message in sorted([*due, *entries], key=lambda entry: entry[:2]):
        bag.write(topic, message, stamp_ns)


def _write_static_transforms(bag: BagWriter, drive: DriveRenderer) -> None:
    stamp_ns = int(drive.timing.odometry_stamps_ns()[0])
    children = {camera.frame_id: camera.ego_from_camera for camera in drive.rig}
    children[lidar.FRAME_ID] = lidar.ego_from_lidar()
    transforms = [
        messages.transform_stamped(EGO_FRAME, child, ego_from_child, stamp_ns)
        for child, ego_from_child in children.items()
    ]
    bag.write('/tf_static', messages.tf_message(transforms), stamp_ns)


def _odometry_messages(drive: DriveRenderer) -> list[Entry]:
    entries: list[Entry] = []
    for stamp in drive.timing.odometry_stamps_ns():
        stamp_ns = int(stamp)
        pose = drive.world.ego.world_from_ego(seconds_of(stamp_ns))
        velocity, turn_rate = _motion(drive.world, seconds_of(stamp_ns))
        transform = messages.transform_stamped(WORLD_FRAME, EGO_FRAME, pose, stamp_ns)
        entries.append((stamp_ns, '/tf', messages.tf_message([transform])))
        odometry = messages.odometry(WORLD_FRAME, pose, velocity, turn_rate, stamp_ns)
        entries.append((stamp_ns, '/odometry', odometry))
    return entries


def _motion(world: World, time_s: float) -> tuple[list[float], list[float]]:
    """Return velocity and turn rate in the ego frame by central differences over 2 ms."""
    step_s = 1e-3
    before, after = (world.ego.world_from_ego(time_s + sign * step_s) for sign in (-1, 1))
    change = (invert(before) @ after - np.eye(4)) / (2 * step_s)
    return change[:3, 3].tolist(), [change[2, 1], change[0, 2], change[1, 0]]


def _frame_set_messages(drive: DriveRenderer, rendered: RenderedFrameSet) -> list[Entry]:
    entries: list[Entry] = []
    for camera in drive.rig:
        stamp_ns = drive.timing.camera_stamp_ns(rendered.index, camera.name)
        prefix, image = f'/camera/{camera.name}', rendered.images[camera.name]
        frame = (stamp_ns, camera.frame_id)
        if drive.config.raw:
            entries.append((stamp_ns, f'{prefix}/image', messages.raw_image(image, *frame)))
        else:
            packed = messages.compressed_image(image, *frame)
            entries.append((stamp_ns, f'{prefix}/image/compressed', packed))
        info = messages.camera_info(camera, stamp_ns)
        entries.append((stamp_ns, f'{prefix}/camera_info', info))
        prefix = f'/ground_truth/{camera.name}'
        if camera.name in rendered.truth:
            depth = messages.raw_image(rendered.truth[camera.name].depth, *frame)
            entries.append((stamp_ns, f'{prefix}/depth', depth))
        if camera.name in rendered.labels:
            label = messages.raw_image(rendered.labels[camera.name], *frame)
            entries.append((stamp_ns, f'{prefix}/semantics', label))
    return entries + _reference_messages(drive, rendered)


def _reference_messages(drive: DriveRenderer, rendered: RenderedFrameSet) -> list[Entry]:
    entries: list[Entry] = []
    stamp_ns = drive.timing.reference_stamp_ns(rendered.index)
    if rendered.sweep is not None:
        fields = dict(zip('xyz', rendered.sweep.points.T, strict=True))
        fields['intensity'] = rendered.sweep.intensity
        cloud = messages.point_cloud(fields, stamp_ns, lidar.FRAME_ID)
        entries.append((stamp_ns, lidar.TOPIC, cloud))
    if rendered.voxels is not None:
        cloud = messages.point_cloud(rendered.voxels.fields(), stamp_ns, EGO_FRAME)
        entries.append((stamp_ns, '/ground_truth/voxels', cloud))
    return entries
