"""A recorded drive through the pipeline, image by image as the node would take it."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterator, Sequence
from contextlib import nullcontext, suppress
from dataclasses import dataclass, field
from time import perf_counter

from selfocc_core.backends import Backend
from selfocc_core.bag_messages import decode_image, parent_from_child, stamp_ns_of
from selfocc_core.bags import BagMessage, BagReader
from selfocc_core.cameras import Rig
from selfocc_core.drive_topics import image_topic, odometry_topic
from selfocc_core.errors import SelfOccError
from selfocc_core.frame_processor import (
    FrameProcessor,
    ImageSet,
    ProcessedSet,
    UnusableFrameSetError,
    unusable,
)
from selfocc_core.image_intake import ImageIntake, PipelineSource, PreparedImage
from selfocc_core.odometry_buffer import OdometryBuffer
from selfocc_core.prefetch import prefetched
from selfocc_core.synchronizer import Synchronizer, SynchronizerConfig
from selfocc_core.transforms import Trajectory

_FROZEN_AFTER = 5
_ODOMETRY_DELAY_NS = 200_000_000
_LONG_NS = 10**12
_AHEAD = 4  # frame sets that are decoded while the network works on another


@dataclass
class PlaybackAccount:
    """What became of a drive's images and frame sets.

    Attributes:
        images: Images in the drive.
        frame_sets: Frame sets that were formed.
        lost: Frame sets without occupancy, by reason.
        dropped: Images that were not used, by reason.
        inference_s: Time that the network took.
    """

    images: int = 0
    frame_sets: int = 0
    lost: Counter[str] = field(default_factory=Counter)
    dropped: Counter[str] = field(default_factory=Counter)
    inference_s: float = 0.0


class Playback:
    """Processes every frame set of a drive, without a clock: the same each time.

    Args:
        bag: The open drive.
        rig: Its cameras, the anchor first.
        backend: The runtime with the model.
        config: When images belong together; that of the node by default.

    Attributes:
        account: What became of the images; complete after the last result.

    Raises:
        SelfOccError: The drive lacks the images of a camera, or the rig does not fit the model.
    """

    def __init__(
        self,
        bag: BagReader,
        rig: Rig,
        backend: Backend,
        config: SynchronizerConfig | None = None,
    ) -> None:
        self.account = PlaybackAccount()
        self._bag, self._backend = bag, backend
        self._cameras = {image_topic(bag, camera): camera for camera in rig.names}
        self._odometry_topic = odometry_topic(bag)
        pipelines = PipelineSource(backend, lambda: rig, rig.names)
        pipelines.current()  # a rig that does not fit fails here
        compressed = all(topic.endswith('/compressed') for topic in self._cameras)
        self._intake = ImageIntake(compressed, pipelines, decode_image, _FROZEN_AFTER)
        self._synchronizer: Synchronizer[PreparedImage] = Synchronizer(
            rig.names, config or SynchronizerConfig()
        )
        self._odometry = OdometryBuffer()

    @property
    def expected_sets(self) -> int:
        """About how many frame sets there will be: the images of the first camera."""
        return self._bag.count([next(iter(self._cameras))])

    def results(self) -> Iterator[ProcessedSet]:
        """Yield the occupancy of each frame set, in order.

        Raises:
            SelfOccError: The bag turns out to be damaged, or the network cannot run.
        """
        process = FrameProcessor(1, lambda name: nullcontext())
        for images, motion in prefetched(self._frame_sets(), _AHEAD):
            started_s = perf_counter()
            try:
                result = process(images, motion)
            except UnusableFrameSetError as error:
                self.account.lost[str(error)] += 1
                self.account.dropped.update(unusable(images).values())
                continue
            self.account.inference_s += perf_counter() - started_s
            self.account.dropped.update(result.unused.values())
            yield result
        self.account.dropped.update(self._synchronizer.dropped_by_reason)

    def _frame_sets(self) -> Iterator[tuple[ImageSet, Trajectory | None]]:
        """Yield the frame sets with the motion over them; in the thread that works ahead."""
        waiting: deque[ImageSet] = deque()
        topics = [t for t in (*self._cameras, self._odometry_topic) if t in self._bag.topics]
        now_ns = 0
        for message in self._bag.messages(topics):
            now_ns = message.stamp_ns
            waiting.extend(self._take(message))
            while waiting and self._motion_is_known(waiting[0], now_ns):
                yield self._with_motion(waiting.popleft())
        waiting.extend(self._counted(self._synchronizer.poll(now_ns + _LONG_NS)))
        yield from map(self._with_motion, waiting)

    def _take(self, message: BagMessage) -> Sequence[ImageSet]:
        if message.topic == self._odometry_topic:
            self._take_odometry(message)
            return ()
        self.account.images += 1
        camera = self._cameras[message.topic]
        image = self._intake(camera, message.raw)
        if image.stamp_ns is None:
            self.account.dropped[image.fault or ''] += 1
            return ()
        return self._counted(
            self._synchronizer.push(camera, image.stamp_ns, image, message.stamp_ns)
        )

    def _take_odometry(self, message: BagMessage) -> None:
        odometry = message.decode()
        with suppress(SelfOccError):  # a pose without a rotation is no pose
            self._odometry.add(stamp_ns_of(odometry), parent_from_child(odometry.pose.pose))

    def _counted(self, sets: Sequence[ImageSet]) -> Sequence[ImageSet]:
        self.account.frame_sets += len(sets)
        return sets

    def _motion_is_known(self, images: ImageSet, now_ns: int) -> bool:
        """Whether waiting for more odometry makes the motion over a set no better."""
        newest_ns = max(images.stamp_ns, *images.stamps_ns.values())
        return self._odometry.reaches(newest_ns) or now_ns > newest_ns + _ODOMETRY_DELAY_NS

    def _with_motion(self, images: ImageSet) -> tuple[ImageSet, Trajectory | None]:
        return images, self._odometry.covering_set(images)
