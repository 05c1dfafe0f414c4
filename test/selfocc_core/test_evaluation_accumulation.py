from __future__ import annotations

import pickle
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from selfocc_core.depth import DepthImage
from selfocc_core.errors import SelfOccError
from selfocc_core.evaluation.accumulation import FrameStatistics
from selfocc_core.evaluation.depth import DepthErrors
from selfocc_core.evaluation.depth_protocol import KITTI_EIGEN
from selfocc_core.evaluation.f_score import FScore
from selfocc_core.evaluation.occupancy import OccupancyScores, OccupancyTruth
from selfocc_core.evaluation.ray_iou import RayIou, TrueHits
from selfocc_core.evaluation.self_consistency import PhotometricError, TemporalAgreement, View
from selfocc_core.evaluation.semantic_iou import SemanticClasses, SemanticIou
from selfocc_core.transforms import transform_from_quaternion
from selfocc_core.voxels import VoxelGrid

GRID = VoxelGrid((-4.0, -4.0, -1.0), (4.0, 4.0, 3.0), (8, 8, 4))
CLASSES = SemanticClasses(('a', 'b', 'others'), others='others')
FRAMES = tuple(('drive', 10**9 * number) for number in range(6))

METRICS = {
    'occupancy': lambda: OccupancyScores(GRID),
    'classes': lambda: SemanticIou(CLASSES),
    'f_score': lambda: FScore(GRID),
    'rays': lambda: RayIou(CLASSES),
    'depth': lambda: DepthErrors(KITTI_EIGEN),
    'photometric': lambda: PhotometricError(GRID),
    'agreement': lambda: TemporalAgreement(GRID),
}


def add_frame(scores, frame):
    """Add random results that depend on nothing but the frame."""
    random = np.random.default_rng(frame[1] // 10**9)
    predicted, true, visible = random.random((3, *GRID.shape)) < 0.4
    labels, true_labels = random.integers(0, 3, (2, *GRID.shape)).astype(np.uint8)
    truth = OccupancyTruth(true, visible, true & (np.arange(4) == 0))
    if isinstance(scores, OccupancyScores):
        scores.add(predicted, truth, {'left': GRID.centers()[..., 1] > 0}, frame)
    elif isinstance(scores, SemanticIou):
        scores.add(labels, predicted, true_labels, true, visible, frame=frame)
    elif isinstance(scores, FScore):
        scores.add(predicted, truth, frame)
    elif isinstance(scores, RayIou):
        hits = TrueHits.of_labels(true_labels, true, GRID, np.array([0.1, 0.2, 1.3]))
        scores.add(predicted, hits, labels, frame)
    elif isinstance(scores, DepthErrors):
        for camera in ('front', 'back'):
            depths = random.uniform(0.3, 90, (2, 50))
            scores.add(camera, *depths, {'near': depths[1] < 20}, frame)
    elif isinstance(scores, PhotometricError):
        views = [view(random.integers(0, 255, (24, 32, 3)).astype(np.uint8)) for _ in range(2)]
        depth = DepthImage(random.uniform(2, 9, (24, 32)).astype(np.float32), K)
        scores.add('front', *views, STEP, depth, frame)
    else:
        scores.add(*random.integers(0, 3, (2, *GRID.shape)).astype(np.uint8), STEP, frame)


K = np.array([[30.0, 0, 15.5], [0, 30.0, 11.5], [0, 0, 1]])
STEP = transform_from_quaternion((-0.5, 0.0, 0.0), (0, 0, 0.01, 1))


def view(image):
    camera = np.array([[0.0, 0, 1, 0], [-1, 0, 0, 0], [0, -1, 0, 1.5], [0, 0, 0, 1]])
    return View(image, K, camera)


def scores_of(metric, frames):
    scores = METRICS[metric]()
    for frame in frames:
        add_frame(scores, frame)
    return scores


@pytest.mark.parametrize('metric', METRICS)
@settings(max_examples=15)
@given(data=st.data())
def test_any_split_in_any_order_gives_the_same_bits(metric, data):
    owners = data.draw(st.lists(st.sampled_from([0, 1, 2]), min_size=6, max_size=6))
    order = data.draw(st.permutations(FRAMES))
    a, b, c = (
        scores_of(metric, [frame for frame in order if owners[FRAMES.index(frame)] == owner])
        for owner in range(3)
    )
    whole = scores_of(metric, FRAMES).summary()
    assert a.merge(b).merge(c).summary() == a.merge(b.merge(c)).summary() == whole
    assert c.merge(a).merge(b).summary() == whole


@pytest.mark.parametrize('metric', METRICS)
def test_neither_part_is_changed_by_a_merge_and_each_survives_the_way_to_a_process(metric):
    one, other = scores_of(metric, FRAMES[:2]), scores_of(metric, FRAMES[2:])
    before = one.summary(), other.summary()
    one.merge(other)
    assert (one.summary(), other.summary()) == before
    assert pickle.loads(pickle.dumps(one)).summary() == before[0]  # noqa: S301


@pytest.mark.parametrize('metric', METRICS)
def test_something_is_scored(metric):
    assert scores_of(metric, FRAMES).summary() != scores_of(metric, FRAMES[:1]).summary()
    assert scores_of(metric, FRAMES).summary() != METRICS[metric]().summary()


def test_processes_whose_sampler_repeats_frames_agree_with_one():
    """7 frames on 2 processes: a distributed sampler gives the first frame to both."""
    frames = [*FRAMES, ('other drive', 0)]
    with ProcessPoolExecutor(2, mp_context=get_context('spawn')) as pool:
        parts = list(
            pool.map(scores_of, ['occupancy'] * 2, [frames[::2], [*frames[1::2], FRAMES[0]]])
        )
    merged = parts[0].merge(parts[1]).summary()
    assert merged == scores_of('occupancy', frames).summary()
    assert merged['moments'] == 7


def test_a_frame_with_two_results_is_named():
    statistics = FrameStatistics()
    statistics.add(('a', 5), 'counts', [1, 2])
    statistics.add(('a', 5), 'counts', [1, 2])
    assert statistics.totals()['counts'].tolist() == [1, 2]
    with pytest.raises(SelfOccError, match='frame 5 of drive "a" was scored twice'):
        statistics.add(('a', 5), 'counts', [1, 3])


def test_different_protocols_do_not_merge():
    with pytest.raises(SelfOccError, match='different protocols cannot be merged'):
        DepthErrors().merge(DepthErrors(KITTI_EIGEN))
    with pytest.raises(SelfOccError, match='different protocols cannot be merged'):
        OccupancyScores(GRID).merge(OccupancyScores(GRID, ((0.0, 1.0),)))


def test_a_frame_without_a_name_has_zeros():
    statistics = FrameStatistics()
    statistics.add(('a', 1), 'front', [1.0])
    statistics.add(('a', 2), 'back', [2.0])
    assert {name: table.tolist() for name, table in statistics.by_name().items()} == {
        'back': [[0.0], [2.0]],
        'front': [[1.0], [0.0]],
    }
