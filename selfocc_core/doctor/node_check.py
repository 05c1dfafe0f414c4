"""Why a node publishes nothing: from what was observed of it, the most fundamental cause first."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import replace
from statistics import median

from selfocc_core.doctor.camera_check import (
    CameraFault,
    Step,
    find_fault,
    refusals,
    remap,
    transport_problem,
    with_remedy,
)
from selfocc_core.doctor.finding import Finding, error, first_error, ok, warning
from selfocc_core.doctor.observation import (
    ABSENT,
    ODOMETRY,
    RAW,
    SILENT,
    CameraView,
    Endpoint,
    FrameSetsView,
    NodeObservation,
    Topic,
)
from selfocc_core.doctor.topic_names import similar_topics

_QUIET_AFTER_S = 3.0
_SLOW = 0.5
_AHEAD_S, _BEHIND_S = 0.5, 5.0
_NOBODY_LISTENS = 'nobody listens'
_LOST_SHARE = 0.1
_FRAME_SETS = 'frame sets'
_SUPERSEDED = 'superseded by a newer one'
_LOST = {
    _SUPERSEDED: 'the machine is slower than the cameras: use a smaller model or '
    'a faster backend, or let the cameras send fewer images',
    'too few usable images': 'images of too few cameras can be used: see the cameras, or lower '
    'minimum_cameras',
    'refused by the pipeline': 'rig and model do not fit: the log of the node has the sentence',
    'internal error': 'this is a fault of the node: please report it with the log of the node',
}


def diagnose(observation: NodeObservation) -> list[Finding]:
    """Return what keeps a node from publishing; without an error, everything is well.

    The first error is the reason. What keeps the most cameras away comes before what concerns
    fewer of them, and what lies earlier on the way of the images before what comes later.
    """
    if observation.state == ABSENT:
        return [error('node', _absence(observation))]
    if observation.state == SILENT:
        return [error('node', _silence(observation))]
    findings = [*_not_running(observation), *_stopped_clock(observation)]
    cameras, sets = list(_cameras(observation)), list(_frame_sets(observation))
    blamed = _explained_by_cameras(observation)
    findings += [*cameras, *sets] if blamed else [*sets, *cameras]
    findings += [*_odometry(observation), *_transport(observation), *_outputs(observation)]
    if first_error(findings) is None:
        findings.insert(0, _verdict(observation))
    return findings


def _absence(observation: NodeObservation) -> str:
    graph, name = observation.graph, observation.node.rpartition('/')[2]
    same = [node for node in graph.nodes if node.rpartition('/')[2] == name]
    if same:
        return f'there is no node {observation.node}, but {same[0]}: give --node {same[0]}'
    others = ', '.join(similar_topics(observation.node, graph.nodes)) or 'no node at all'
    return (
        f'there is no node {observation.node} in ROS domain {graph.domain}, which has {others}: '
        'start it with "ros2 launch selfocc_ros surround.launch.py", or use its ROS_DOMAIN_ID here'
    )


def _silence(observation: NodeObservation) -> str:
    return (
        f'{observation.node} runs but does not answer: it is being configured, as while a '
        'TensorRT engine is built, or it hangs; look at its log'
    )


def _not_running(observation: NodeObservation) -> Iterator[Finding]:
    node = observation.node
    if observation.configure_problem is not None:
        yield error('configuration', observation.configure_problem)
    if observation.state == 'unconfigured':
        yield error(
            'node',
            f'{node} is unconfigured: "ros2 lifecycle set {node} configure", then activate, or '
            'start it with autostart:=true',
        )
    elif observation.state == 'inactive':
        yield error('node', f'{node} is inactive: "ros2 lifecycle set {node} activate"')
    elif observation.state == 'finalized':
        yield error('node', f'{node} was shut down: start it again')
    elif not observation.is_active:
        yield error('node', f'{node} is {observation.state}: wait for it, and look at its log')


def _stopped_clock(observation: NodeObservation) -> Iterator[Finding]:
    if observation.use_sim_time and not observation.graph.has_clock:
        yield error(
            'clock',
            'use_sim_time is true, but nobody publishes /clock: play the bag with --clock, or set '
            'use_sim_time to false',
        )


def _cameras(observation: NodeObservation) -> Iterator[Finding]:
    """Yield the cameras' faults, those that concern the most cameras first, then the others."""
    faults = _faults(observation)
    count = Counter(fault.step for fault in faults.values())
    for step in sorted(count, key=lambda step: (-count[step], step)):
        cameras = [camera for camera, fault in faults.items() if fault.step == step]
        if step == Step.UNCALIBRATED:
            yield from _transforms(observation, cameras)
        for camera in cameras:
            yield error(f'camera {camera}', faults[camera].sentence + _likewise(camera, cameras))
    for camera in observation.graph.images:
        if camera not in faults:
            yield _well(observation, camera)


