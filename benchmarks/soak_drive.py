"""A long drive on which something goes wrong now and then, the same for the same seed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum

import numpy as np

PERIOD_NS = 100_000_000
SETS_PER_MINUTE = 600
_START_NS = 1_700_000_000 * 10**9
_SHUTTER_OFFSET_NS = 2_000_000  # between one camera and the next
_JUMP_NS = 5_037_000_000
_OUTAGES, _OUTAGE_SETS = 2, (3, 12)  # a minute; shortest and longest
_EACH_FAULT = 12  # a minute


class Fault(str, Enum):
    """What is wrong with a frame.

    A duplicate is the second of two equal messages; a late frame comes after its camera's next.
    """

    NONE = 'as it should be'
    DUPLICATE = 'duplicate'
    LATE = 'late'
    DAMAGED = 'damaged'
    BLACK = 'black'


@dataclass(frozen=True)
class Frame:
    """An image to send.

    Attributes:
        camera: Who sends it.
        stamp_ns: Its shutter time.
        fault: What is wrong with it.
    """

    camera: str
    stamp_ns: int
    fault: Fault = Fault.NONE


@dataclass(frozen=True)
class _Minute:
    """What goes wrong in a minute.

    Attributes:
        jump: Before this frame set the clock is set back.
        silent: Frame set and camera of the images that are missing.
        faults: Frame set and camera of the images with which something is wrong.
    """

    jump: int
    silent: set[tuple[int, str]] = field(default_factory=set)
    faults: dict[tuple[int, str], Fault] = field(default_factory=dict)


def drive(cameras: Sequence[str], sets: int, seed: int) -> Iterator[list[Frame]]:
    """Yield the frames of one moment after another, in the order in which they are sent.

    Each minute has a clock that jumps back, cameras that fall silent, and some of each other
    fault. What is late at the end comes as a last moment.

    Args:
        cameras: Names of the cameras; the first is the anchor.
        sets: How many moments there are, ten a second.
        seed: Decides what goes wrong when.
    """
    generator = np.random.default_rng(seed)
    late: list[Frame] = []
    now_ns = _START_NS
    for index in range(sets):
        within = index % SETS_PER_MINUTE
        if within == 0:
            minute = _minute(cameras, generator)
        now_ns += PERIOD_NS - (_JUMP_NS if within == minute.jump else 0)
        moment = list(_frames(cameras, now_ns, within, minute))
        yield [frame for frame in moment if frame.fault is not Fault.LATE] + late
        late = [frame for frame in moment if frame.fault is Fault.LATE]
    if late:
        yield late


def _minute(cameras: Sequence[str], generator: np.random.Generator) -> _Minute:
    minute = _Minute(jump=int(generator.integers(SETS_PER_MINUTE)))
    for _ in range(_OUTAGES):
        first, camera = _place(cameras, generator)
        length = int(generator.integers(*_OUTAGE_SETS, endpoint=True))
        minute.silent.update((index, camera) for index in range(first, first + length))
    for fault in (Fault.DUPLICATE, Fault.LATE, Fault.DAMAGED, Fault.BLACK):
        for _ in range(_EACH_FAULT):
            minute.faults[_place(cameras, generator)] = fault
    return minute


def _place(cameras: Sequence[str], generator: np.random.Generator) -> tuple[int, str]:
    return int(generator.integers(SETS_PER_MINUTE)), cameras[int(generator.integers(len(cameras)))]


def _frames(
    cameras: Sequence[str], stamp_ns: int, within: int, minute: _Minute
) -> Iterator[Frame]:
    for number, camera in enumerate(cameras):
        if (within, camera) in minute.silent:
            continue
        fault = minute.faults.get((within, camera), Fault.NONE)
        frame = Frame(camera, stamp_ns + number * _SHUTTER_OFFSET_NS, fault)
        if fault is Fault.DUPLICATE:
            yield replace(frame, fault=Fault.NONE)
        yield frame
