from __future__ import annotations

import numpy as np
import pytest

from selfocc_core.evaluation.f_score import FScore
from selfocc_core.evaluation.occupancy import OccupancyTruth
from selfocc_core.voxels import VoxelGrid

GRID = VoxelGrid((0.0, 0.0, 0.0), (8.0, 4.0, 4.0), (20, 10, 10))  # 0.4 m


def voxels(*places):
    filled = np.zeros(GRID.shape, bool)
    for place in places:
        filled[place] = True
    return filled


def truth_of(occupied, visible=None, ground=None):
    if visible is None:
        visible = np.ones(GRID.shape, bool)
    return OccupancyTruth(occupied, visible, voxels() if ground is None else ground)


def f_score(predicted, truth):
    score = FScore(GRID)
    score.add(predicted, truth)
    return score.summary()['f_score']


@pytest.mark.parametrize(('off', 'expected'), [(0, 1.0), (1, 1.0), (2, 1.0), (3, 0.0)])
def test_two_voxels_off_is_near_three_are_not(off, expected):
    assert f_score(voxels((5 + off, 5, 5)), truth_of(voxels((5, 5, 5)))) == expected


def test_precision_and_recall_are_balanced():
    # One of two claims is near a true voxel; two of three true voxels are near a claim.
    claims, real = voxels((5, 5, 5), (18, 5, 5)), voxels((5, 5, 5), (6, 5, 5), (12, 5, 5))
    assert f_score(claims, truth_of(real)) == pytest.approx(2 * (1 / 2 * 2 / 3) / (1 / 2 + 2 / 3))


def test_moments_are_pooled():
    score = FScore(GRID)
    score.add(voxels((5, 5, 5)), truth_of(voxels((5, 5, 5))))
    score.add(voxels(), truth_of(voxels((5, 5, 5), (5, 5, 6), (5, 5, 7))))
    assert score.summary()['f_score'] == pytest.approx(2 * 1 * 0.25 / 1.25)


def test_ground_and_what_no_camera_sees_do_not_count():
    ground = np.zeros(GRID.shape, bool)
    ground[:, :, 2] = True
    block = voxels((5, 5, 5))
    visible = ~voxels((15, 5, 8))
    truth = truth_of(ground | block, visible, ground)
    thick_ground = np.zeros(GRID.shape, bool)
    thick_ground[:, :, 1:4] = True
    assert f_score(thick_ground | block | ~visible, truth) == 1.0
    assert f_score(thick_ground, truth) == 0.0


def test_without_obstacles_there_is_no_score():
    assert f_score(voxels((5, 5, 5)), truth_of(voxels())) is None
    assert f_score(voxels(), truth_of(voxels((5, 5, 5)))) == 0.0
