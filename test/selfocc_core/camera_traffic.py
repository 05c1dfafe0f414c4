"""Cameras that fire by the rules of a test, and a synchroniser that is polled as in the node."""

from __future__ import annotations

from dataclasses import dataclass, replace

from selfocc_core.synchronizer import Synchronizer, SynchronizerConfig

MS = 1_000_000
POLL_MS = 5
CAMERAS = ('front', 'left', 'right')
_IN_MS = ('tolerance', 'timeout', 'silent_after', 'max_clock_skew')


@dataclass(frozen=True)
class Shot:
    """A frame on its way: its stamp and its arrival in ms."""

    camera: str
    stamp_ms: int
    arrival_ms: float


def config(**changed):
    """Return a configuration; ``tolerance=60`` is in ms; silence and skew are short."""
    changed = {'silent_after': 300, 'max_clock_skew': 500} | changed
    return SynchronizerConfig(
        **{f'{name}_ns': value * MS for name, value in changed.items() if name in _IN_MS},
        **{name: value for name, value in changed.items() if name not in _IN_MS},
    )


def synchronizer(cameras=CAMERAS, **changed):
    return Synchronizer(cameras, config(**changed))


def camera(name, phase=0, *, period=100, latency=5, clock=0, start=0, end=2000):
    """Return the frames of a regular camera whose shutter opens in [start, end)."""
    return [
        Shot(name, shutter + clock, shutter + latency)
        for shutter in range(start + phase, end, period)
    ]


def rig(**changed):
    """Return the frames of three cameras that fire 10 ms apart."""
    return [camera(name, 10 * index, **changed) for index, name in enumerate(CAMERAS)]


def later(shots, stamp_ms=0, arrival_ms=0):
    return [
        replace(s, stamp_ms=s.stamp_ms + stamp_ms, arrival_ms=s.arrival_ms + arrival_ms)
        for s in shots
    ]


def paced(shots, factor):
    """Return the frames as they arrive when a recording is played faster or slower."""
    return [replace(s, arrival_ms=s.arrival_ms / factor) for s in shots]


def play(synchronizer, *cameras):
    """Push frames as they arrive, poll meanwhile; return sets and when they left, in ms."""
    left, now_ms = [], 0
    for shot in sorted((s for shots in cameras for s in shots), key=lambda s: s.arrival_ms):
        while now_ms < shot.arrival_ms:
            left += [(now_ms, found) for found in synchronizer.poll(now_ms * MS)]
            now_ms += POLL_MS
        ready = synchronizer.push(
            shot.camera, shot.stamp_ms * MS, shot, round(shot.arrival_ms * MS)
        )
        left += [(shot.arrival_ms, found) for found in ready]
    return left


def waits(left):
    """Return how long each set waited after the frame that opened it arrived, in ms."""
    return [
        now_ms - opener.arrival_ms
        for now_ms, found in left
        for opener in found.payloads.values()
        if opener.stamp_ms * MS == found.stamp_ns
    ]


def stamps_ms(left):
    return [found.stamp_ns // MS for _, found in left]


def cameras_of(left):
    """Return the initials of the cameras in each set."""
    return [''.join(sorted(name[0] for name in found.payloads)) for _, found in left]
