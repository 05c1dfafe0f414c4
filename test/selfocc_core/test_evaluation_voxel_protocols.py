from __future__ import annotations

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest

from selfocc_core.errors import SelfOccError
from selfocc_core.evaluation.occupancy import rings
from selfocc_core.evaluation.voxel_protocols import (
    INVALID,
    OCC3D,
    SEMANTICKITTI,
    VOXEL_PROTOCOLS,
    LabelScores,
    Occ3dTruth,
    read_semantickitti,
    semantickitti_classes,
)

REAL = Path(__file__).resolve().parents[3] / 'shared' / 'data' / 'real'


def labels_of(protocol, filled):
    labels = np.full(protocol.grid.shape, protocol.free, np.uint8)
    for place, label in filled.items():
        labels[place] = label
    return labels


def summary_of(protocol, predicted, true, mask=None, **options):
    scores = LabelScores(protocol)
    everywhere = np.ones(protocol.grid.shape, bool)
    scores.add_labels(predicted, true, everywhere if mask is None else mask, **options)
    return scores.summary()


def test_occ3d_by_hand():
    car, bus, others = 4, 3, 0
    true = labels_of(OCC3D, {(0, 0, 0): car, (0, 0, 1): car, (0, 0, 2): bus, (0, 0, 3): others})
    said = labels_of(OCC3D, {(0, 0, 0): car, (0, 0, 1): bus, (0, 0, 3): car, (5, 5, 5): bus})
    scores = summary_of(OCC3D, said, true)
    assert scores['iou'] == pytest.approx(3 / 5)
    assert (scores['precision'], scores['recall']) == (3 / 4, 3 / 4)
    # Others of the truth as free space, as in the script of SelfOcc: 2 hits, 2 false, 1 missed.
    assert scores['iou_others_free'] == pytest.approx(2 / 5)
    of_classes = {name: iou for name, iou in scores['per_class'].items() if iou is not None}
    assert of_classes == {'others': 0.0, 'bus': 0.0, 'car': pytest.approx(1 / 3)}
    # Classes that occur nowhere are left out.
    assert scores['miou']['all'] == pytest.approx((1 / 3) / 3)
    assert scores['miou']['without_others_and_other_flat'] == pytest.approx((1 / 3) / 2)


def test_semantickitti_by_hand():
    """Classes that occur nowhere count as zero; there are 19."""
    car, road = 1, 9
    true = labels_of(SEMANTICKITTI, {(0, 0, 0): car, (0, 0, 1): road, (0, 0, 2): road})
    said = labels_of(SEMANTICKITTI, {(0, 0, 0): car, (0, 0, 1): car, (9, 9, 9): road})
    scores = summary_of(SEMANTICKITTI, said, true)
    assert scores['iou'] == pytest.approx(2 / 4)
    assert (scores['precision'], scores['recall']) == pytest.approx((2 / 3, 2 / 3))
    assert scores['miou']['all'] == pytest.approx((1 / 2 + 0 / 3) / 19)
    assert 'iou_others_free' not in scores


@pytest.mark.parametrize('protocol', VOXEL_PROTOCOLS.values(), ids=VOXEL_PROTOCOLS)
def test_masked_voxels_and_rings(protocol):
    label = 5
    true = labels_of(protocol, {(x, 10, 0): label for x in range(100)})
    said = labels_of(protocol, {(x, 10, 0): label for x in range(50, 150)})
    mask = np.ones(protocol.grid.shape, bool)
    mask[100:] = False
    scores = summary_of(protocol, said, true, mask, regions=rings(protocol.grid))
    assert scores['iou'] == pytest.approx(50 / 100)
    hits = 0
    for name, ring in scores['by_region'].items():
        inside = rings(protocol.grid)[name] & mask
        hit, either = (true == label) & (said == label), (true == label) | (said == label)
        expected = (hit & inside).sum() / max((either & inside).sum(), 1)
        assert ring['iou'] == (pytest.approx(expected) if (either & inside).any() else None)
        hits += (hit & inside).sum()
    assert hits == 50


def test_raw_labels_of_semantickitti():
    raw = np.array([0, 10, 252, 18, 258, 13, 16, 259, 255, 254, 60, 81, 1, 52, 99, 7], np.uint16)
    expected = [0, 1, 1, 4, 4, 5, 5, 5, 8, 6, 9, 19, *[INVALID] * 4]
    assert semantickitti_classes(raw).tolist() == expected


def write_semantickitti(folder, raw, invalid):
    raw.astype('<u2').tofile(folder / '000000.label')
    np.packbits(invalid.reshape(-1)).tofile(folder / '000000.invalid')
    return folder / '000000.label'


