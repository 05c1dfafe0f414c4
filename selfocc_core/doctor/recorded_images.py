"""What a bag's images are like: their stamps, their sets, and a few pictures of each camera."""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from selfocc_core.bag_messages import decode_image
from selfocc_core.bags import BagMessage
from selfocc_core.doctor.sampled_bag import SampledBag
from selfocc_core.errors import SelfOccError
from selfocc_core.image_faults import exposure_fault
from selfocc_core.image_intake import DAMAGED_IMAGE
from selfocc_core.progress import track
from selfocc_core.synchronizer import SynchronizedSet, Synchronizer, SynchronizerConfig

_SAMPLES = 8  # pictures of a camera that are decoded
_LONG_AFTER_NS = 10**10
_CDR_LITTLE_ENDIAN = (1, 3)


@dataclass
class RecordedCamera:
    """What was read of one camera.

    Attributes:
        topic: Its image topic.
        count: Images in the whole bag.
        shutters_ns: Stamps of the images read, of each window.
        recorded_ns: When they were recorded.
        sizes: How many of the decoded pictures have which (width, height).
        faults: How many of them cannot be decoded, are black or saturated; by reason.
        damage: What is wrong with the first that cannot be decoded.
    """

    topic: str
    count: int
    shutters_ns: list[list[int]] = field(default_factory=list)
    recorded_ns: list[list[int]] = field(default_factory=list)
    sizes: Counter[tuple[int, int]] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    damage: str = ''

    @property
    def stamps_ns(self) -> NDArray[np.int64]:
        """All stamps that were read ``[N]``, in the order of recording."""
        return np.array([s for window in self.shutters_ns for s in window], np.int64)

    @property
    def steps_ns(self) -> NDArray[np.int64]:
        """Differences of successive stamps, not across windows."""
        steps = [np.diff(np.array(window, np.int64)) for window in self.shutters_ns]
        return np.concatenate([*steps, np.empty(0, np.int64)])

    @property
    def delays_ns(self) -> NDArray[np.int64]:
        """How long after its stamp each image was recorded ``[N]``."""
        recorded = [s for window in self.recorded_ns for s in window]
        return np.array(recorded, np.int64) - self.stamps_ns

    @property
    def pictures(self) -> int:
        """How many pictures were looked at."""
        return self.sizes.total() + self.faults[DAMAGED_IMAGE]


@dataclass
class RecordedSets:
    """Frame sets that the node would form of the images, with its default settings.

    Attributes:
        count: How many.
        complete: How many have an image of every camera.
        missing: How many lack which camera.
    """

    count: int = 0
    complete: int = 0
    missing: Counter[str] = field(default_factory=Counter)


def read_images(
    bag: SampledBag, topics: Mapping[str, str]
) -> tuple[dict[str, RecordedCamera], RecordedSets]:
    """Read the images in the windows of a bag, with progress on stderr.

    Args:
        bag: The bag.
        topics: Image topic of each camera, the anchor first.

    Raises:
        SelfOccError: The bag is damaged.
    """
    reading = _Reading(bag, topics)
    images = reading.images()
    for name, message in track(images, 'Reading images', reading.expected):
        reading.take(name, message)
    reading.end_window()
    return reading.cameras, reading.sets


class _Reading:
    """A pass through the windows of a bag."""

    def __init__(self, bag: SampledBag, topics: Mapping[str, str]) -> None:
        self._bag, self._names = bag, {topic: name for name, topic in topics.items()}
        self.cameras = {name: RecordedCamera(t, bag.count([t])) for name, t in topics.items()}
        self.sets = RecordedSets()
        self.expected = round(bag.share * bag.count(list(topics.values())))
        self._synchronizer = self._new_synchronizer()
        self._recorded_ns = 0

    def images(self) -> Iterator[tuple[str, BagMessage]]:
        """Yield camera and message; between windows, prepare for the next."""
        for window in self._bag.windows:
            self.end_window()
            self._begin_window()
            for message in self._bag.within(window, list(self._names)):
                yield self._names[message.topic], message

    def take(self, name: str, message: BagMessage) -> None:
        """Note the stamp of an image, let it into a set, and look at it now and then."""
        camera, stamp_ns = self.cameras[name], header_stamp_ns(message)
        index = len(camera.shutters_ns[-1])
        camera.shutters_ns[-1].append(stamp_ns)
        camera.recorded_ns[-1].append(message.stamp_ns)
        if index % self._stride(camera) == 0:
            _look(camera, message)
        self._recorded_ns = message.stamp_ns
        self._count(self._synchronizer.push(name, stamp_ns, None, self._recorded_ns))

    def end_window(self) -> None:
        """Let the last sets go."""
        self._count(self._synchronizer.poll(self._recorded_ns + _LONG_AFTER_NS))

    def _begin_window(self) -> None:
        self._synchronizer = self._new_synchronizer()
        for camera in self.cameras.values():
            camera.shutters_ns.append([])
            camera.recorded_ns.append([])

    def _new_synchronizer(self) -> Synchronizer[None]:
        return Synchronizer(list(self.cameras), SynchronizerConfig())

    def _stride(self, camera: RecordedCamera) -> int:
        """Return of how many images in a window one is looked at."""
        return max(1, round(self._bag.share * camera.count / _SAMPLES))

    def _count(self, formed: Sequence[SynchronizedSet[None]]) -> None:
        for frame_set in formed:
            missing = [name for name in self.cameras if name not in frame_set.payloads]
            self.sets.count += 1
            self.sets.complete += not missing
            self.sets.missing.update(missing)


def _look(camera: RecordedCamera, message: BagMessage) -> None:
    try:
        image = decode_image(message.decode())
    except SelfOccError as error:
        camera.faults[DAMAGED_IMAGE] += 1
        camera.damage = camera.damage or str(error)
        return
    camera.sizes[image.shape[1], image.shape[0]] += 1
    fault = exposure_fault(image)
    if fault is not None:
        camera.faults[fault] += 1


def header_stamp_ns(message: BagMessage) -> int:
    """Return the stamp of a serialised message that begins with a header, without parsing it.

    Raises:
        SelfOccError: The message is too short for one.
    """
    little = len(message.raw) > 1 and message.raw[1] in _CDR_LITTLE_ENDIAN
    try:
        seconds, nanoseconds = struct.unpack_from('<iI' if little else '>iI', message.raw, 4)
    except struct.error as error:
        raise SelfOccError(
            f'a message on {message.topic} is cut off: is the bag damaged?'
        ) from error
    return int(seconds) * 10**9 + int(nanoseconds)
