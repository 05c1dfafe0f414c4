from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from selfocc_core.errors import SelfOccError
from selfocc_core.evaluation.semantic_iou import SemanticClasses, SemanticIou

# The classes of Occ3D-nuScenes, in its order.
OCC3D = SemanticClasses(
    (
        'others', 'barrier', 'bicycle', 'bus', 'car', 'construction_vehicle', 'motorcycle',
        'pedestrian', 'traffic_cone', 'trailer', 'truck', 'driveable_surface', 'other_flat',
        'sidewalk', 'terrain', 'manmade', 'vegetation',
    ),
    others='others',
    other_flat='other_flat',
)  # fmt: skip
THREE = SemanticClasses(('a', 'b', 'c'))


def moment(seed, classes=17, unsaid=()):
    """Random classes in which some are true, but never predicted."""
    random = np.random.default_rng(seed)
    shape = (17, 9, 6)
    true = random.integers(0, classes, shape).astype(np.uint8)
    predicted = np.where(random.random(shape) < 0.5, true, random.integers(0, classes, shape))
    predicted[np.isin(predicted, unsaid)] = 4
    occupied, said, mask = random.random((3, *shape)) < 0.7
    return predicted.astype(np.uint8), said, true, occupied, mask


def summary_of(moments, classes=OCC3D):
    scores = SemanticIou(classes)
    for of_moment in moments:
        scores.add(*of_moment)
    return scores.summary()


@settings(max_examples=30)
@given(st.integers(0, 10**6))
def test_without_both_is_17_fifteenths_where_both_are_missed(seed):
    miou = summary_of([moment(seed, unsaid=(0, 12))])['miou']
    assert miou['without_others_and_other_flat'] == pytest.approx(miou['all'] * 17 / 15)
    assert miou['without_others'] == pytest.approx(miou['all'] * 17 / 16)


def test_the_published_numbers_are_one_number():
    """Sum of the published IoUs of SelfOcc: 158.11 %, of which none is of others or other flat."""
    counts = [len(OCC3D.counted[name]) for name in OCC3D.counted]
    assert counts == [17, 16, 15]
    assert [round(158.11 / count, 2) for count in counts] == [9.30, 9.88, 10.54]


@settings(max_examples=30)
@given(st.integers(0, 10**6))
def test_classes_by_other_means(seed):
    predicted, said, true, occupied, mask = moment(seed, classes=3)
    of_classes = summary_of([moment(seed, classes=3)], THREE)['per_class']
    for label, name in enumerate(THREE.names):
        is_true, is_said = mask & occupied & (true == label), mask & said & (predicted == label)
        assert of_classes[name] == (is_true & is_said).sum() / (is_true | is_said).sum()


def test_the_truth_scores_one_and_what_is_not_seen_counts_nothing():
    _, _, true, occupied, mask = moment(3)
    assert set(summary_of([(true, occupied, true, occupied, mask)])['miou'].values()) == {1.0}
    wrong = np.where(mask, true, 0).astype(np.uint8)
    scores = summary_of([(wrong, occupied | ~mask, true, occupied, mask)])
    assert scores['miou']['all'] == 1


def test_voxels_are_counted_over_all_moments_before_the_ratio():
    ones, half = np.ones((1, 1, 2), bool), np.array([[[True, False]]])
    label = np.zeros((1, 1, 2), np.uint8)
    hit, missed = (label, ones, label, ones, ones), (label, ~ones, label, half, ones)
    assert summary_of([hit, missed], THREE)['per_class'] == {'a': 2 / 3, 'b': None, 'c': None}
    assert summary_of([hit, missed], THREE)['miou']['all'] == 2 / 3


def test_merging_others_into_free_leaves_the_other_classes():
    """What the script of SelfOcc does with the truth."""
    predicted, said, true, occupied, mask = moment(5, unsaid=(0,))
    merged = occupied & (true != 0)
    kept, gone = (
        summary_of([(predicted, said, true, o, mask)])['per_class'] for o in (occupied, merged)
    )
    assert (kept.pop('others'), gone.pop('others')) == (0, None)
    assert kept == gone


def test_a_label_that_is_no_class_is_named():
    predicted, said, true, occupied, mask = moment(1)
    true[tuple(np.argwhere(occupied & mask)[0])] = 255
    with pytest.raises(SelfOccError, match='a true voxel has the label 255 but there are 17'):
        summary_of([(predicted, said, true, occupied, mask)])
    with pytest.raises(SelfOccError, match='there is no class water among a, b'):
        SemanticClasses(('a', 'b'), others='water')
