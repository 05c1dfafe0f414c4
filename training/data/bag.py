"""Recorded drives as training clips: the user's own rosbag2.

What cannot be used of a drive is left out, counted and said in one line; a drive of which too
little remains is refused.
"""

from __future__ import annotations

import logging
import os
from collections import Counter, deque
from collections.abc import Collection, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any

import numpy as np

from selfocc_core.bag_messages import decode_image, stamp_ns_of
from selfocc_core.bags import BagMessage, BagReader
from selfocc_core.drive_topics import image_topic
from selfocc_core.errors import SelfOccError
from selfocc_core.frames import Image
from selfocc_core.rig_from_bag import rig_from_bag
from selfocc_core.synchronizer import SynchronizedSet, Synchronizer
from selfocc_core.trajectory_from_bag import motion_topic, trajectory_from_bag
from training.config import InputConfig
from training.data.assembly import LEAST_FRAMES, Labelling, Moment, clips_of
from training.data.clip import Clip
from training.data.kept_video import VideoCache, facts_of
from training.data.labels import ImageName, LabelSource, drive_name
from training.data.network_images import NetworkImages
from training.data.used_cameras import used_cameras

# Between poses farther apart the vehicle may have turned or braked; 10 Hz with some jitter passes.
_LONGEST_POSE_GAP_NS = 150_000_000
_LARGEST_DAMAGED_SHARE = 0.05
_AHEAD = 32

_log = logging.getLogger(__name__)

Images = tuple[Image, Image]


def read_clips(
    path: Path,
    config: InputConfig,
    labels: LabelSource | None = None,
    cache: VideoCache | None = None,
) -> list[Clip]:
    """Read a drive: images, camera_info, /tf_static and the odometry.

    Only moments with an image of every camera and a pose for each of them are used.

    Args:
        path: The bag.
        config: Images that the network takes.
        labels: Pseudo-labels, if there are any.
        cache: Where the decoded video is kept; in memory by default.

    Raises:
        SelfOccError: The bag lacks a topic or is damaged, its rig does not fit the network, more
            than 5 % of its images are damaged, its stamps go back, it has no three moments in a
            row that can be used, or labels are missing or wrong.
    """
    rig = used_cameras(rig_from_bag(path), config, f'bag {path}')
    cameras = [NetworkImages(camera, config) for camera in rig]
    labelling, entry = None, None
    if labels is not None:
        labelling = Labelling(labels, drive_name(path), lambda wanted: _images(path, wanted))
    if cache is not None:
        files = sorted(path.iterdir()) if path.is_dir() else [path]
        entry = cache.entry('bag', facts_of(files), config)
    return clips_of(f'bag {path}', cameras, _moments(path, cameras), labelling, entry)


def _moments(path: Path, cameras: Sequence[NetworkImages]) -> Iterator[Moment]:
    """Yield the moments that can be used, and say which cannot."""
    reading, count = _Reading(path, cameras), 0
    for moment in reading.moments():
        yield moment
        count += 1
    reading.check_damage()
    account = reading.account(count)
    if count < LEAST_FRAMES:
        raise SelfOccError(
            f'bag {path} has {count} moments that can be trained on and needs {LEAST_FRAMES} '
            f'({account or "it is too short"}): record all cameras and the odometry'
        )
    if account:
        _log.warning('bag %s: %s', path, account)


def _images(path: Path, wanted: Collection[ImageName]) -> Iterator[tuple[ImageName, Image]]:
    """Yield images as the cameras took them; an image is named by its stamp."""
    remaining = set(wanted)  # the first of a stamp counts, as for training
    with BagReader(path) as bag:
        topics = {image_topic(bag, name): name for name in {w.camera for w in wanted}}
        for message in bag.messages(list(topics)):
            try:
                decoded = message.decode()
            except SelfOccError:
                continue  # counted where the drive was read
            stamp = str(stamp_ns_of(decoded))
            name = ImageName(drive_name(path), topics[message.topic], stamp)
            if name in remaining:
                remaining.remove(name)
                yield name, decode_image(decoded)


