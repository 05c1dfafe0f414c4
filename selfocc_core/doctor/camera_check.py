"""What keeps the images of one camera from the node: the first cause along their way."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import IntEnum

from selfocc_core.doctor.observation import (
    CAMERA_INFO,
    COMPRESSED,
    RAW,
    TYPE_OF_TRANSPORT,
    CameraView,
    NodeObservation,
    Topic,
    TransportView,
)
from selfocc_core.doctor.topic_names import likely_topics, similar_topics, words
from selfocc_core.image_faults import BLACK, FROZEN, SATURATED
from selfocc_core.image_intake import (
    DAMAGED_IMAGE,
    DAMAGED_MESSAGE,
    DOES_NOT_FIT,
    NOT_CALIBRATED,
    WRONG_SIZE,
)

SILENT_AFTER_S = 2.0

_SUFFIX = '/compressed'
_PROFILE = 'the profile fastdds_large_data.xml, without which large images get lost'
_SEGMENT_BYTES, _MIB = 80 * 2**20, 2**20
_REMEDIES = {
    DAMAGED_MESSAGE: 'look at its driver',
    DAMAGED_IMAGE: 'look at its driver, and whether the node knows the encoding',
    WRONG_SIZE: 'correct its camera_info or the rig file',
    NOT_CALIBRATED: 'publish its camera_info and its transform, or give a rig_file',
    DOES_NOT_FIT: 'choose a model for this rig',
    BLACK: 'look at the lens and the exposure',
    SATURATED: 'look at the exposure',
    FROZEN: 'start its driver again',
    'its clock disagrees with the others': 'synchronise the clocks of the cameras (PTP), or let '
    'the driver stamp the images',
}


class Step(IntEnum):
    """How far the images of a camera come: the lower, the more fundamental."""

    UNPUBLISHED = 0
    MISMATCHED = 1
    SILENT = 2
    UNCALIBRATED = 3
    REFUSED = 4


@dataclass(frozen=True)
class CameraFault:
    """Why a camera does not contribute.

    Attributes:
        step: Where its images end.
        sentence: What is the matter, and the remedy.
    """

    step: Step
    sentence: str


def find_fault(observation: NodeObservation, camera: str) -> CameraFault | None:
    """Return the first thing that is wrong along the way of a camera's images, if anything is."""
    for step, check in _CHECKS.items():
        sentence = check(observation, camera)
        if sentence is not None:
            return CameraFault(step, sentence)
    return None


def remap(wanted: str, found: str) -> str:
    """Return what to start the node with so that it takes another topic."""
    return f'start the node with --ros-args -r {wanted}:={found}'


def _unpublished(observation: NodeObservation, camera: str) -> str | None:
    topic = observation.graph.images.get(camera)
    if topic is None or topic.of_type:
        return None
    other = _other(observation.image_transport)
    if topic.others:
        return _other_type(topic, other)
    sibling = _as_transport(topic.name, observation.image_transport, other)
    if observation.graph.published.get(sibling) == TYPE_OF_TRANSPORT[other]:
        return (
            f'its images are {other}, on {sibling}, and the node takes '
            f'{observation.image_transport} ones: set the parameter image_transport to {other}'
        )
    return f'nobody publishes {topic.name}: {_what_else(observation, camera, topic, other)}'


def _other(transport: str) -> str:
    return RAW if transport == COMPRESSED else COMPRESSED


def _as_transport(topic: str, transport: str, wanted: str) -> str:
    """Return the topic that the node would take with another ``image_transport``."""
    if transport == wanted:
        return topic
    return topic.removesuffix(_SUFFIX) if transport == COMPRESSED else topic + _SUFFIX


def _other_type(topic: Topic, other: str) -> str:
    publisher = topic.others[0]
    sentence = f'{publisher.node} publishes {publisher.type} on {topic.name}, not {topic.type}'
    if publisher.type == TYPE_OF_TRANSPORT[other]:
        return f'{sentence}: set the parameter image_transport to {other}, and remap the topic'
    return f'{sentence}: give the node a topic of images'


def _what_else(observation: NodeObservation, camera: str, topic: Topic, other: str) -> str:
    graph = observation.graph
    wanted = _as_transport(topic.name, observation.image_transport, other)
    for transport, name in ((observation.image_transport, topic.name), (other, wanted)):
        candidates = graph.published_as(TYPE_OF_TRANSPORT[transport])
        likely = likely_topics(topic.name, camera, graph.images, candidates)
        if likely and transport == other:
            return (
                f'{likely[0]} has its images {other}: set the parameter image_transport to '
                f'{other}, and {_remap_images(name, likely[0])}'
            )
        if likely:
            return f'{likely[0]} has its images: {_remap_images(name, likely[0])}'
    return _elsewhere(topic.name, graph.published_as(*TYPE_OF_TRANSPORT.values()), 'images')


