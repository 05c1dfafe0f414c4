"""The benchmark of the node and the baseline that it compares with."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip('rclpy')
pytest.importorskip('onnx')
pytest.importorskip('visualization_msgs')
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from rclpy.serialization import serialize_message
from sensor_msgs.msg import PointCloud2
from std_msgs.msg import Header

from benchmarks.baseline_node import ApproximateTime, height_colors, markers, rgb_of
from benchmarks.node import Round, comparison, latencies, size_of, stages, summary_of, table
from benchmarks.node_cameras import compressed_message, picture, raw_message
from benchmarks.node_listener import CDR_HEADER_BYTES, stamp_at
from benchmarks.node_model import street_sdf, write_node_model
from benchmarks.node_processes import ModuleProcess, usage_of
from selfocc_core.backends import open_backend
from selfocc_core.backends.interface import blank_inputs
from selfocc_core.errors import SelfOccError
from selfocc_core.model_card import ModelCard
from selfocc_core.shipped_model import shipped_model
from selfocc_core.voxels import VoxelGrid
from selfocc_ros.conversions import header

ROOT = Path(__file__).resolve().parents[2]
SLOP_NS = 60


def test_the_model_has_the_sizes_of_the_shipped_one_and_a_street_in_it(tmp_path):
    card = write_node_model(tmp_path / 'model.onnx')
    shipped = ModelCard.load_for(shipped_model())
    assert (card.input, card.grid, card.depth) == (shipped.input, shipped.grid, shipped.depth)
    backend = open_backend(tmp_path / 'model.onnx', 1, 'onnxruntime-cpu')
    outputs = backend.infer(blank_inputs(card))
    assert np.array_equal(outputs.sdf, street_sdf(card.grid.to_grid()))
    assert 12_000 < (outputs.sdf <= card.threshold).sum() < 13_000
    assert np.all(outputs.depth == 10.0)


def synchronized(arrivals, topics='abc', queue=10):
    """Return the stamps of the sets that some (topic, stamp) make."""
    found = []
    synchronizer = ApproximateTime(
        topics, queue, SLOP_NS, lambda messages: found.append([m.stamp_ns for m in messages])
    )
    for topic, stamp_ns in arrivals:
        synchronizer.add(topic, Stamped(stamp_ns))
    return found


class Stamped:
    def __init__(self, stamp_ns):
        self.stamp_ns, self.header = stamp_ns, header(stamp_ns, '')


def test_messages_that_lie_close_together_make_a_set():
    assert synchronized([('a', 100), ('b', 110), ('c', 120)]) == [[100, 110, 120]]
    assert synchronized([('c', 120), ('a', 180), ('b', 110)]) == []
    assert synchronized([('a', 100), ('b', 300), ('a', 290), ('c', 310)]) == [[290, 300, 310]]


def test_without_one_topic_there_is_no_set_and_old_messages_go():
    nine = [(topic, stamp) for stamp in range(0, 900, 100) for topic in 'ab']
    assert synchronized(nine) == []
    assert synchronized([*nine, ('c', 0)]) == [[0, 0, 0]]
    assert synchronized([*nine, ('c', 0)], queue=5) == []


@given(st.lists(st.permutations('abc'), min_size=1, max_size=20))
def test_every_moment_makes_one_set_whatever_the_order_of_its_cameras(orders):
    arrivals = [(topic, 100 * i + ord(topic) % 9) for i, o in enumerate(orders) for topic in o]
    stamps = {topic: [s for t, s in arrivals if t == topic] for topic in 'abc'}
    assert synchronized(arrivals) == [list(s) for s in zip(*stamps.values(), strict=True)]


def test_images_of_both_transports_become_rgb():
    pixels = picture(40, 60, np.random.default_rng(0))
    assert np.array_equal(rgb_of(raw_message(pixels, 'front')), pixels[..., ::-1])
    difference = rgb_of(compressed_message(pixels, 'front')).astype(int) - pixels[..., ::-1]
    assert np.abs(difference).mean() < 10


def test_pictures_differ():
    generator = np.random.default_rng(0)
    pictures = [picture(40, 60, generator) for _ in range(4)]
    assert all((one != other).mean() > 0.5 for one, other in pairwise(pictures))


def test_each_occupied_voxel_is_a_cube_with_a_colour():
    grid = VoxelGrid((0.0, 0.0, 0.0), (2.0, 3.0, 4.0), (4, 3, 2))
    occupied = np.zeros(grid.shape, bool)
    occupied[1, 2, 1] = occupied[0, 0, 0] = True
    colors = height_colors(2)
    (marker,) = markers(occupied, grid, colors, Header(frame_id='base_link')).markers
    assert [(p.x, p.y, p.z) for p in marker.points] == [(0.25, 0.5, 1.0), (0.75, 2.5, 3.0)]
    assert [[c.r, c.g, c.b, c.a] for c in marker.colors] == [[*rgb, 1.0] for rgb in colors]
    assert (marker.scale.x, marker.scale.y, marker.scale.z) == (0.5, 1.0, 2.0)


def test_stamps_are_read_without_deserialising():
    grid = VoxelGrid((0.0, 0.0, 0.0), (1.0, 1.0, 1.0), (1, 1, 1))
    stamped = header(17 * 10**9 + 23, 'base_link')
    cubes = markers(np.ones(grid.shape, bool), grid, height_colors(1), stamped)
    cloud = PointCloud2(header=stamped)
    assert stamp_at(serialize_message(cloud), CDR_HEADER_BYTES) == 17 * 10**9 + 23
    assert stamp_at(serialize_message(cubes), CDR_HEADER_BYTES + 4) == 17 * 10**9 + 23


def test_latency_counts_from_the_last_image_of_each_set_in_the_interval():
    sent_ns = [[0, 1_000_000], [10_000_000, 12_000_000], [20_000_000, 21_000_000], [30_000_000]]
    arrived_ns = {0: 9_000_000, 10_000_000: 15_000_000, 30_000_000: 99_000_000}
    found = latencies(sent_ns, arrived_ns, 12_000_000, 30_000_000)
    assert found == [pytest.approx(3.0), None]


def test_an_answer_may_carry_the_stamp_of_any_of_its_images():
    assert latencies([[1, 2_000_000]], {2_000_000: 7_000_000}, 0, 10**9) == [pytest.approx(5.0)]


def test_stages_are_read_from_diagnostics():
    values = [('model_ms_p50', '0.50'), ('model_ms_p95', '0.75'), ('published', '7')]
    keys = [KeyValue(key=key, value=value) for key, value in values]
    status = DiagnosticStatus(name='surround: inference', values=keys)
    assert stages(DiagnosticArray(status=[status])) == {'model': (0.5, 0.75)}
    assert stages(DiagnosticArray()) == {}


def a_round(name, latency_ms, cpu_s, sent=10, model_ms=2.0):
    return Round(
        subject=name,
        sent=sent,
        latency_ms=tuple(latency_ms),
        cpu_s=cpu_s,
        wall_s=1.0,
        peak_rss_kb=2048,
        stages_ms={'model': (model_ms, model_ms)} if model_ms else {},
    )


def test_a_summary_pools_rounds_and_leaves_the_model_out():
    rounds = [a_round('ours', [12.0] * 5, 0.1), a_round('ours', [22.0] * 5, 0.3, model_ms=0.0)]
    summary = summary_of(rounds)
    assert (summary.published, summary.sent) == (10, 20)
    assert (summary.p50_ms, summary.max_ms) == (16.0, 22.0)
    assert summary.cpu_ms_per_published == pytest.approx(40.0)
    assert summary.cpu_ms_per_sent == pytest.approx(20.0)
    assert summary.cores == pytest.approx(0.2)


def test_the_comparison_is_that_of_processor_time():
    ours = summary_of([a_round('ours', [12.0] * 10, 0.1)])
    baseline = summary_of([a_round('baseline', [52.0] * 5, 0.2)])
    line = comparison(ours, baseline)
    assert '0.25 for each published set, 0.50 for each sent' in line
    assert 'p95 10.0 ms against 50.0 ms' in line
    assert table([ours, baseline]).count('\n') == 3


def test_a_node_that_published_nothing_is_named():
    with pytest.raises(SelfOccError, match='baseline published nothing'):
        summary_of([a_round('baseline', [], 0.1)])


def test_usage_of_this_process():
    before = usage_of(os.getpid())
    sum(i * i for i in range(10**6))
    after = usage_of(os.getpid())
    assert after.cpu_s >= before.cpu_s > 0
    assert after.peak_rss_kb >= after.rss_kb > after.anonymous_kb > 1000
    assert after.threads >= 1


def test_a_process_that_ended_is_noticed_with_its_last_words(tmp_path):
    with ModuleProcess('benchmarks.baseline_node', ['--nonsense'], tmp_path / 'log') as process:
        process._process.wait(30)
        with pytest.raises(SelfOccError, match=r'benchmarks\.baseline_node has ended: .*--model'):
            process.check_alive()


def test_sizes():
    assert size_of('1600x900') == (1600, 900)


@pytest.mark.ros
@pytest.mark.slow
@pytest.mark.parametrize('transport', ['raw', 'compressed'])
def test_both_nodes_are_measured(tmp_path, transport):
    options = {
        '--size': '176x99',
        '--transport': transport,
        '--seconds': '2',
        '--warm-up': '1',
        '--rounds': '1',
        '--json': str(tmp_path / 'node.json'),
    }
    arguments = [part for option in options.items() for part in option]
    command = [sys.executable, '-m', 'benchmarks.node', *arguments]
    done = subprocess.run(
        command, check=False, cwd=ROOT, capture_output=True, text=True, timeout=240
    )
    assert done.returncode == 0, done.stderr
    report = json.loads((tmp_path / 'node.json').read_text())
    ours, baseline = report['summaries']
    assert (ours['name'], baseline['name']) == ('selfocc_ros', 'baseline')
    for summary in (ours, baseline):
        assert 0 < summary['published'] <= summary['sent']
        assert summary['cpu_ms_per_published'] > 0
        assert summary['peak_rss_mb'] > 10
    assert baseline['model_ms'] > 0
    assert 'CPU of the baseline' in done.stdout
