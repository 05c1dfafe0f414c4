"""Whatever cameras do, and in whatever order, what the synchroniser promises holds."""

from __future__ import annotations

from dataclasses import dataclass, field

from camera_traffic import MS
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from selfocc_core.frame_queue import MOST_FRAMES
from selfocc_core.synchronizer import Synchronizer, SynchronizerConfig

STEP_MS = 4  # between polls
PHASES_MS = {'front': 0, 'left': 12, 'right': 25, 'back': 83}
OFFSETS_MS = {'back': 55}

names = st.sampled_from(sorted(PHASES_MS))
clocks_ms = st.one_of(
    st.integers(-30_000, 30_000), st.sampled_from([-500, 500, -501, 501, -60, 61])
)


@dataclass
class Camera:
    """A camera that fires by itself while it is alive."""

    phase_ms: int
    alive: bool = True
    period_ms: int = 100
    latency_ms: int = 5
    clock_ms: int = 0
    last_ms: int | None = None  # the last stamp sent
    coming: list[int] = field(default_factory=list)  # shutter times

    def arrived(self, now_ms: int) -> list[int]:
        """Return the stamps of the frames that arrive now."""
        if self.alive and (now_ms - self.phase_ms) % self.period_ms < STEP_MS:
            self.coming.append(now_ms)
        arrived = [s for s in self.coming if s + self.latency_ms <= now_ms]
        self.coming = [s for s in self.coming if s + self.latency_ms > now_ms]
        return arrived


@dataclass(frozen=True)
class Sent:
    """A frame that was pushed."""

    number: int
    camera: str
    stamp_ms: int
    arrival_ms: int

    @property
    def moment_ns(self) -> int:
        return (self.stamp_ms - OFFSETS_MS.get(self.camera, 0)) * MS


