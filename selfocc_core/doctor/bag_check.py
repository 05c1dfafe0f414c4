"""Whether a recorded drive has what the node and the training need."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from selfocc_core.bag_messages import camera_from_info
from selfocc_core.bags import BagReader
from selfocc_core.cameras import Camera, Rig
from selfocc_core.doctor.finding import Finding, error, ok, warning
from selfocc_core.doctor.image_check import image_findings, set_findings
from selfocc_core.doctor.motion_check import motion_findings
from selfocc_core.doctor.observation import COMPRESSED_IMAGE, IMAGE
from selfocc_core.doctor.recorded_images import read_images
from selfocc_core.doctor.rig_check import check_rig
from selfocc_core.doctor.sampled_bag import BUDGET_BYTES, SampledBag
from selfocc_core.drive_topics import camera_names, find_image_topic, info_topic
from selfocc_core.errors import SelfOccError, sentence_of
from selfocc_core.model_card import ModelCard
from selfocc_core.rig_from_bag import static_transforms
from selfocc_core.transform_tree import TransformTree

_BASE_FRAME = 'base_link'


def check_bag(
    path: Path | str,
    rig: Rig | None = None,
    card: ModelCard | None = None,
    budget_bytes: int = BUDGET_BYTES,
) -> list[Finding]:
    """Return what is right and wrong with a recorded drive; never raises for what is in it.

    Of a large bag only moments are read, evenly spread over the drive.

    Args:
        path: The bag.
        rig: Its cameras, where the bag's own calibration is not to be used.
        card: The model that the drive is for.
        budget_bytes: How much of the bag is read, about.
    """
    try:
        with SampledBag(path, budget_bytes) as sampled, BagReader(path) as whole:
            return list(_findings(sampled, whole, rig, card))
    except SelfOccError as problem:
        return [error('bag', str(problem))]
    except Exception as problem:  # whatever a damaged message leads a reader to
        return [error('bag', f'{path} cannot be checked, it is damaged: {sentence_of(problem)}')]


def _findings(
    sampled: SampledBag, whole: BagReader, rig: Rig | None, card: ModelCard | None
) -> Iterator[Finding]:
    yield _contents(sampled)
    try:
        recorded = camera_names(whole)
    except SelfOccError as problem:
        yield error('cameras', _with_images(str(problem), whole))
        return
    yield ok('cameras', f'{len(recorded)}: {", ".join(recorded)}')
    if rig is not None:
        yield from _strangers(recorded, rig)
    calibration = _calibration(whole, recorded) if rig is None else {c.name: c for c in rig}
    topics = {name: find_image_topic(whole, name) for name in calibration}
    yield from _lacks(topics, calibration)
    cameras = {name: c for name, c in calibration.items() if isinstance(c, Camera)}
    read = {name: topic for name, topic in topics.items() if topic is not None}
    if read:
        images, sets = read_images(sampled, read)
        yield from image_findings(images, cameras)
        yield from set_findings(images, sets)
        yield from motion_findings(sampled, images, _BASE_FRAME)
    if cameras:
        yield from check_rig(Rig(tuple(cameras.values())), card)


def _contents(bag: SampledBag) -> Finding:
    seconds = (bag.end_ns - bag.start_ns) * 1e-9
    what = f'{seconds:.1f} s, {bag.count()} messages on {len(bag.topics)} topics'
    if bag.is_whole:
        return ok('bag', what)
    return ok('bag', f'{what}; it is large, so {100 * bag.share:.0f} % of it is looked at')


def _with_images(problem: str, bag: BagReader) -> str:
    images = sorted(t for t, kind in bag.topics.items() if kind in {IMAGE, COMPRESSED_IMAGE})
    listed = ', '.join(images) or 'no topic'
    return f'{problem} ({listed} of the bag has images)'


def _strangers(recorded: Sequence[str], rig: Rig) -> Iterator[Finding]:
    """Yield the cameras that only the bag has; those that only the rig has lack images."""
    unused = [name for name in recorded if name not in rig.names]
    if unused:
        yield warning('cameras', f'the rig has no {", ".join(unused)}: they are not used')


def _lacks(
    topics: Mapping[str, str | None], calibration: Mapping[str, Camera | str]
) -> Iterator[Finding]:
    """Yield the cameras without images, and those whose calibration cannot be used."""
    for name, topic in topics.items():
        if topic is None:
            yield error(
                f'camera {name}', 'it has no images: record them, under the name of the rig'
            )
    for name, problem in calibration.items():
        if isinstance(problem, str):
            yield error(f'camera {name}', problem)


def _calibration(bag: BagReader, names: Sequence[str]) -> Mapping[str, Camera | str]:
    """Return each camera of the bag, or what is wrong with its calibration."""
    tree = static_transforms(bag)
    return {name: _camera(bag, name, tree) for name in names}


def _camera(bag: BagReader, name: str, tree: TransformTree) -> Camera | str:
    topic = info_topic(bag, name)
    info: Any = next(bag.messages([topic]), None)
    if info is None:
        return f'{topic} has no message: record it, or give a rig file'
    try:
        message = info.decode()
        extrinsics = tree.lookup(_BASE_FRAME, message.header.frame_id)
        return camera_from_info(name, message, extrinsics)
    except SelfOccError as problem:
        return str(problem)
