"""The verb ``train`` on the public datasets' forms, from their files to a checkpoint."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from dataset_trees import (
    HEIGHT,
    IMAGES,
    WIDTH,
    write_kitti_drive,
    write_nuscenes,
    write_semantic_kitti,
)

from selfocc_core.errors import SelfOccError
from training.checkpoint import Checkpoint
from training.command import Train
from training.data.labels import ImageName, LabelFolder
from training.presets import PRESETS


@pytest.fixture
def train(small_preset, tmp_path):
    def run(text, cameras=1):
        preset = replace(
            small_preset,
            model=replace(small_preset.model, input=replace(IMAGES, cameras=cameras)),
            optimizer=replace(small_preset.optimizer, steps=2),
            temporal=replace(small_preset.temporal, camera_dropout=0.0),
        )
        Train(data=[text], config=preset, out=tmp_path / 'run', device='cpu').run()
        return Checkpoint.load(tmp_path / 'run' / 'model.ckpt')

    return run


@pytest.mark.parametrize(
    ('form', 'write_tree', 'cameras', 'frames'),
    [
        ('kitti-raw:{},frames=0:5', write_kitti_drive, 1, 5),
        ('semantic-kitti:{}', write_semantic_kitti, 1, 6),
        ('nuscenes:{}', write_nuscenes, 6, 7),
    ],
)
def test_every_format_trains(train, tmp_path, form, write_tree, cameras, frames):
    checkpoint = train(form.format(write_tree(tmp_path / 'tree')), cameras)
    assert checkpoint.step == 2
    assert f'{frames} frame sets' in checkpoint.data


def test_labels_train_classes_from_the_command_line_on(small_preset, tmp_path):
    classes = ('road', 'wall')
    model = replace(
        small_preset.model,
        input=IMAGES,
        decoder=replace(small_preset.model.decoder, class_names=classes),
    )
    preset = replace(
        small_preset,
        model=model,
        losses=replace(small_preset.losses, semantic=0.1),
        optimizer=replace(small_preset.optimizer, steps=1),
        temporal=replace(small_preset.temporal, camera_dropout=0.0),
    )
    drive = write_kitti_drive(tmp_path / 'tree')
    folder = LabelFolder(tmp_path / 'labels', classes)
    for frame in range(6):
        name = ImageName(drive.name, 'front', f'{frame:010d}')
        folder.write(name, np.full((HEIGHT, WIDTH), frame % 2, np.uint8))

    def train(text):
        Train(data=[text], config=preset, out=tmp_path / 'run', device='cpu').run()

    with pytest.raises(
        SelfOccError, match=r'learns semantics but KITTI drive .* no pseudo-labels'
    ):
        train(f'kitti-raw:{drive}')
    train(f'kitti-raw:{drive},labels={folder.folder}')
    checkpoint = Checkpoint.load(tmp_path / 'run' / 'model.ckpt')
    assert checkpoint.preset.model.decoder.class_names == classes
    assert checkpoint.step == 1


def test_standing_still_is_refused_before_training(train, tmp_path):
    drive = write_kitti_drive(tmp_path / 'tree', speed_m_s=0.0)
    with pytest.raises(SelfOccError, match='record while driving'):
        train(f'kitti-raw:{drive}')
    assert not (tmp_path / 'run' / 'model.ckpt').exists()


def test_the_preset_for_kitti_looks_ahead_and_keeps_its_only_camera():
    preset = PRESETS['kitti_tiny']
    assert (preset.model.input.cameras, preset.temporal.camera_dropout) == (1, 0)
    assert preset.model.grid.minimum_m[0] == 0
    assert preset.output.grid.minimum_m == pytest.approx(preset.model.grid.minimum_m)
    assert preset.output.grid.maximum_m == pytest.approx(preset.model.grid.maximum_m)
    assert preset.losses == PRESETS['selfocc-tiny'].losses