class SynchronizerMachine(RuleBasedStateMachine):
    """Four cameras, of which each may do what it likes."""

    @initialize(
        reference=st.sampled_from(['anchor', 'first']),
        minimum=st.integers(1, 3),
        timeout_ms=st.sampled_from([100, 150, 1000]),
        tolerance_ms=st.sampled_from([40, 60]),
    )
    def set_up(self, reference, minimum, timeout_ms, tolerance_ms):
        self.config = SynchronizerConfig(
            tolerance_ns=tolerance_ms * MS,
            timeout_ns=timeout_ms * MS,
            minimum_cameras=minimum,
            reference=reference,
            silent_after_ns=300 * MS,
            max_clock_skew_ns=500 * MS,
            offsets_ns={name: offset * MS for name, offset in OFFSETS_MS.items()},
        )
        self.synchronizer = Synchronizer(tuple(PHASES_MS), self.config)
        self.cameras = {name: Camera(phase_ms) for name, phase_ms in PHASES_MS.items()}
        self.now_ms, self.epoch_ms = 0, 10**6
        self.sent = dict.fromkeys(PHASES_MS, 0)
        self.used = dict.fromkeys(PHASES_MS, 0)
        self.used_numbers = set()
        self.jumps, self.last_ns = 0, None
        self.unpolled_until_ms = -1
        self.left = []

    # What may happen

    @rule(ms=st.integers(1, 500))
    def time_passes(self, ms):
        for _ in range(0, ms, STEP_MS):
            self.now_ms += STEP_MS
            for name, camera in self.cameras.items():
                for shutter_ms in camera.arrived(self.now_ms):
                    self.send(name, shutter_ms + camera.clock_ms + self.epoch_ms)
            self.check(self.synchronizer.poll(self.now_ms * MS))

    @rule(name=names, late_ms=st.integers(0, 700))
    def a_late_frame(self, name, late_ms):
        clock_ms = self.cameras[name].clock_ms + self.epoch_ms
        self.send(name, self.now_ms + clock_ms - late_ms)

    @rule(name=names, before_ms=st.integers(0, 700))
    def a_duplicate_or_one_out_of_order(self, name, before_ms):
        if self.cameras[name].last_ms is not None:
            self.send(name, self.cameras[name].last_ms - before_ms)

    @rule(name=names, count=st.integers(1, 40), apart_ms=st.integers(1, 20))
    def a_flood(self, name, count, apart_ms):
        for _ in range(count):
            self.send(name, (self.cameras[name].last_ms or self.epoch_ms) + apart_ms)

    @rule(name=names, period_ms=st.sampled_from([16, 33, 100, 200, 1000]))
    def another_rate(self, name, period_ms):
        self.cameras[name].period_ms = period_ms

    @rule(name=names, latency_ms=st.integers(0, 300))
    def another_latency(self, name, latency_ms):
        self.cameras[name].latency_ms = latency_ms

    @rule(name=names)
    def dies_or_returns(self, name):
        self.cameras[name].alive = not self.cameras[name].alive

    @rule(alive=st.booleans())
    def the_anchor_dies_or_returns(self, alive):
        self.cameras['front'].alive = alive

    @rule(alive=st.booleans())
    def all_die_or_return(self, alive):
        for camera in self.cameras.values():
            camera.alive = alive

    @rule(by_ms=clocks_ms)
    def all_clocks_jump(self, by_ms):
        self.epoch_ms += by_ms

    @rule(name=names, by_ms=clocks_ms)
    def one_clock_jumps(self, name, by_ms):
        self.cameras[name].clock_ms += by_ms

    @rule(pause_ms=st.integers(500, 30_000))
    def nothing_happens_for_long(self, pause_ms):
        self.ignore_waiting()
        self.now_ms += pause_ms
        for camera in self.cameras.values():
            camera.coming.clear()
        self.check(self.synchronizer.poll(self.now_ms * MS))

    @rule(back_ms=st.integers(501, 5000))
    def the_clock_of_arrival_is_set_back(self, back_ms):
        self.now_ms -= back_ms
        for camera in self.cameras.values():
            camera.coming.clear()
        self.check(self.synchronizer.poll(self.now_ms * MS))

    @rule()
    def reset(self):
        self.synchronizer.reset()
        self.last_ns = None

    @rule()
    def all_is_well_again(self):
        """Soon every set is complete, and leaves with its last frame."""
        for name, camera in self.cameras.items():
            camera.__init__(PHASES_MS[name])
        self.time_passes(3000)
        self.left.clear()
        self.time_passes(1000)
        assert len(self.left) in {9, 10, 11}
        for left_ms, found in self.left:
            assert found.keys() == PHASES_MS.keys()
            assert left_ms == max(sent.arrival_ms for sent in found.values())

    # What must hold

    @invariant()
    def every_frame_is_in_one_place(self):
        waiting = self.synchronizer.waiting
        for name, sent in self.sent.items():
            dropped = self.synchronizer.dropped[name].total()
            assert sent == self.used[name] + dropped + waiting[name]
            assert waiting[name] <= MOST_FRAMES

    @invariant()
    def there_is_an_anchor(self):
        if self.config.reference == 'anchor':
            assert self.synchronizer.acting_anchor in PHASES_MS
        else:
            assert self.synchronizer.acting_anchor is None

    def teardown(self):
        """At last nothing waits."""
        if hasattr(self, 'synchronizer'):
            self.ignore_waiting()
            self.check(self.synchronizer.poll((self.now_ms + 10_000) * MS))
            self.synchronizer.reset()
            assert set(self.synchronizer.waiting.values()) == {0}
            self.every_frame_is_in_one_place()

    def send(self, name, stamp_ms):
        self.cameras[name].last_ms = stamp_ms
        self.sent[name] += 1
        frame = Sent(sum(self.sent.values()), name, stamp_ms, self.now_ms)
        self.check(self.synchronizer.push(name, stamp_ms * MS, frame, self.now_ms * MS))

    def ignore_waiting(self):
        """Let the sets leave late that wait now: nobody polls for a while."""
        self.unpolled_until_ms = self.now_ms

    def check(self, found):
        if self.synchronizer.clock_jumps != self.jumps:
            self.jumps, self.last_ns = self.synchronizer.clock_jumps, None
        for one in found:
            self.check_set(one)

    def check_set(self, one):
        assert self.last_ns is None or one.stamp_ns > self.last_ns
        self.last_ns = one.stamp_ns
        assert len(one.payloads) >= self.config.minimum_cameras
        assert one.payloads.keys() == one.stamps_ns.keys()
        for name, sent in one.payloads.items():
            assert sent.camera == name
            assert one.stamps_ns[name] == sent.stamp_ms * MS
            assert abs(sent.moment_ns - one.stamp_ns) <= self.config.tolerance_ns
            assert sent.number not in self.used_numbers
            self.used_numbers.add(sent.number)
            self.used[name] += 1
        self.check_when_it_left(one)
        self.left.append((self.now_ms, one.payloads))

    def check_when_it_left(self, one):
        openers = [s for s in one.payloads.values() if s.moment_ns == one.stamp_ns]
        assert openers
        latest_ms = max(sent.arrival_ms for sent in openers)
        if latest_ms > self.unpolled_until_ms:
            assert (self.now_ms - latest_ms) * MS < self.config.timeout_ns + STEP_MS * MS


TestSynchronizer = SynchronizerMachine.TestCase
TestSynchronizer.settings = settings(max_examples=60, stateful_step_count=30)