def _remap_images(wanted: str, found: str) -> str:
    is_rectified = any(word.startswith('rect') for word in words(found))
    return remap(wanted, found) + (' -p rectified:=true' if is_rectified else '')


def _elsewhere(wanted: str, candidates: Sequence[str], what: str) -> str:
    if not candidates:
        return f'no other topic has {what} either; start the driver, in the same ROS_DOMAIN_ID'
    some = ', '.join(similar_topics(wanted, candidates))
    return f'start the driver, or remap; topics with {what} are {some}'


def _mismatched(observation: NodeObservation, camera: str) -> str | None:
    topic = observation.graph.images.get(camera)
    if topic is None or topic.matched or not topic.of_type:
        return None
    publisher = topic.of_type[0]
    return (
        f'{publisher.node} publishes {topic.name} with a quality of service that the node cannot '
        f'take ({publisher.mismatch}): change it in the driver'
    )


def _silent(observation: NodeObservation, camera: str) -> str | None:
    view, topic = observation.cameras.get(camera), observation.graph.images.get(camera)
    if view is None or topic is None or not observation.is_active:
        return None
    driver = topic.matched[0].node if topic.matched else 'its driver'
    if view.received == 0:
        return f'{driver} publishes {topic.name}, but no image arrives: {_lost_where(observation)}'
    is_lost = view.problem is not None and view.problem.startswith('no image')
    if view.age_s is not None and (is_lost or view.age_s > SILENT_AFTER_S):
        return (
            f'no image for {view.age_s:.1f} s on {topic.name}: {driver} has stalled; '
            'look at its log, or start it again'
        )
    return None


def _lost_where(observation: NodeObservation) -> str:
    transport = observation.transport
    problem = None if transport is None else transport_problem(transport)
    if problem is not None:
        return problem
    return (
        f'check that the driver sends (ros2 topic hz), and start it and the node with {_PROFILE}'
    )


def transport_problem(transport: TransportView) -> str | None:
    """Return why large messages get lost in the node's process, if that can be told."""
    if not transport.rmw.startswith('rmw_fastrtps'):
        return None
    if not transport.has_profile:
        return (
            f'the node runs without {_PROFILE}: start it with surround.launch.py, and the driver '
            'with FASTRTPS_DEFAULT_PROFILES_FILE and FASTDDS_DEFAULT_PROFILES_FILE set to it'
        )
    size = transport.shared_memory_bytes
    if size is not None and size < _SEGMENT_BYTES:
        return (
            f'shared memory (/dev/shm) has {size // _MIB} MiB, and each process with large images '
            f'takes {_SEGMENT_BYTES // _MIB} MiB: start the container with --shm-size=1g'
        )
    return None


def _uncalibrated(observation: NodeObservation, camera: str) -> str | None:
    view = observation.cameras.get(camera)
    if view is None or view.calibration_problem is None:
        return None
    info = observation.graph.infos.get(camera)
    if info is None or info.matched:
        return _calibration(view.calibration_problem, info)
    if info.of_type:
        return (
            f'{info.of_type[0].node} publishes {info.name} with a quality of service that the '
            f'node cannot take ({info.of_type[0].mismatch}): change it in the driver'
        )
    candidates = observation.graph.published_as(CAMERA_INFO)
    likely = likely_topics(info.name, camera, observation.graph.infos, candidates)
    if likely:
        return f'nobody publishes {info.name}: {remap(info.name, likely[0])}, or give a rig_file'
    elsewhere = _elsewhere(info.name, candidates, 'camera_info')
    return f'nobody publishes {info.name}: give a rig_file, or {elsewhere}'


def _calibration(problem: str, info: Topic | None) -> str:
    if info is None or not problem.startswith('no camera_info'):
        return problem
    return (
        f'{info.matched[0].node} publishes {info.name}, but nothing arrives: let it send it with '
        'each image, or give a rig_file'
    )


def _refused(observation: NodeObservation, camera: str) -> str | None:
    view = observation.cameras.get(camera)
    if view is None or view.problem is None or not observation.is_active:
        return None
    return f'it is not used: {with_remedy(view.problem)}'


def with_remedy(problem: str) -> str:
    """Return a problem of a camera's images with what to do about it."""
    return f'{problem}: {_REMEDIES.get(problem, "the log of the node has the details")}'


def refusals(view: CameraView) -> dict[str, int]:
    """Return how many images were refused for what is in them, by reason."""
    return {reason: count for reason, count in view.dropped.items() if reason in _REMEDIES}


_CHECKS: dict[Step, Callable[[NodeObservation, str], str | None]] = {
    Step.UNPUBLISHED: _unpublished,
    Step.MISMATCHED: _mismatched,
    Step.SILENT: _silent,
    Step.UNCALIBRATED: _uncalibrated,
    Step.REFUSED: _refused,
}
