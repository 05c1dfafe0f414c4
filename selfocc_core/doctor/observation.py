"""What can be observed of a node, from inside it or from outside: plain data for the doctor."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

RAW, COMPRESSED = 'raw', 'compressed'
IMAGE, COMPRESSED_IMAGE = 'sensor_msgs/msg/Image', 'sensor_msgs/msg/CompressedImage'
CAMERA_INFO, ODOMETRY = 'sensor_msgs/msg/CameraInfo', 'nav_msgs/msg/Odometry'
TYPE_OF_TRANSPORT = {RAW: IMAGE, COMPRESSED: COMPRESSED_IMAGE}

ABSENT, SILENT, ACTIVE = 'absent', 'silent', 'active'


@dataclass(frozen=True)
class Endpoint:
    """A publisher or subscriber of another node.

    Attributes:
        node: Full name of that node.
        type: Message type, for example ``sensor_msgs/msg/Image``.
        mismatch: Why its quality of service excludes that of the node; empty if they fit.
    """

    node: str
    type: str
    mismatch: str = ''


@dataclass(frozen=True)
class Topic:
    """A topic that the node reads or writes.

    Attributes:
        name: Full name, remaps applied.
        type: Message type that the node uses.
        others: Publishers, where the node reads; subscribers, where it writes.
    """

    name: str
    type: str
    others: tuple[Endpoint, ...] = ()

    @property
    def of_type(self) -> tuple[Endpoint, ...]:
        """The others that use the same message type."""
        return tuple(other for other in self.others if other.type == self.type)

    @property
    def matched(self) -> tuple[Endpoint, ...]:
        """The others that messages are really exchanged with."""
        return tuple(other for other in self.of_type if not other.mismatch)


@dataclass(frozen=True)
class GraphView:
    """The ROS graph around the node.

    Attributes:
        images: Image topic of each camera.
        infos: ``camera_info`` topic of each camera; empty if the node has a rig file.
        odometry: The odometry that the node takes; ``None`` if it takes motion from ``/tf``.
        transforms: ``/tf_static``; ``None`` if the node has a rig file.
        outputs: What the node publishes, with those who listen.
        published: Type of every other topic of images, ``camera_info`` or odometry that somebody
            else publishes.
        has_clock: Whether anybody publishes ``/clock``.
        nodes: Full names of all nodes.
        domain: The ROS domain.
    """

    images: Mapping[str, Topic] = field(default_factory=dict)
    infos: Mapping[str, Topic] = field(default_factory=dict)
    odometry: Topic | None = None
    transforms: Topic | None = None
    outputs: tuple[Topic, ...] = ()
    published: Mapping[str, str] = field(default_factory=dict)
    has_clock: bool = False
    nodes: tuple[str, ...] = ()
    domain: str = '0'

    @property
    def has_listener(self) -> bool:
        """Whether anybody receives what the node publishes."""
        return any(topic.matched for topic in self.outputs)

    def published_as(self, *types: str) -> list[str]:
        """Return the topics of some types that others publish, sorted."""
        return sorted(topic for topic, name in self.published.items() if name in types)


@dataclass(frozen=True)
class CameraView:
    """What the node says of one camera.

    Attributes:
        received: Images that arrived.
        rate_hz: Their recent rate.
        age_s: Since when none has arrived; ``None`` before the first.
        clock_offset_s: How far the node's clock is ahead of the stamps.
        problem: Why the node does not use the camera now; ``None`` if it does.
        calibration_problem: What is wrong with its calibration; ``None`` if nothing is.
        dropped: Images from which no occupancy was made, by reason.
    """

    received: int = 0
    rate_hz: float = 0.0
    age_s: float | None = None
    clock_offset_s: float | None = None
    problem: str | None = None
    calibration_problem: str | None = None
    dropped: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class FrameSetsView:
    """What the node says of its frame sets.

    Attributes:
        formed: Sets that were formed.
        published: Sets whose occupancy went out.
        in_progress: Sets that wait for inference or are in it.
        lost: Sets that ended without occupancy, by reason.
        images_dropped: Images of all cameras that got into no set, by reason.
        age_s: Since when nothing was published, where that is known.
    """

    formed: int = 0
    published: int = 0
    in_progress: int = 0
    lost: Mapping[str, int] = field(default_factory=dict)
    images_dropped: Mapping[str, int] = field(default_factory=dict)
    age_s: float | None = None


@dataclass(frozen=True)
class TransportView:
    """What the node's process has for large messages.

    Attributes:
        rmw: The middleware, for example ``rmw_fastrtps_cpp``.
        has_profile: Whether a Fast DDS profile is set in the environment.
        shared_memory_bytes: Size of ``/dev/shm``; ``None`` where there is none.
    """

    rmw: str
    has_profile: bool
    shared_memory_bytes: int | None


@dataclass(frozen=True)
class NodeObservation:
    """A node at one moment.

    Attributes:
        node: Full name, for example ``/surround``.
        state: Lifecycle state; ``absent`` if there is no such node, ``silent`` if it does not
            answer.
        graph: The ROS graph around it.
        cameras: What it says of each camera; empty if it says nothing.
        frame_sets: What it says of its frame sets.
        configure_problem: Why it could not be configured: model, rig or a parameter.
        image_transport: Parameter of that name.
        base_frame: Parameter of that name.
        minimum_cameras: Parameter of that name.
        use_sim_time: Parameter of that name.
        inference: Model and backend in words.
        transport: The environment of its process, where that is known.
    """

    node: str
    state: str
    graph: GraphView = field(default_factory=GraphView)
    cameras: Mapping[str, CameraView] = field(default_factory=dict)
    frame_sets: FrameSetsView = field(default_factory=FrameSetsView)
    configure_problem: str | None = None
    image_transport: str = RAW
    base_frame: str = 'base_link'
    minimum_cameras: int = 1
    use_sim_time: bool = False
    inference: str = ''
    transport: TransportView | None = None

    @property
    def is_active(self) -> bool:
        """Whether the node takes images."""
        return self.state == ACTIVE