class _Reading:
    """A pass through a bag that keeps account of what it cannot use.

    Args:
        path: The bag.
        cameras: Its cameras, the anchor first.

    Raises:
        SelfOccError: The bag lacks a topic.
    """

    def __init__(self, path: Path, cameras: Sequence[NetworkImages]) -> None:
        self._path, self._cameras = path, cameras
        with BagReader(path) as bag:
            self._topics = {c.camera.name: image_topic(bag, c.camera.name) for c in cameras}
            self._trajectory = trajectory_from_bag(bag)
            self._motion_topic = motion_topic(bag)
            counts = [bag.count([topic]) for topic in self._topics.values()]
        self._images, self._most_of_a_camera = sum(counts), max(counts)
        self._frame_sets = 0
        self._left_out: Counter[str] = Counter()
        self._damaged: list[tuple[str, str]] = []  # topic and what is wrong

    def moments(self) -> Iterator[Moment]:
        """Yield the moments that can be used, in order.

        Raises:
            SelfOccError: The stamps go back, or an image has another size than its calibration.
        """
        last_ns = -1
        for frame_set in self._synchronized():
            if frame_set.stamp_ns <= last_ns:
                raise SelfOccError(
                    f'the stamps of {next(iter(self._topics.values()))} in bag {self._path} go '
                    f'back by {(last_ns - frame_set.stamp_ns) * 1e-9:.1f} s: record each drive '
                    'into a bag of its own'
                )
            last_ns = frame_set.stamp_ns
            self._frame_sets += 1
            lack = self._lack(frame_set)
            if lack is None:
                yield self._moment(frame_set)
            else:
                self._left_out[lack] += 1

    def account(self, used: int) -> str:
        """Return in words how many moments are left out, and why; nothing if none is."""
        without_anchor = self._most_of_a_camera - self._frame_sets
        if without_anchor > 0:
            anchor = next(iter(self._topics.values()))
            self._left_out[f'without a new image on {anchor}'] += without_anchor
        left_out = sum(self._left_out.values())
        reasons = ', '.join(f'{count} {why}' for why, count in self._left_out.most_common())
        return (
            f'{left_out} of {used + left_out} moments are left out: {reasons}' if reasons else ''
        )

    def check_damage(self) -> None:
        """Refuse the drive if too much of it is damaged.

        Raises:
            SelfOccError: It is.
        """
        if len(self._damaged) > _LARGEST_DAMAGED_SHARE * self._images:
            ((topic, count),) = Counter(topic for topic, _ in self._damaged).most_common(1)
            raise SelfOccError(
                f'{len(self._damaged)} of {self._images} images in bag {self._path} are damaged, '
                f'{count} of them on {topic} (the first: {self._damaged[0][1]}): record it again, '
                'or leave the bag out'
            )

    def _synchronized(self) -> Iterator[SynchronizedSet[Future[Images | None]]]:
        """Yield frame sets; their images are decoded in threads meanwhile."""
        names = {topic: name for name, topic in self._topics.items()}
        makers = {camera.camera.name: camera for camera in self._cameras}
        synchronizer: Synchronizer[Future[Images | None]] = Synchronizer(list(makers))
        ahead: deque[Future[Images | None]] = deque()
        with BagReader(self._path) as bag, ThreadPoolExecutor(os.cpu_count()) as pool:
            for message in bag.messages(list(names)):
                decoded = self._decoded(message)
                if decoded is None:
                    continue
                name, stamp_ns = names[message.topic], stamp_ns_of(decoded)
                images = pool.submit(self._network_images, makers[name], decoded)
                ahead.append(images)
                if len(ahead) > _AHEAD:  # reading is faster than decoding
                    wait([ahead.popleft()])
                yield from synchronizer.push(name, stamp_ns, images, message.stamp_ns)
            yield from synchronizer.poll(bag.end_ns + 10**10)

    def _decoded(self, message: BagMessage) -> Any | None:
        try:
            return message.decode()
        except SelfOccError as error:
            self._damaged.append((message.topic, str(error)))
            return None

    def _network_images(self, make: NetworkImages, message: Any) -> Images | None:
        topic = self._topics[make.camera.name]
        try:
            image = decode_image(message)
        except SelfOccError as error:
            self._damaged.append((topic, str(error)))
            return None
        try:
            return make(image)
        except SelfOccError as error:
            raise SelfOccError(f'{topic} in bag {self._path}: {error}') from error

    def _lack(self, frame_set: SynchronizedSet[Future[Images | None]]) -> str | None:
        """Return in words what a frame set lacks for training."""
        for name, topic in self._topics.items():
            if name not in frame_set.payloads:
                return f'without an image on {topic}'
        for name, topic in self._topics.items():
            if frame_set.payloads[name].result() is None:
                return f'with a damaged image on {topic}'
        stamps_ns = np.array([frame_set.stamp_ns, *frame_set.stamps_ns.values()])
        if not self._trajectory.is_known(stamps_ns, _LONGEST_POSE_GAP_NS).all():
            return f'in a gap of {self._motion_topic}'
        return None

    def _moment(self, frame_set: SynchronizedSet[Future[Images | None]]) -> Moment:
        results = [frame_set.payloads[name].result() for name in self._topics]
        shutters_ns = [frame_set.stamps_ns[name] for name in self._topics]
        return Moment(
            frame_set.stamp_ns,
            self._trajectory.at(frame_set.stamp_ns),
            np.stack([self._trajectory.at(stamp_ns) for stamp_ns in shutters_ns]),
            [images for images in results if images is not None],
            [str(stamp_ns) for stamp_ns in shutters_ns],
        )
