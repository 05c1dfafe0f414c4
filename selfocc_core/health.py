"""How well the cameras work together: the ladder from "all" over "some" to "too few"."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from statistics import median

_STARTUP_S = 5.0  # drivers need a moment; then a camera that was never heard is missing
# A single damaged image is counted, but is no lost camera; two of the last ten are.
_FAULTS, _RECENT_IMAGES = 2, 10
_RECENT_INTERVALS = 8
_UNUSED_AFTER_S = 1.0
_SLOW_PERIODS = 3  # so many periods without an image make a slow camera silent
_SLOWEST = 10  # but at most so many times what makes a fast one silent
_RECOVERED_AFTER_S = 1.0  # of good images only, so that a loose plug does not fill the log
NEVER_HEARD = 'no image yet'
UNMATCHED = 'its images match no frame set: their stamps are too far from the others'


class Level(IntEnum):
    """Levels of ``diagnostic_msgs/DiagnosticStatus``."""

    OK = 0
    WARN = 1
    ERROR = 2


@dataclass(frozen=True)
class Event:
    """A change worth one line in the log."""

    level: Level
    sentence: str


@dataclass(frozen=True)
class Health:
    """The state of the cameras at one moment.

    Attributes:
        level: OK: all work. WARN: some do not. ERROR: fewer work than are needed for occupancy.
        problems: What is wrong with each camera that does not work.
        sentence: The state in one sentence.
        events: What changed since the last assessment.
    """

    level: Level
    problems: Mapping[str, str]
    sentence: str
    events: Sequence[Event]


@dataclass
class _Camera:
    """What is known of a camera.

    Attributes:
        heard_s: When it was last heard.
        intervals_s: Times between the recent images.
        faults: What was wrong with each of the recent images, if anything.
        matched_s: When an image of it was last in a frame set.
        faulty_s: When an image was last wrong, or the camera silent.
        problem: The problem that was announced and is not over.
        since_s: Since when.
    """

    heard_s: float | None = None
    intervals_s: deque[float] = field(default_factory=lambda: deque(maxlen=_RECENT_INTERVALS))
    faults: deque[str | None] = field(default_factory=lambda: deque(maxlen=_RECENT_IMAGES))
    matched_s: float | None = None
    faulty_s: float | None = None
    problem: str | None = None
    since_s: float = 0.0


class HealthMonitor:
    """Follows each camera; says once when it fails and once when it is back.

    Args:
        cameras: Names of all cameras.
        minimum_cameras: With fewer there is no occupancy.
        silent_after_s: A camera that sends nothing for so long counts as lost.
        now_s: The time of a monotonic clock.
    """

    def __init__(
        self, cameras: Sequence[str], minimum_cameras: int, silent_after_s: float, now_s: float
    ) -> None:
        self._cameras = {name: _Camera() for name in cameras}
        self._minimum, self._silent_after_s = minimum_cameras, silent_after_s
        self._started_s = now_s
        self._set_formed_s: float | None = None
        self._level = Level.OK

    def image_arrived(self, camera: str, fault: str | None, now_s: float) -> None:
        """Take note of an image and of what is wrong with it, if anything."""
        state = self._cameras[camera]
        if state.heard_s is not None:
            state.intervals_s.append(now_s - state.heard_s)
        state.heard_s = now_s
        state.faults.append(fault)
        if fault is not None:
            state.faulty_s = now_s

    def set_formed(self, cameras: Iterable[str], now_s: float) -> None:
        """Take note of the cameras whose images were in a frame set."""
        self._set_formed_s = now_s
        for camera in cameras:
            self._cameras[camera].matched_s = now_s

    def assess(self, now_s: float) -> Health:
        """Return the present state, with what changed since the last call."""
        events = [event for name in self._cameras for event in self._follow(name, now_s)]
        problems = {name: c.problem for name, c in self._cameras.items() if c.problem is not None}
        level = self._level_of(problems)
        events += self._change_of_level(level)
        self._level = level
        return Health(level, problems, self._sentence(problems), events)

    def _follow(self, name: str, now_s: float) -> list[Event]:
        """Bring a camera's announced problem up to date."""
        camera = self._cameras[name]
        problem = self._present_problem(camera, now_s)
        if problem is None and camera.problem is not None and self._is_steady(camera, now_s):
            text = f'camera "{name}" works again after {now_s - camera.since_s:.1f} s'
            camera.problem = None
            return [Event(Level.OK, text)]
        if problem is None or problem == camera.problem:
            return []
        if camera.problem is None:
            camera.since_s = now_s
        camera.problem = problem
        return [Event(Level.WARN, f'camera "{name}" is not used: {problem}')]

    def _present_problem(self, camera: _Camera, now_s: float) -> str | None:
        if camera.heard_s is None:
            return NEVER_HEARD if now_s - self._started_s >= _STARTUP_S else None
        if now_s - camera.heard_s >= self._patience_s(camera):
            camera.faulty_s = now_s
            return f'no image for {self._silent_after_s:g} s'
        faults = [fault for fault in camera.faults if fault is not None]
        if len(faults) >= _FAULTS and not self._is_steady(camera, now_s):
            return faults[-1]
        if self._is_unmatched(camera, now_s):
            camera.faulty_s = now_s
            return UNMATCHED
        return None

    def _patience_s(self, camera: _Camera) -> float:
        """Return how long a camera may send nothing: a slow one longer."""
        if not camera.intervals_s:
            return self._silent_after_s
        slow_s = _SLOW_PERIODS * median(camera.intervals_s)
        return max(self._silent_after_s, min(slow_s, _SLOWEST * self._silent_after_s))

    def _is_unmatched(self, camera: _Camera, now_s: float) -> bool:
        """Whether frame sets are formed, but for a while not with this camera's good images."""
        if self._set_formed_s is None or now_s - self._set_formed_s >= _UNUSED_AFTER_S:
            return False
        matched_s = self._started_s if camera.matched_s is None else camera.matched_s
        patience_s = max(_UNUSED_AFTER_S, self._patience_s(camera))
        return self._set_formed_s - matched_s >= patience_s

    def _is_steady(self, camera: _Camera, now_s: float) -> bool:
        return camera.faulty_s is None or now_s - camera.faulty_s >= _RECOVERED_AFTER_S

    def _level_of(self, problems: Mapping[str, str]) -> Level:
        if not problems:
            return Level.OK
        enough = len(self._cameras) - len(problems) >= self._minimum
        return Level.WARN if enough else Level.ERROR

    def _change_of_level(self, level: Level) -> list[Event]:
        if level == Level.ERROR != self._level:
            needed = f'{self._minimum} of {len(self._cameras)} cameras are needed'
            return [Event(level, f'no occupancy: {needed}, fewer work')]
        if self._level == Level.ERROR != level:
            return [Event(Level.OK, 'enough cameras work again: occupancy goes on')]
        return []

    def _sentence(self, problems: Mapping[str, str]) -> str:
        if not problems:
            return 'all cameras work'
        listed = ', '.join(f'{name} ({problem})' for name, problem in problems.items())
        working = len(self._cameras) - len(problems)
        if working < self._minimum:
            return f'{working} cameras work, {self._minimum} are needed: {listed}'
        return f'{working} of {len(self._cameras)} cameras work; without {listed}'
