"""The verb ``train``."""

from __future__ import annotations

import os
import shlex
import sys
from dataclasses import dataclass, field, replace
from pathlib import Path

from selfocc_core.errors import SelfOccError


@dataclass(frozen=True)
class Train:
    """Learn occupancy from recorded drives: video, calibration and odometry, no labels.

    Example: selfocc train --bags drive1.mcap drive2.mcap --out runs/mine
    """

    bags: list[Path] = field(default_factory=list)
    """Drives (rosbag2) with images, camera_info, /tf_static and /odometry; folders are searched
    for .mcap files."""
    out: Path = Path('runs/selfocc-tiny')
    """Folder for the checkpoint and the log."""
    preset: str = 'selfocc-tiny'
    """Name of the configuration."""
    steps: int | None = None
    """Training steps; the preset's by default."""
    seed: int = 1
    """Seed of all random choices."""
    threads: int = 1
    """Threads of torch; waiting threads burn time on busy machines, one is often fastest."""
    resume: bool = False
    """Go on from the checkpoint in the output folder."""

    def run(self) -> None:
        """Train."""
        # Before torch starts its threads: waiting ones must sleep, not spin.
        os.environ.setdefault('OMP_WAIT_POLICY', 'PASSIVE')
        import torch

        from selfocc_core.progress import track
        from training.checkpoint import Checkpoint
        from training.data.bag import read_clip
        from training.presets import PRESETS
        from training.trainer import Trainer

        torch.set_num_threads(self.threads)
        if self.preset not in PRESETS:
            raise SelfOccError(f'there is no preset "{self.preset}": choose {", ".join(PRESETS)}')
        preset = PRESETS[self.preset]
        if self.steps is not None:
            preset = replace(preset, optimizer=replace(preset.optimizer, steps=self.steps))
        checkpoint = self.out / 'model.ckpt'
        resumed = Checkpoint.load(checkpoint) if self.resume else None
        clips = [read_clip(path, preset.model) for path in track(self._files(), 'Reading drives')]
        trainer = Trainer(preset, clips, self.out, self.seed, command=_command())
        if resumed is not None:
            trainer.resume(resumed)
        print(f'wrote {trainer.run()}')

    def _files(self) -> list[Path]:
        files: list[Path] = []
        for path in self.bags:
            is_folder_of_bags = path.is_dir() and not (path / 'metadata.yaml').exists()
            files += sorted(path.glob('*.mcap')) if is_folder_of_bags else [path]
        if not files:
            raise SelfOccError('no drive to train on: give bags with --bags')
        return files


def _command() -> str:
    return shlex.join(['selfocc', *sys.argv[1:]])
