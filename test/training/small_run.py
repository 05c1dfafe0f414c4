"""The quickest training run there is; as a program, a process of it, alone or under torchrun."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np

from selfocc_core.cameras import nuscenes_like_rig
from selfocc_core.voxels import VoxelGrid
from training.config import InputConfig, OutputConfig, Preset, ValidationConfig
from training.data.clip import Clip
from training.grid import NodeGrid
from training.presets import PRESETS


def small_preset() -> Preset:
    """A network that takes milliseconds, on the same principles as the shipped one."""
    tiny = PRESETS['selfocc-tiny']
    grid = NodeGrid.box((-25.6, -25.6, -2.0), (25.6, 25.6, 4.4), (9, 9, 5))
    return replace(
        tiny,
        name='small',
        model=replace(
            tiny.model,
            input=InputConfig(6, 32, 64, supervision_height=32, supervision_width=64),
            backbone=replace(tiny.model.backbone, widths=(8, 8, 16, 16)),
            encoder=replace(
                tiny.model.encoder,
                dim=16,
                heads=2,
                top_anchors=4,
                side_anchors=4,
                feedforward=32,
            ),
            decoder=replace(tiny.model.decoder, volume_channels=8, refinements=1),
            grid=grid,
        ),
        output=OutputConfig(
            grid=VoxelGrid(grid.minimum_m, grid.maximum_m, (16, 16, 8)),
            depth_height=4,
            depth_width=8,
            depth_samples=16,
        ),
        render=replace(tiny.render, pixel_count=128, samples=16),
    )


def random_clip(seed: int = 0) -> Clip:
    """Random pixels along a straight drive."""
    poses = np.tile(np.eye(4), (9, 1, 1))
    poses[:, 0, 3] = 0.5 * np.arange(9)
    images = np.random.default_rng(seed).integers(0, 256, (9, 6, 32, 64, 3), np.uint8)
    projections = np.stack([camera.image_from_ego for camera in nuscenes_like_rig(64, 32)])
    return Clip(
        name='random',
        stamps_ns=np.arange(9, dtype=np.int64) * 10**8,
        images=images,
        supervision_images=images,
        input_from_ego=projections,
        supervision_from_ego=projections,
        world_from_ego=poses,
        world_from_ego_at_shutter=np.repeat(poses[:, None], 6, axis=1),
    )


def poisoned(distort, seed):
    """Return an augmentation that spoils the image of the sample with a seed."""

    def spoil(images, generator):
        distorted = distort(images, generator)
        return distorted * float('nan') if generator.initial_seed() == seed else distorted

    return spoil


def main() -> None:
    import torch

    from training import batches, trainer
    from training.checkpoint import Checkpoint
    from training.distributed import joined

    parser = argparse.ArgumentParser()
    parser.add_argument('out', type=Path)
    parser.add_argument('--batch', type=int)
    parser.add_argument('--steps', type=int, default=3)
    parser.add_argument('--save-every', type=int, default=1)
    parser.add_argument('--resume', action='store_true')
    parser.add_argument('--held-out', type=int, default=0, help='samples of a held-out drive')
    parser.add_argument('--poison', type=int, help='number of a sample whose image is not finite')
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    trainer._LOG_EVERY = 1
    batches.distort = poisoned(batches.distort, 1_000_003 + (arguments.poison or -1))
    preset = small_preset()
    preset = replace(preset, optimizer=replace(preset.optimizer, steps=arguments.steps))
    with joined('cpu') as processes, processes.one_voice():
        run = trainer.Trainer(
            preset,
            [random_clip()],
            arguments.out,
            seed=1,
            save_every=arguments.save_every,
            batch=arguments.batch,
            processes=processes,
            held_out=[random_clip(7)] if arguments.held_out else [],
            validation=ValidationConfig(samples=max(1, arguments.held_out)),
        )
        if arguments.resume:
            run.resume(Checkpoint.load(arguments.out / 'model.ckpt'))
        run.run()


if __name__ == '__main__':
    main()