def _faults(observation: NodeObservation) -> dict[str, CameraFault]:
    found = {camera: find_fault(observation, camera) for camera in observation.graph.images}
    return {camera: fault for camera, fault in found.items() if fault is not None}


def _likewise(camera: str, cameras: list[str]) -> str:
    """Return what to add for the first of several cameras with the same fault."""
    others = len(cameras) - 1
    if camera != cameras[0] or others == 0:
        return ''
    return f' ({others} other camera{"" if others == 1 else "s"} likewise)'


def _transforms(observation: NodeObservation, uncalibrated: list[str]) -> Iterator[Finding]:
    """Yield what is wrong with /tf_static as a whole, if a transform is what cameras lack."""
    topic = observation.graph.transforms
    problems = [observation.cameras[camera].calibration_problem for camera in uncalibrated]
    lacking = any(problem and problem.startswith('no transform') for problem in problems)
    if topic is None or topic.matched or not lacking:
        return
    if topic.of_type:
        yield error(
            'transforms',
            f'{topic.of_type[0].node} publishes {topic.name} with a quality of service that the '
            f'node cannot take ({topic.of_type[0].mismatch}): make it transient local',
        )
    else:
        yield error(
            'transforms',
            f'nobody publishes {topic.name}, so no camera has a place on the vehicle: start the '
            'robot_state_publisher or a static_transform_publisher, or give a rig_file',
        )


def _well(observation: NodeObservation, camera: str) -> Finding:
    """Return what can be said of a camera without a fault."""
    subject, topic = f'camera {camera}', observation.graph.images[camera]
    view = observation.cameras.get(camera)
    if view is None or not observation.is_active:
        return ok(subject, f'somebody publishes {topic.name}')
    usual_hz = median(other.rate_hz for other in observation.cameras.values())
    if view.rate_hz < _SLOW * usual_hz:
        return warning(
            subject,
            f'{view.rate_hz:.1f} Hz, the others {usual_hz:.1f} Hz: its driver is slow, or images '
            'get lost on the way; compare with ros2 topic hz',
        )
    return _clock(subject, view, observation) or _refusals(subject, view, topic)


def _clock(subject: str, view: CameraView, observation: NodeObservation) -> Finding | None:
    offset_s = view.clock_offset_s
    if offset_s is None or -_AHEAD_S <= offset_s <= _BEHIND_S:
        return None
    where = 'ahead of' if offset_s < 0 else 'behind'
    remedy = 'give it use_sim_time if a bag is played, else synchronise the clocks'
    if observation.use_sim_time:
        remedy = 'play the bag with --clock, and no other camera beside it'
    return warning(
        subject,
        f"its stamps are {abs(offset_s):.1f} s {where} the node's clock, so that TF and RViz may "
        f'not know the time of the occupancy: {remedy}',
    )


def _refusals(subject: str, view: CameraView, topic: Topic) -> Finding:
    refused = refusals(view)
    if refused:
        reason = max(refused, key=lambda name: refused[name])
        return warning(
            subject,
            f'{sum(refused.values())} of {view.received} images were refused; '
            f'{with_remedy(reason)}',
        )
    return ok(subject, f'{view.rate_hz:.1f} Hz on {topic.name}')


def _explained_by_cameras(observation: NodeObservation) -> bool:
    """Whether so many cameras are at fault that the node cannot work."""
    usable = len(observation.graph.images) - len(_faults(observation))
    return usable < max(1, observation.minimum_cameras)


def _is_publishing(sets: FrameSetsView) -> bool:
    return sets.published > 0 and (sets.age_s is None or sets.age_s <= _QUIET_AFTER_S)


def _frame_sets(observation: NodeObservation) -> Iterator[Finding]:
    if not observation.is_active or not observation.cameras:
        return
    sets = _wanted(observation)
    if observation.frame_sets.formed and not observation.graph.has_listener:
        yield from _nobody_listens(observation)
    elif _is_publishing(sets):
        yield from _losses(sets)
    elif not _explained_by_cameras(observation):
        yield error(_FRAME_SETS, _why_none(sets))


