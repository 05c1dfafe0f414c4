"""Our scores beside those of the peers' published tools.

The numbers were recorded in an environment of its own from the same inputs, which ``scrambled``
makes without a random generator: the evaluations of Occ3D-nuScenes, SemanticKITTI
(semantic-kitti-api), Monodepth2 and SparseOcc, and scikit-learn 1.9.1. SparseOcc casts rays in
single precision, which moves a few of them across the edge of a voxel; recorded is its evaluation
in double precision, and what it says as it is agrees to 2e-4.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from selfocc_core.evaluation.depth import DepthErrors
from selfocc_core.evaluation.depth_protocol import KITTI_EIGEN
from selfocc_core.evaluation.ray_iou import RayIou, TrueHits
from selfocc_core.evaluation.voxel_protocols import (
    INVALID,
    OCC3D,
    SEMANTICKITTI,
    LabelScores,
    semantickitti_classes,
)

OCC3D_IOUS = (
    0.46125283051265814, 0.464440222000365, 0.6385402351504046, 0.47588022521376505,
    0.46345625482956987, 0.4614814973812999, 0.6410635831095924, 0.4740454550486544,
    0.4643581679422088, None, 0.6407618581757594, 0.47542599010175046, 0.462659693046386,
    0.46370189213540997, 0.6377787641773682, 0.4773943226034666, 0.461263677322463,
)  # fmt: skip
SEMANTICKITTI_IOUS = (
    0.49421274884375627, 0.47004117674688045, 0.4854417028892866, 0.7999599439214901,
    0.5137454486389907, 0.48287747387146984, 0.48216993941511366, 0.0, 0.49529505517946404,
    0.4848165027584553, 0.47000877028127547, 0.4856453211419802, 0.4845802307372727,
    0.47032371282629815, 0.4845860034785561, 0.47026010654967093, 0.4858358526480797,
    0.4850877473388102, 0.4704545810677406,
)  # fmt: skip
RAW_LABELS = np.array([
    0, 1, 10, 11, 13, 15, 16, 18, 20, 30, 31, 40, 44, 48, 49, 50, 51, 52, 60, 70, 71, 72, 80, 81,
    99, 252, 253, 254, 256, 257, 258, 259,
])  # fmt: skip


def scrambled(shape, seed, count):
    """Return numbers from 0 to count - 1, hashed from their places."""
    places = np.arange(np.prod(shape), dtype=np.uint64) + np.uint64(seed * 977)
    hashed = (places * np.uint64(2654435761)) % np.uint64(2**32) >> np.uint64(13)
    return hashed.astype(np.int64).reshape(shape) % count


def agrees(ours, theirs):
    assert ours == (theirs if theirs is None else pytest.approx(theirs, rel=1e-6, abs=1e-12))


def test_occ3d_and_scikit_learn():
    scores, shape = LabelScores(OCC3D), OCC3D.grid.shape
    for frame in range(3):
        true = scrambled(shape, frame, 23).clip(0, 17)
        said = scrambled(shape, frame + 20, 20).clip(0, 17)
        true[true == 9] = 17
        said = np.where(scrambled(shape, frame + 10, 3) > 0, true, said)
        said[said == 9] = 17
        scores.add_labels(said, true, scrambled(shape, frame + 30, 4) > 0)
    summary = scores.summary()
    agrees(summary['miou']['all'], 0.5102190417969452)
    for ours, theirs in zip(summary['per_class'].values(), OCC3D_IOUS, strict=True):
        agrees(ours, theirs)
    agrees(summary['iou'], 0.8357656533291374)
    agrees(summary['precision'], 0.8888639563994146)
    agrees(summary['recall'], 0.9332919355112448)


def test_semantickitti():
    scores, shape = LabelScores(SEMANTICKITTI), SEMANTICKITTI.grid.shape
    said_labels = RAW_LABELS[~np.isin(RAW_LABELS, [1, 52, 99, 18, 258])]
    for frame in range(2):
        true = RAW_LABELS[scrambled(shape, frame + 40, len(RAW_LABELS))]
        true[scrambled(shape, frame, 3) != 0] = 0
        said = said_labels[scrambled(shape, frame + 60, len(said_labels))]
        said = np.where(scrambled(shape, frame + 50, 5) > 0, true, said)
        said[np.isin(said, [1, 52, 99])] = 0
        true_classes = semantickitti_classes(true.astype(np.uint16))
        counted = (true_classes != INVALID) & (scrambled(shape, frame + 70, 7) != 0)
        scores.add_labels(semantickitti_classes(said.astype(np.uint16)), true_classes, counted)
    summary = scores.summary()
    agrees(summary['miou']['all'], 0.4744917009686258)
    for ours, theirs in zip(summary['per_class'].values(), SEMANTICKITTI_IOUS, strict=True):
        agrees(ours or 0.0, theirs)
    agrees(summary['precision'], 0.6871868265487098)
    agrees(summary['recall'], 0.989558100411498)
    agrees(summary['iou'], 0.6822397338409292)


def test_monodepth2_on_kitti_with_garg_crop_and_median_scaling():
    height, width = 375, 1242
    protocol = replace(KITTI_EIGEN, nearest_m=1e-3)
    scores = DepthErrors(protocol)
    v, u = np.mgrid[:height, :width]
    in_crop = protocol.in_crop(np.stack([u, v], -1).reshape(-1, 2), width, height)
    for image in range(3):
        true = (scrambled((height, width), image, 9000).ravel() + 0.5) / 100
        said = true * (0.3 + scrambled((height, width), image + 5, 1000).ravel() / 800) + 0.01
        counted = protocol.in_range(true) & in_crop
        scores.add('left', said[counted], true[counted])
    summary, names = scores.summary(), ('abs_rel', 'sq_rel', 'rmse', 'rmse_log')
    theirs = 0.3596256916415243, 5.974488569602113, 16.12166360304204, 0.4138859781190165
    for name, value in zip(names, theirs, strict=True):
        agrees(summary[name], value)
    deltas = 0.3694491002387507, 0.6714717298180303, 0.9065405926029663
    for power, value in enumerate(deltas, start=1):
        agrees(summary[f'delta_{power}'], value)


def street(seed):
    """Ground, and blocks of any class and height around the vehicle."""
    x, y, z = np.meshgrid(np.arange(200), np.arange(200), np.arange(16), indexing='ij')
    labels = np.full((200, 200, 16), 17)
    labels[z < 2 + seed] = 11
    blocks, heights, classes = (
        np.kron(scrambled((25, 25), seed + shift, count), np.ones((8, 8), int))[..., None]
        for shift, count in ((3, 9), (7, 16), (11, 17))
    )
    near = (np.abs(x - 100) < 14) & (np.abs(y - 100) < 14)
    block = (blocks == 0) & (z < heights) & ~near
    labels[block] = np.broadcast_to(classes, labels.shape)[block]
    return labels


def test_sparseocc():
    true, said, other = street(0), street(0), street(1)
    elsewhere = np.kron(scrambled((25, 25), 99, 3), np.ones((8, 8), int)) == 0
    said[elsewhere] = other[elsewhere]
    said = np.roll(said, 2, 0)
    origins = np.array([[0.9858, 0.07, 1.8402], [4.31, 1.13, 1.9], [-3.07, -0.73, 1.75]])
    hits = TrueHits.of_labels(*OCC3D.split(true), OCC3D.grid, origins)
    assert len(hits.label) == 25950
    scores = RayIou(OCC3D.classes)
    labels, occupied = OCC3D.split(said)
    scores.add(occupied, hits, labels)
    summary = scores.summary()
    in_double = {'': 0.32122048006064297, '_1m': 0.2544709768211706, '_2m': 0.3441523609681416}
    in_single = {'': 0.32126221997100485, '_1m': 0.2545884229533262, '_2m': 0.3441523609681416}
    for name, value in {**in_double, '_4m': 0.3650381023926165}.items():
        agrees(summary[f'ray_iou{name}'], value)
    for name, value in {**in_single, '_4m': 0.36504587599154664}.items():
        assert summary[f'ray_iou{name}'] == pytest.approx(value, abs=2e-4)
