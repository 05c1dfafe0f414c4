from __future__ import annotations

from collections import Counter
from threading import Event

from selfocc_ros.intake_worker import IntakeWorker

TIMEOUT_S = 10.0


class Blocked:
    """A worker whose work waits until it is let go."""

    def __init__(self):
        self.started, self.go, self.done = Event(), Event(), []
        self.overflowed, self.beats = Counter(), 0
        self.worker = IntakeWorker(
            self.work, self.beat, lambda name: self.overflowed.update([name])
        )

    def work(self, camera, message):
        self.started.set()
        assert self.go.wait(TIMEOUT_S)
        self.done.append((camera, message))

    def beat(self):
        self.beats += 1


def test_messages_are_worked_on_in_order_and_none_is_lost():
    blocked = Blocked()
    blocked.go.set()
    sent = [(f'camera {i % 6}', bytes([i])) for i in range(12)]
    for item in sent:
        blocked.worker.submit(*item)
    while len(blocked.done) < 12:
        assert blocked.started.wait(TIMEOUT_S)
    assert blocked.done == sent
    assert blocked.worker.stop() == {}


def test_of_a_camera_that_sends_too_fast_the_oldest_go_and_the_others_stay():
    blocked = Blocked()
    blocked.worker.submit('slow', b'at work')
    assert blocked.started.wait(TIMEOUT_S)
    blocked.worker.submit('other', b'x')
    for i in range(10):
        blocked.worker.submit('fast', bytes([i]))
    assert blocked.overflowed == {'fast': 6}
    blocked.go.set()
    while len(blocked.done) < 6:
        assert blocked.started.wait(TIMEOUT_S)
    newest = [('fast', bytes([i])) for i in (6, 7, 8, 9)]
    assert blocked.done == [('slow', b'at work'), ('other', b'x'), *newest]
    assert blocked.worker.stop() == {}


def test_what_waits_when_it_stops_is_returned():
    blocked = Blocked()
    blocked.worker.submit('a', b'at work')
    assert blocked.started.wait(TIMEOUT_S)
    blocked.worker.submit('a', b'1')
    blocked.worker.submit('b', b'2')
    blocked.go.set()
    leftover = blocked.worker.stop()
    assert len(blocked.done) + sum(leftover.values()) == 3


def test_it_beats_while_nothing_arrives():
    blocked = Blocked()
    wait = Event()
    while blocked.beats < 5:
        wait.wait(0.01)
    blocked.worker.stop()
