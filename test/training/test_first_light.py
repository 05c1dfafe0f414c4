"""Training smoke: a generated drive through reader, trainer, checkpoint and export."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from selfocc_core.backends import open_backend
from selfocc_core.errors import SelfOccError
from training.checkpoint import Checkpoint
from training.data.bag import read_clips
from training.export import Export
from training.export_parity import example_inputs
from training.trainer import Trainer

pytest.importorskip('embreex', reason='generated drives need embreex')


@pytest.fixture(scope='session')
def drive(tmp_path_factory):
    from training.data.synthetic.drive import DriveConfig, render_drive

    path = tmp_path_factory.mktemp('drive') / 'drive.mcap'
    config = DriveConfig(
        seed=5, seconds=0.9, width=64, height=36, samples_per_pixel=1,
        ground_truth=False, lidar=False,
    )  # fmt: skip
    render_drive(config, path)
    return path


def short(preset, steps):
    return replace(preset, optimizer=replace(preset.optimizer, steps=steps))


def losses_of(folder):
    return [json.loads(line) for line in (folder / 'log.jsonl').read_text().splitlines()]


@pytest.fixture
def log_every_step(monkeypatch):
    monkeypatch.setattr('training.trainer._LOG_EVERY', 1)


def test_a_clip_has_images_and_poses(drive, small_preset):
    (clip,) = read_clips(drive, small_preset.model.input)
    assert clip.images.shape == (len(clip), 6, 32, 64, 3)
    assert len(clip) >= 7
    assert clip.driven_m()[-1] > 2.0
    # A point at the vehicle's place appears in another frame's image where geometry says.
    own, other = clip.image_from_ego(3, 3), clip.image_from_ego(3, 4)
    point = np.array([15.0, 0.0, 1.0, 1.0])
    moved = np.linalg.inv(clip.world_from_ego[4]) @ clip.world_from_ego[3] @ point
    np.testing.assert_allclose(own[0] @ point, other[0] @ moved, rtol=1e-3)


def test_supervising_images_may_be_larger(drive, small_preset):
    config = replace(small_preset.model.input, supervision_height=36, supervision_width=72)
    (clip,) = read_clips(drive, config)
    assert clip.images.shape[2:] == (32, 64, 3)
    assert clip.supervision_images.shape == (len(clip), 6, 36, 72, 3)
    # The same point lies at the same share of both images, which are cut at the top alone.
    point, frames = np.array([15.0, 0.0, 1.0, 1.0]), np.full(6, 3)
    small = (clip.image_from_ego(3, 3) @ point)[0]
    large = (clip.supervision_image_from_ego(frames, 3) @ point)[0]
    np.testing.assert_allclose(
        (large[:2] / large[2] + 0.5) / (72, 36), (small[:2] / small[2] + 0.5) / (64, 32), atol=0.01
    )


def test_training_descends_and_resumes_exactly(drive, small_preset, tmp_path, log_every_step):
    clips = read_clips(drive, small_preset.model.input)
    # With dropout, so that its random numbers must go on too.
    encoder = replace(small_preset.model.encoder, dropout=0.2)
    preset = short(replace(small_preset, model=replace(small_preset.model, encoder=encoder)), 6)
    whole = Trainer(preset, clips, tmp_path / 'whole', seed=3)
    whole.run()
    first = Trainer(preset, clips, tmp_path / 'parts', seed=3, save_every=3)
    for step in range(3):
        first._train_step(step)
        first.step = step + 1
    first.checkpoint().save(tmp_path / 'parts' / 'model.ckpt')
    second = Trainer(preset, clips, tmp_path / 'parts', seed=3)
    second.resume(Checkpoint.load(tmp_path / 'parts' / 'model.ckpt'))
    second.run()
    expected = [record['total'] for record in losses_of(tmp_path / 'whole')][3:]
    assert [record['total'] for record in losses_of(tmp_path / 'parts')] == expected


def test_export_writes_a_model_that_the_vehicle_can_load(drive, small_preset, tmp_path):
    preset = short(small_preset, 2)
    clips = read_clips(drive, preset.model.input)
    checkpoint = Trainer(preset, clips, tmp_path, seed=3, command='selfocc train').run()
    Export(checkpoint, tmp_path / 'model.onnx').run()
    backend = open_backend(tmp_path / 'model.onnx')
    outputs = backend.infer(example_inputs(6, 32, 64))
    assert outputs.sdf.shape == (16, 16, 8)
    assert outputs.depth.shape == (6, 4, 8)
    assert np.isfinite(outputs.depth).all()
    assert backend.card.training.steps == 2
    assert backend.card.training.command == 'selfocc train'


def test_a_standing_vehicle_cannot_teach_depth(drive, small_preset, tmp_path):
    (clip,) = read_clips(drive, small_preset.model.input)
    still = replace(clip, world_from_ego=np.repeat(clip.world_from_ego[:1], len(clip), 0))
    with pytest.raises(SelfOccError, match='record while driving'):
        Trainer(small_preset, [still], tmp_path, seed=1)


def test_a_foreign_file_is_no_checkpoint(tmp_path):
    path = tmp_path / 'model.ckpt'
    path.write_bytes(b'not a checkpoint')
    with pytest.raises(SelfOccError, match='not a checkpoint'):
        Checkpoint.load(path)


def test_a_pickle_in_a_checkpoint_is_not_executed(tmp_path):
    class Bomb:
        def __reduce__(self):
            return (pytest.fail, ('a pickle was executed',))

    torch.save({'format': 1, 'model': Bomb()}, tmp_path / 'model.ckpt')
    with pytest.raises(SelfOccError, match='not a checkpoint'):
        Checkpoint.load(tmp_path / 'model.ckpt')