def _wanted(observation: NodeObservation) -> FrameSetsView:
    """Return the account of the frame sets that somebody wanted."""
    sets = observation.frame_sets
    unwanted = sets.lost.get(_NOBODY_LISTENS, 0)
    lost = {reason: count for reason, count in sets.lost.items() if reason != _NOBODY_LISTENS}
    return replace(sets, formed=sets.formed - unwanted, lost=lost)


def _nobody_listens(observation: NodeObservation) -> Iterator[Finding]:
    outputs = observation.graph.outputs
    if not any(topic.others for topic in outputs):
        names = ', '.join(topic.name for topic in outputs[:2]) or 'its outputs'
        yield warning(
            'outputs',
            f'nobody listens, so nothing is computed: subscribe to {names}, or to what else '
            f'{observation.node} publishes',
        )


def _losses(sets: FrameSetsView) -> Iterator[Finding]:
    lost = sum(sets.lost.values())
    if lost > _LOST_SHARE * sets.formed:
        yield warning(_FRAME_SETS, f'{lost} of {sets.formed} were lost: {_lost_because(sets)}')
    else:
        yield ok(_FRAME_SETS, f'{sets.published} of {sets.formed} were published')


def _why_none(sets: FrameSetsView) -> str:
    if sets.formed == 0:
        because = f' ({_most(sets.images_dropped)})' if sets.images_dropped else ''
        return (
            f'images arrive but form no frame set{because}: compare the stamps and clocks of the '
            'cameras, and raise tolerance_ms or lower minimum_cameras'
        )
    if sets.in_progress and sets.lost.keys() <= {_SUPERSEDED}:
        return (
            'the model is still at work on a frame set: wait if it is its first, use a smaller '
            'model or a faster backend, or start the node again'
        )
    if sets.lost:
        return f'{sum(sets.lost.values())} of {sets.formed} were lost: {_lost_because(sets)}'
    return 'they are formed, but nothing is published: look at the log of the node'


def _lost_because(sets: FrameSetsView) -> str:
    reason = max(sets.lost, key=lambda name: sets.lost[name])
    return _LOST.get(reason, f'{reason}; the log of the node has the details')


def _most(counts: Mapping[str, int]) -> str:
    reason = max(counts, key=lambda name: counts[name])
    return f'{counts[reason]} dropped: {reason}'


def _odometry(observation: NodeObservation) -> Iterator[Finding]:
    topic = observation.graph.odometry
    if topic is None:
        return
    if topic.matched:
        yield ok('odometry', f'from {topic.matched[0].node} on {topic.name}')
        return
    candidates = observation.graph.published_as(ODOMETRY)
    advice = remap(topic.name, candidates[0]) if candidates else 'start the odometry'
    yield warning(
        'odometry',
        f'nobody publishes {topic.name}, so motion between shutters is not compensated: {advice}',
    )


def _transport(observation: NodeObservation) -> Iterator[Finding]:
    transport = observation.transport
    if transport is None or observation.image_transport != RAW:
        return
    problem = transport_problem(transport)
    if problem is not None:
        yield warning('transport', problem)


def _outputs(observation: NodeObservation) -> Iterator[Finding]:
    """Yield the listeners that an output does not reach."""
    graph = observation.graph
    for topic in graph.outputs:
        for listener in topic.others:
            sentence = _why_unreachable(topic, listener)
            if sentence is not None:
                yield Finding('warning' if graph.has_listener else 'error', topic.name, sentence)


def _why_unreachable(topic: Topic, listener: Endpoint) -> str | None:
    if listener.type != topic.type:
        return (
            f'{listener.node} takes it for {listener.type}, but it is {topic.type}: correct that'
        )
    if listener.mismatch:
        return (
            f'{listener.node} listens with a quality of service that does not match '
            f'({listener.mismatch}): make it reliable and volatile there'
        )
    return None


def _verdict(observation: NodeObservation) -> Finding:
    """Return that all is well, or that nobody knows why it is not."""
    node, sets = observation.node, observation.frame_sets
    if not observation.cameras:
        return error(
            'node',
            f'{node} is active but says nothing on /diagnostics: wait, or look at its log',
        )
    rates = [view.rate_hz for view in observation.cameras.values() if view.received]
    what = f'{observation.inference}, ' if observation.inference else ''
    return ok(
        'node',
        f'{node} works: {what}{len(rates)} of {len(observation.cameras)} cameras at '
        f'{median(rates or [0.0]):.1f} Hz, {sets.published} frame sets published in frame '
        f'{observation.base_frame}',
    )
