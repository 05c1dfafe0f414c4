from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from selfocc_core.synchronizer import Synchronizer, SynchronizerConfig

CAMERAS = ('front', 'left', 'right')
MS = 1_000_000
CONFIG = SynchronizerConfig(tolerance_ns=60 * MS, timeout_ns=100 * MS)

# Per camera: shutter times in ms; and delays of transport in ms, drawn for each frame.
arrivals = st.lists(
    st.tuples(st.sampled_from(CAMERAS), st.integers(0, 1500), st.integers(0, 300)), max_size=60
)


def replay(frames, config=CONFIG):
    """Push frames in order of arrival; the payload is the frame itself."""
    synchronizer = Synchronizer(CAMERAS, config)
    sets = []
    for camera, shutter_ms, delay_ms in sorted(frames, key=lambda f: f[1] + f[2]):
        now_ns = (shutter_ms + delay_ms) * MS
        sets += synchronizer.push(camera, shutter_ms * MS, (camera, shutter_ms), now_ns)
    return synchronizer, sets


@settings(max_examples=200)
@given(arrivals)
def test_every_frame_is_in_a_set_or_dropped_with_a_reason_or_still_waiting(frames):
    synchronizer, sets = replay(frames)
    synchronizer.reset()  # what waits now is counted as dropped
    used = sum(len(s.payloads) for s in sets)
    assert used + sum(synchronizer.dropped.values()) == len(frames)


@settings(max_examples=200)
@given(arrivals)
def test_sets_are_in_order_near_their_anchor_and_share_no_frame(frames):
    synchronizer, sets = replay(frames)
    sets += synchronizer.poll(10**15)
    stamps = [s.stamp_ns for s in sets]
    assert stamps == sorted(set(stamps))
    seen = set()
    for s in sets:
        assert s.stamp_ns == s.stamps_ns['front']
        assert s.payloads.keys() == s.stamps_ns.keys()
        for camera, payload in s.payloads.items():
            assert payload == (camera, s.stamps_ns[camera] // MS)
            assert abs(s.stamps_ns[camera] - s.stamp_ns) <= CONFIG.tolerance_ns
            assert payload not in seen
            seen.add(payload)


@settings(max_examples=50)
@given(
    st.lists(st.integers(0, 9), min_size=30, max_size=30),
    st.tuples(st.integers(-40, 40), st.integers(-40, 40)),
)
def test_a_regular_rig_loses_nothing(jitter, offsets):
    """10 Hz, any stagger up to 40 ms, a few milliseconds of transport: every set is complete."""
    frames = []
    for k in range(10):
        for c, (camera, offset) in enumerate(zip(CAMERAS, (0, *offsets), strict=True)):
            frames.append((camera, 1000 + 100 * k + offset, jitter[3 * k + c]))
    synchronizer, sets = replay(frames)
    sets += synchronizer.poll(10**15)
    assert [s.stamp_ns // MS for s in sets] == [1000 + 100 * k for k in range(10)]
    assert all(len(s.payloads) == 3 for s in sets)
    assert sum(synchronizer.dropped.values()) == 0


def test_a_complete_set_leaves_at_once():
    synchronizer = Synchronizer(CAMERAS, CONFIG)
    assert synchronizer.push('front', 100 * MS, 'f', 101 * MS) == []
    assert synchronizer.push('left', 105 * MS, 'l', 106 * MS) == []
    (complete,) = synchronizer.push('right', 110 * MS, 'r', 111 * MS)
    assert complete.payloads == {'front': 'f', 'left': 'l', 'right': 'r'}


def test_a_dead_camera_does_not_stop_the_others():
    synchronizer = Synchronizer(CAMERAS, CONFIG)
    synchronizer.push('front', 100 * MS, 'f', 100 * MS)
    synchronizer.push('left', 100 * MS, 'l', 100 * MS)
    assert synchronizer.poll(199 * MS) == []
    (partial,) = synchronizer.poll(200 * MS)
    assert set(partial.payloads) == {'front', 'left'}


def test_too_few_cameras_are_counted_not_hidden():
    config = SynchronizerConfig(60 * MS, 100 * MS, minimum_cameras=2)
    synchronizer = Synchronizer(CAMERAS, config)
    synchronizer.push('front', 100 * MS, 'f', 100 * MS)
    assert synchronizer.poll(300 * MS) == []
    assert synchronizer.dropped == {'too few cameras': 1}


def test_a_frame_from_the_past_is_counted():
    synchronizer = Synchronizer(CAMERAS, CONFIG)
    synchronizer.push('left', 100 * MS, 'l', 100 * MS)
    synchronizer.push('left', 50 * MS, 'l', 101 * MS)
    assert synchronizer.dropped == {'out of order': 1}


def test_reset_allows_time_to_jump_back():
    synchronizer, sets = replay([(c, 1000, 0) for c in CAMERAS])
    assert len(sets) == 1
    synchronizer.reset()
    for camera in CAMERAS:
        sets += synchronizer.push(camera, 0, camera, 0)
    assert [s.stamp_ns for s in sets] == [1000 * MS, 0]


def test_a_frame_that_comes_twice_is_used_once():
    synchronizer = Synchronizer(CAMERAS, CONFIG)
    sets = []
    for shutter_ms in (100, 130):
        synchronizer.push('front', shutter_ms * MS, 'f', 150 * MS)
        synchronizer.push('left', 120 * MS, 'l', 150 * MS)
        sets += synchronizer.poll(300 * MS)
    assert [set(s.payloads) for s in sets] == [{'front', 'left'}, {'front'}]
    assert synchronizer.dropped == {'out of order': 1}


def test_a_clock_that_is_set_back_does_not_silence_the_cameras():
    synchronizer = Synchronizer(('a', 'b'))
    emitted = []
    for start_ns in (10**12, 10**9):  # the bag begins again
        for k in range(5):
            for camera in ('a', 'b'):
                stamp_ns = start_ns + k * 10**8
                emitted += synchronizer.push(camera, stamp_ns, None, stamp_ns)
    assert [s.stamp_ns for s in emitted if s.stamp_ns < 10**12] == [
        10**9 + k * 10**8 for k in range(5)
    ]


def test_a_dead_camera_does_not_stop_the_others_however_long_the_timeout():
    config = SynchronizerConfig(timeout_ns=10**10)
    synchronizer = Synchronizer(('a', 'b', 'dead'), config)
    emitted = []
    for k in range(20):
        for camera in ('a', 'b'):
            emitted += synchronizer.push(camera, k * 10**8, None, k * 10**8)
    assert len(emitted) >= 15
    assert all(set(s.payloads) == {'a', 'b'} for s in emitted)
