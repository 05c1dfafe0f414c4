"""The verb ``train``."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

from typing_extensions import Self
from tyro.conf import arg

from selfocc_core.errors import SelfOccError
from training.config import Preset
from training.presets import PRESETS

_DEFAULT_PRESET = 'selfocc-tiny'
_PRESET_HELP = 'Configuration to start from.\n' + '\n'.join(
    f'{preset.name}: {preset.summary}' for preset in PRESETS.values()
)


@dataclass(frozen=True)
class Train:
    """Learn occupancy from recorded drives: video, calibration and odometry, no labels.

    Example: selfocc train --bags drive1.mcap drive2.mcap --out runs/mine

    Every value of a preset is an option; its defaults are shown by --preset NAME --help.

    Example: selfocc train --bags runs/drives --preset method_small --backbone-weights resnet50.pth
    --config.losses.eikonal 0.2 --config.optimizer.steps 5000
    """

    bags: list[Path] = field(default_factory=list)
    """Drives (rosbag2) with images, camera_info, /tf_static and /odometry; folders are searched
    for .mcap files."""
    out: Path = Path('runs', _DEFAULT_PRESET)
    """Folder for the checkpoint and the log."""
    preset: Annotated[str, arg(metavar='NAME', help=_PRESET_HELP)] = _DEFAULT_PRESET
    config: Preset = PRESETS[_DEFAULT_PRESET]
    """The configuration, as the preset has it unless options change it."""
    backbone_weights: Path | None = None
    """State dict of a torchvision ResNet of the preset's depth (.pth) for the backbone."""
    seed: int = 1
    """Seed of all random choices."""
    threads: int = 1
    """Threads of torch; waiting threads burn time on busy machines, one is often fastest."""
    resume: bool = False
    """Go on from the checkpoint in the output folder, with the same preset, options and seed."""

    @classmethod
    def default(cls, arguments: Sequence[str]) -> Self:
        """Return the options' defaults for the preset that the command line names.

        Raises:
            SelfOccError: There is no such preset.
        """
        name = _preset_of(arguments)
        return cls(out=Path('runs', name), preset=name, config=preset_named(name))

    def run(self) -> None:
        """Train."""
        # Before torch starts its threads: waiting ones must sleep, not spin.
        os.environ.setdefault('OMP_WAIT_POLICY', 'PASSIVE')
        import torch

        from selfocc_core.progress import track
        from training.checkpoint import Checkpoint
        from training.data.bag import read_clip
        from training.model.backbone import load_backbone_weights
        from training.trainer import Trainer

        if self.seed < 0 or self.threads < 1:
            raise SelfOccError('--seed must be at least 0, --threads at least 1')
        torch.set_num_threads(self.threads)
        self._check_backbone()
        resumed = Checkpoint.load(self.out / 'model.ckpt') if self.resume else None
        images = self.config.model.input
        clips = [read_clip(path, images) for path in track(self._files(), 'Reading drives')]
        trainer = Trainer(self.config, clips, self.out, self.seed, command=_command())
        if self.backbone_weights is not None:
            load_backbone_weights(trainer.model.backbone, self.backbone_weights)
        if resumed is not None:
            trainer.resume(resumed)
        print(f'wrote {trainer.run()}')

    def _check_backbone(self) -> None:
        if self.resume and self.backbone_weights is not None:
            raise SelfOccError(
                'a resumed run has its backbone in the checkpoint: leave out --backbone-weights'
            )
        backbone = self.config.model.backbone
        if backbone.frozen_stem and self.backbone_weights is None and not self.resume:
            raise SelfOccError(
                f'preset "{self.preset}" never trains the stem of its backbone: give the weights '
                f'of a torchvision ResNet-{backbone.depth} with --backbone-weights, or train it '
                'with --config.model.backbone.no-frozen-stem'
            )

    def _files(self) -> list[Path]:
        files: list[Path] = []
        for path in self.bags:
            is_folder_of_bags = path.is_dir() and not (path / 'metadata.yaml').exists()
            files += sorted(path.glob('*.mcap')) if is_folder_of_bags else [path]
        if not files:
            raise SelfOccError('no drive to train on: give bags with --bags')
        return files


def preset_named(name: str) -> Preset:
    """Return a preset.

    Raises:
        SelfOccError: There is no such preset.
    """
    if name not in PRESETS:
        raise SelfOccError(f'there is no preset "{name}": choose {", ".join(PRESETS)}')
    return PRESETS[name]


def _preset_of(arguments: Sequence[str]) -> str:
    """Return the preset that a command line names last, as the options before it do not matter."""
    name = _DEFAULT_PRESET
    for option, value in zip(arguments, [*arguments[1:], ''], strict=False):
        if option == '--preset':
            name = value
        elif option.startswith('--preset='):
            name = option.removeprefix('--preset=')
    return name


def _command() -> str:
    return shlex.join(['selfocc', *sys.argv[1:]])
