"""The soak test: its drive, its book-keeping, and a short run of it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter, defaultdict
from itertools import chain, pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip('rclpy')
pytest.importorskip('onnx')
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue

from benchmarks.node_processes import Usage
from benchmarks.soak_account import Auditor, CameraAccount, camera_accounts, total
from benchmarks.soak_drive import PERIOD_NS, SETS_PER_MINUTE, Fault, drive
from benchmarks.soak_memory import Sample, after_warm_up, slope_of
from benchmarks.soak_report import Report, text_of

ROOT = Path(__file__).resolve().parents[2]
CAMERAS = ('front', 'left', 'right')
seeds = st.integers(0, 10**6)


def by_camera(moments):
    """Return the stamps of each camera in the order of sending."""
    stamps = defaultdict(list)
    for frame in chain.from_iterable(moments):
        stamps[frame.camera].append(frame.stamp_ns)
    return stamps


def test_the_same_seed_makes_the_same_drive():
    first, again, other = (list(drive(CAMERAS, 700, seed)) for seed in (1, 1, 2))
    assert first == again
    assert first != other


@given(seeds)
def test_a_minute_has_some_of_everything(seed):
    moments = list(drive(CAMERAS, SETS_PER_MINUTE, seed))
    faults = Counter(frame.fault for frame in chain.from_iterable(moments))
    assert all(0 < faults[fault] <= 12 for fault in Fault if fault is not Fault.NONE)
    images = sum(faults.values()) - faults[Fault.DUPLICATE]
    assert 3 <= 3 * SETS_PER_MINUTE - images <= 2 * 12
    back = {
        a for stamps in by_camera(moments).values() for a, b in pairwise(stamps) if a - b > 1e9
    }
    assert 1 <= len(back) <= len(CAMERAS) + 12


@given(seeds)
def test_duplicates_and_late_frames_are_what_they_say(seed):
    newest: dict[str, int] = {}
    for moment in drive(CAMERAS, SETS_PER_MINUTE, seed):
        for frame in moment:
            last_ns = newest.get(frame.camera, 0)
            if frame.fault is Fault.DUPLICATE:
                assert frame.stamp_ns == last_ns
            jumped = abs(frame.stamp_ns - last_ns) > 10**9
            if frame.fault is Fault.NONE and not jumped:
                assert frame.stamp_ns > last_ns
            newest[frame.camera] = frame.stamp_ns if jumped else max(last_ns, frame.stamp_ns)


@given(seeds, st.integers(1, 30))
def test_a_drive_of_any_length_keeps_its_period(seed, sets):
    moments = list(drive(CAMERAS, sets, seed))
    assert sets <= len(moments) <= sets + 1
    anchors = sorted({frame.stamp_ns for moment in moments for frame in moment})
    assert all((b - a) % 1_000_000 == 0 for a, b in pairwise(anchors))
    assert anchors[-1] - anchors[0] <= sets * PERIOD_NS + 5_037_000_000


def message(**cameras):
    """Return diagnostics with the key-values of some cameras."""
    statuses = [
        DiagnosticStatus(
            name=f'surround: camera {name}',
            values=[KeyValue(key=key, value=str(value)) for key, value in values.items()],
        )
        for name, values in cameras.items()
    ]
    return DiagnosticArray(status=statuses)


GOOD = {'received': 10, 'used': 6, 'dropped: late': 2, 'dropped: superseded': 1, 'waiting': 1}


def test_the_account_of_a_camera_adds_up():
    account = camera_accounts(message(front=GOOD), ['front'])['front']
    assert account == CameraAccount(10, 6, {'late': 2, 'superseded': 1}, 1)
    assert account.unaccounted == 0


def test_what_a_node_does_not_tell_is_unaccounted_for():
    accounts = camera_accounts(message(front={'received': 10}), ['front', 'left'])
    assert accounts['front'].unaccounted == 10
    assert accounts['left'] == CameraAccount(0, 0, {}, 0)


def test_accounts_of_all_cameras_together():
    accounts = [CameraAccount(10, 7, {'late': 3}, 0), CameraAccount(5, 2, {'late': 1}, 2)]
    assert total(accounts) == CameraAccount(15, 9, {'late': 4}, 2)


def test_the_auditor_remembers_the_worst_and_notices_rest():
    auditor = Auditor(['front', 'left'])
    # Errors of two cameras must not cancel out.
    auditor.take(message(front=GOOD, left={'received': 1, 'used': 3}))
    assert (auditor.worst, auditor.at_rest) == (2, False)
    auditor.take(message(front={**GOOD, 'received': 13}, left={'received': 0, 'used': 3}))
    assert (auditor.worst, auditor.at_rest) == (6, False)
    auditor.take(message(front=GOOD, left={'received': 1, 'used': 1}))
    auditor.take(message(front=GOOD, left={'received': 1, 'used': 1}))
    assert (auditor.worst, auditor.at_rest, auditor.audits) == (6, True, 4)


@given(st.floats(-1e4, 1e4), st.floats(0, 1e6), st.integers(3, 30))
def test_the_slope_of_a_straight_line(kb_per_minute, start_kb, count):
    sets = list(range(0, 50 * count, 50))
    memory_kb = [start_kb + kb_per_minute * at / SETS_PER_MINUTE for at in sets]
    slope = slope_of(sets, memory_kb)
    assert slope.kb_per_minute == pytest.approx(kb_per_minute, abs=1e-3, rel=1e-6)
    assert slope.standard_error == pytest.approx(0.0, abs=1e-3)
    assert slope.kb_per_1000_sets == pytest.approx(slope.kb_per_minute / 0.6)


def test_noise_is_no_slope():
    generator = np.random.default_rng(0)
    sets = list(range(0, 18000, 50))
    slope = slope_of(sets, generator.normal(300_000, 500, len(sets)))
    assert abs(slope.kb_per_minute) < 4 * slope.standard_error < 20


def test_two_samples_have_no_slope():
    assert np.isnan(slope_of([0, 1], [5, 6]).kb_per_minute)


def samples(threads_at_end=17):
    return [
        Sample(at, Usage(0.0, 300_000, 100_000, 310_000, 17 if at < 600 else threads_at_end))
        for at in range(0, 601, 50)
    ]


def test_a_fifth_is_warm_up():
    assert [sample.sets for sample in after_warm_up(samples())] == list(range(150, 601, 50))


def report(account=(10, 9, {'late': 1}, 0), worst=0, sent=10, **more):
    return Report(
        sets=600,
        wall_s=10.0,
        sent={'late': 1, 'as it should be': sent - 1},
        sent_by={'front': sent},
        accounts={'front': CameraAccount(*account)},
        audits=5,
        worst=worst,
        samples=samples(**more),
    )


def test_a_good_run_has_no_problems():
    assert report().problems() == []
    assert report(sent=12).problems() == []  # images may be lost between the processes
    text = text_of(report(sent=12))
    assert 'lost on the way: 2' in text
    assert 'received: 10 = used 9 + late 1 + waiting 0 + unaccounted 0' in text
    assert 'WRONG' not in text


def test_problems_are_named():
    assert 'off by 3 images' in report(worst=3).problems()[0]
    assert 'front sent 9, received 10' in report(sent=9).problems()[0]
    assert 'there were 17 threads and in the end 18' in report(threads_at_end=18).problems()[0]
    assert text_of(report(worst=3)).count('WRONG') == 1


@pytest.mark.ros
@pytest.mark.slow
def test_a_minute_of_faults_is_accounted_for(tmp_path):
    command = [sys.executable, '-m', 'benchmarks.soak', '--minutes', '1', '--seed', '3']
    command += ['--json', str(tmp_path / 'soak.json')]
    done = subprocess.run(
        command, check=False, cwd=ROOT, capture_output=True, text=True, timeout=280
    )
    assert done.returncode == 0, done.stdout + done.stderr
    content = json.loads((tmp_path / 'soak.json').read_text())
    assert content['problems'] == []
    assert content['sets'] == 600
    assert all(account['used'] > 0 for account in content['accounts'].values())
    assert all(content['sent'][fault.value] > 0 for fault in Fault)
