from __future__ import annotations

import threading

from selfocc_ros.latest_only_worker import LatestOnlyWorker


def test_only_the_newest_item_waits_and_none_vanishes():
    started, may_finish = threading.Event(), threading.Event()
    worked, superseded = [], []

    def work(item):
        started.set()
        may_finish.wait(10)
        worked.append(item)

    worker = LatestOnlyWorker(work, superseded.append)
    worker.submit(1)
    assert started.wait(10)
    for item in (2, 3, 4):
        worker.submit(item)
    assert superseded == [2, 3]
    stopper = threading.Thread(target=lambda: superseded.extend(worker.stop()))
    stopper.start()
    may_finish.set()
    stopper.join(10)
    assert worked + superseded == [1, 2, 3, 4] or (worked, superseded) == ([1, 4], [2, 3])
