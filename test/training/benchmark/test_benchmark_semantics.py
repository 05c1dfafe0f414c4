from __future__ import annotations

import numpy as np
import pytest

from selfocc_core.evaluation.ray_iou import TrueHits
from selfocc_core.semantics import CLASS_NAMES
from training.benchmark.predictions import Prediction, world_labels
from training.benchmark.recorded import read_world
from training.benchmark.scores import WorldScores, mean_over
from training.benchmark.table import print_tables
from training.benchmark.worlds import cached_drive


@pytest.fixture(scope='module')
def recorded(cache, small_worlds):
    return read_world(cached_drive(5, small_worlds, cache), small_worlds.grid)


def scores_of(recorded, grid, labels_of):
    scores = WorldScores(recorded.rig, grid)
    for moment in recorded.moments:
        truth = moment.truth.occupancy
        hits = TrueHits.of(truth, grid, np.array([0.94, 0.0, 1.84]))
        scores.add(Prediction(truth.occupied, {}, {}, labels_of(truth)), moment.truth, hits, {})
    return scores.summary()


def test_every_occupied_voxel_has_a_class(recorded):
    for moment in recorded.moments:
        truth = moment.truth.occupancy
        assert (truth.labels[truth.occupied] > 0).all()
        assert (truth.labels[~truth.occupied] == 0).all()
        np.testing.assert_array_equal(np.isin(truth.labels, [1, 2, 3]), truth.ground)


def test_the_truth_has_all_classes_right(recorded, small_worlds):
    found = scores_of(recorded, small_worlds.grid, lambda truth: truth.labels)
    semantics = found['occupancy']['semantics']
    assert set(semantics['miou']) == {'all', 'without_others', 'without_others_and_other_flat'}
    assert set(semantics['miou'].values()) == {1.0}
    assert set(semantics['per_class']) == set(CLASS_NAMES[1:])
    assert set(semantics['per_class'].values()) <= {1.0, None}


def test_one_class_for_all_is_right_about_one(recorded, small_worlds):
    road = CLASS_NAMES.index('road')
    found = scores_of(recorded, small_worlds.grid, lambda t: np.full_like(t.labels, road))
    semantics = found['occupancy']['semantics']
    visible = [m.truth.occupancy for m in recorded.moments]
    seen = np.concatenate([t.labels[t.occupied & t.visible] for t in visible])
    assert semantics['per_class']['road'] == pytest.approx((seen == road).mean())
    assert semantics['miou']['all'] == pytest.approx((seen == road).mean() / len(np.unique(seen)))


def test_what_knows_no_classes_has_no_semantics(recorded, small_worlds):
    found = scores_of(recorded, small_worlds.grid, lambda truth: None)
    assert 'semantics' not in found['occupancy']
    labels = np.zeros((2, 2, 2), np.uint8)
    assert world_labels(None, ()) is None
    assert world_labels(labels, ('barrier', 'road')) is None
    assert (world_labels(labels, ('pole', 'road')) == CLASS_NAMES.index('pole')).all()


def test_the_table_shows_only_who_knows_classes(recorded, small_worlds, capsys):
    with_classes = scores_of(recorded, small_worlds.grid, lambda truth: truth.labels)
    without = scores_of(recorded, small_worlds.grid, lambda truth: None)

    def row(name, scores):
        return {'name': name, **mean_over([scores]), 'standard_deviation': mean_over([scores])}

    result = {
        'seeds': [5],
        'model': row('mine', with_classes),
        'baselines': {'other': row('o', without)},
    }
    print_tables(result)
    said = capsys.readouterr().out
    classes = said[said.index('Classes of visible voxels') :]
    assert 'mine' in classes
    assert 'mIoU' in classes
    assert classes.count('other ') <= 2  # the class, not the baseline
    print_tables(result | {'model': row('mine', without)})
    assert 'Classes of' not in capsys.readouterr().out
