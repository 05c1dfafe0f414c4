from __future__ import annotations

import json

import numpy as np
import pytest

from selfocc_core.bags import BagReader
from selfocc_core.errors import SelfOccError
from selfocc_core.semantics import CLASS_NAMES
from training.config import InputConfig
from training.data.label_png import read_label_png
from training.data.pseudo_labels import PseudoLabels, true_labels
from training.data.sources import parse_source, read_clips
from training.data.synthetic.drive import DriveConfig, render_drive

SMALL = {'seed': 5, 'seconds': 0.6, 'width': 48, 'height': 27, 'workers': 1, 'lidar': False}


@pytest.fixture(scope='module')
def drive(tmp_path_factory):
    out = tmp_path_factory.mktemp('drive') / '5.mcap'
    render_drive(DriveConfig(**SMALL, all_semantics=True), out)
    return out


def test_classes_of_all_frame_sets_change_nothing_else(drive, tmp_path):
    plain = tmp_path / 'plain.mcap'
    render_drive(DriveConfig(**SMALL), plain)

    def recorded(path):
        with BagReader(path) as bag:
            return [(m.topic, m.stamp_ns, m.raw) for m in bag.messages()]

    with_labels = recorded(drive)
    more = [entry for entry in with_labels if entry not in recorded(plain)]
    assert [entry for entry in with_labels if entry not in more] == recorded(plain)
    assert {topic.rpartition('/')[2] for topic, _, _ in more} == {'semantics'}
    assert len(more) == 4 * 6  # 2 of 6 frame sets are keyframes


def test_labels_without_noise_are_the_truth_and_reach_training(drive, tmp_path):
    PseudoLabels([drive], tmp_path / 'l', noise=0.0, jitter_px=0.0).run()
    truth = dict(true_labels(drive))
    assert len(truth) == 36
    described = json.loads((tmp_path / 'l' / 'labels.json').read_text())
    assert described['classes'] == list(CLASS_NAMES[1:])
    for name, labels in truth.items():
        written = read_label_png(tmp_path / 'l' / '5' / name.camera / f'{name.image}.png')
        np.testing.assert_array_equal(written == 255, labels == 0)
        np.testing.assert_array_equal(written[labels > 0] + 1, labels[labels > 0])
    images = InputConfig(6, 27, 48, supervision_height=27, supervision_width=48)
    source = parse_source(f'bag:{drive},labels={tmp_path / "l"}')
    (clip,) = read_clips(source, images, CLASS_NAMES[1:])
    front = clip.supervision_labels[2, 0]
    stamp = str(clip.stamps_ns[2])  # of the front camera
    (of_front,) = (v for k, v in truth.items() if (k.camera, k.image) == ('front', stamp))
    np.testing.assert_array_equal(front, (of_front - np.uint8(1)))


def test_errors_depend_on_the_seed_alone(drive, tmp_path):
    def written(folder, **options):
        PseudoLabels([drive], tmp_path / folder, **options).run()
        return [p.read_bytes() for p in sorted((tmp_path / folder).rglob('*.png'))]

    assert written('a') == written('b')
    assert written('c', seed=1) != written('a')
    assert written('d', noise=0.0, jitter_px=0.0) != written('a')


def test_a_drive_with_classes_at_keyframes_only_is_refused(tmp_path):
    path = tmp_path / 'plain.mcap'
    render_drive(DriveConfig(**{**SMALL, 'width': 32, 'height': 18}), path)
    with pytest.raises(SelfOccError, match='classes of 2 of 6 images of camera "front": generate'):
        PseudoLabels([path], tmp_path / 'l').run()
    with pytest.raises(SelfOccError, match='--seed must be at least 0'):
        PseudoLabels([path], tmp_path / 'l', seed=-1).run()
    with pytest.raises(SelfOccError, match='no drive to label'):
        PseudoLabels([], tmp_path / 'l').run()
    assert not (tmp_path / 'l').exists()