def test_semantickitti_files(tmp_path):
    shape = SEMANTICKITTI.grid.shape
    raw, invalid = np.zeros(shape, np.uint16), np.zeros(shape, np.uint8)
    raw[3, 4, 5], raw[3, 4, 6], raw[200, 1, 0] = 40, 52, 255
    invalid[7, 0, 31] = invalid[3, 4, 7] = 1
    labels, counted = read_semantickitti(write_semantickitti(tmp_path, raw, invalid))
    assert (labels[3, 4, 5], labels[3, 4, 6], labels[200, 1, 0]) == (9, INVALID, 8)
    left_out = {tuple(place) for place in np.argwhere(~counted).tolist()}
    assert left_out == {(3, 4, 6), (7, 0, 31), (3, 4, 7)}


def test_damaged_files_are_named(tmp_path):
    path = tmp_path / '000000.label'
    with pytest.raises(SelfOccError, match='cannot be read'):
        read_semantickitti(path)
    path.write_bytes(b'12')
    (tmp_path / '000000.invalid').write_bytes(b'1')
    with pytest.raises(SelfOccError, match='are damaged'):
        read_semantickitti(path)
    with path.open('wb') as file:
        file.truncate(2**30)
    with pytest.raises(SelfOccError, match='larger than 64 MiB'):
        read_semantickitti(path)


def write_occ3d(path, **changes):
    arrays = dict.fromkeys(('semantics', 'mask_camera', 'mask_lidar'))
    for name in arrays:
        arrays[name] = changes.get(name, np.ones(OCC3D.grid.shape, np.uint8))
    np.savez_compressed(path, **arrays)
    return path


def test_occ3d_files(tmp_path):
    camera = np.zeros(OCC3D.grid.shape, np.uint8)
    camera[:100] = 1
    truth = Occ3dTruth.load(write_occ3d(tmp_path / 'labels.npz', mask_camera=camera))
    assert truth.mask('camera').sum() == 100 * 200 * 16
    assert truth.mask('lidar').all()
    assert truth.mask('none').all()
    for broken in (
        write_occ3d(tmp_path / 'a.npz', semantics=np.ones((2, 2, 2), np.uint8)),
        write_occ3d(tmp_path / 'b.npz', semantics=np.zeros((200, 200, 160), np.uint8)),
        write_occ3d(tmp_path / 'c.npz', semantics=np.array([{'code': 1}])),
        tmp_path / 'missing.npz',
        Path(__file__),
    ):
        with pytest.raises(SelfOccError, match='holds no Occ3D voxels'):
            Occ3dTruth.load(broken)


def test_an_archive_that_would_fill_the_memory_is_not_unpacked(tmp_path):
    path, content = tmp_path / 'bomb.npz', io.BytesIO()
    np.save(content, np.zeros(OCC3D.grid.shape, np.uint8))
    with zipfile.ZipFile(path, 'w', zipfile.ZIP_DEFLATED) as archive:
        archive.writestr('semantics.npy', content.getvalue() + bytes(20_000_000))
    with pytest.raises(SelfOccError, match='holds no Occ3D voxels'):
        Occ3dTruth.load(path)


def test_another_grid_or_an_unknown_label_is_refused():
    with pytest.raises(SelfOccError, match=r'shape \(2, 2, 2\) are none of occ3d'):
        OCC3D.split(np.zeros((2, 2, 2), np.uint8))
    true = labels_of(SEMANTICKITTI, {(0, 0, 0): 1})
    with pytest.raises(SelfOccError, match='a predicted voxel has the label 255'):
        summary_of(SEMANTICKITTI, labels_of(SEMANTICKITTI, {(0, 0, 0): INVALID}), true)


def test_the_published_conventions_have_17_16_and_15_classes():
    assert [len(names) for names in OCC3D.classes.counted.values()] == [17, 16, 15]
    assert len(SEMANTICKITTI.classes.names) == 19


@pytest.mark.real_data
def test_a_real_sample_of_occ3d_agrees_with_itself():
    found = sorted(REAL.glob('nuscenes/gts/*/*/labels.npz'))
    if not found:
        pytest.skip('the real driving data is not beside the checkout')
    truth = Occ3dTruth.load(found[0])
    scores = summary_of(OCC3D, truth.labels, truth.labels, truth.mask('camera'))
    assert scores['iou'] == scores['miou']['all'] == 1.0
    hits = truth.hits(np.array([[0.98, 0.01, 1.84]]))
    assert len(hits.label) > 1000
    assert set(hits.label.tolist()) <= set(range(17))
