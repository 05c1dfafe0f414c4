"""The verb ``train``."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from typing_extensions import Self
from tyro.conf import arg

from selfocc_core.errors import SelfOccError
from training.config import Preset, ValidationConfig
from training.data.sources import DATA_HELP, Source, drives_of, parse_source
from training.presets import PRESETS

if TYPE_CHECKING:
    from training.checkpoint import Checkpoint
    from training.data.clip import Clip
    from training.distributed import Processes

_DEFAULT_PRESET = 'selfocc-tiny'
_PRESET_HELP = 'Configuration to start from.\n' + '\n'.join(
    f'{preset.name}: {preset.summary}' for preset in PRESETS.values()
)


@dataclass(frozen=True)
class Train:
    """Learn occupancy from recorded drives: video, calibration and odometry, no labels.

    Example: selfocc train --bags drive1.mcap drive2.mcap --out runs/mine

    Example: selfocc train --preset kitti_tiny --data
    kitti-raw:kitti/2011_09_26/2011_09_26_drive_0013_sync,frames=0:120

    Every value of a preset is an option; its defaults are shown by --preset NAME --help.

    Example: selfocc train --bags runs/drives --preset method_small --backbone-weights resnet50.pth
    --config.losses.eikonal 0.2 --config.optimizer.steps 5000

    From laptop to cluster it is the same command, started by torchrun with a process for each GPU:

    torchrun --standalone --nproc-per-node 8 --no-python selfocc train --preset nuscenes_occ ...

    On several computers, on each of them, with --out in a folder that all of them see:

    torchrun --nnodes 2 --nproc-per-node 8 --rdzv-backend c10d --rdzv-endpoint FIRST_HOST:29500
    --no-python selfocc train --preset nuscenes_occ ...

    Eight processes do in a step what one does with --batch 8. Without GPUs, processes share the
    CPUs. A run that was killed goes on with --resume, also with another number of processes.
    """

    bags: Annotated[list[Path], arg(aliases=['--bag'])] = field(default_factory=list)
    """Drives (rosbag2) with images, camera_info, /tf_static and /odometry; folders are searched
    for .mcap files and bag folders."""
    data: Annotated[list[str], arg(metavar='[FORMAT:PATH[,option=value] ...]', help=DATA_HELP)] = (
        field(default_factory=list)
    )
    validate: Annotated[list[str], arg(metavar='[FORMAT:PATH[,option=value] ...]')] = field(
        default_factory=list
    )
    """Held-out drives, written as for --data: their losses are logged (held_out_*) and nothing is
    learned from them."""
    validation: ValidationConfig = field(default_factory=ValidationConfig)
    """The measurement on held-out drives."""
    out: Path = Path('runs', _DEFAULT_PRESET)
    """Folder for the checkpoint (model.ckpt), the log (log.jsonl) and, where TensorBoard is
    installed, its curves and pictures (tensorboard)."""
    cache: Path | None = None
    """Folder for decoded drives, which all processes and later runs share; by default cache in the
    output folder. May be removed afterwards."""
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
    device: Literal['auto', 'cpu', 'cuda'] = 'auto'
    """What to train on; auto: a GPU if there is one. Each process takes a GPU of its own."""
    batch: int | None = None
    """Samples of a step, shared by the processes; by default one for each. Presets are made for
    one on each of 8 GPUs (the method's) or for one alone (ours)."""
    mixed_precision: bool = True
    """On a GPU, compute image features in bfloat16; geometry and rendering stay in float32."""
    save_every: int = 200
    """Steps between checkpoints: what a killed run loses at most."""

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

        from training.allocator import keep_freed_memory
        from training.checkpoint import Checkpoint
        from training.distributed import joined

        keep_freed_memory()
        torch.set_num_threads(max(1, self.threads))
        with joined(self.device) as processes:
            with processes.one_voice():
                self._check_numbers()
                self._check_backbone()
                resumed = Checkpoint.load(self.out / 'model.ckpt') if self.resume else None
                drives, held_out = self._drives()
            clips = self._read(drives, 'Reading drives', processes)
            held_out_clips = self._read(held_out, 'Reading held-out drives', processes)
            with processes.one_voice():
                path = self._train(clips, held_out_clips, resumed, processes)
            if processes.is_first:
                print(f'wrote {path}')

    def _read(
        self, drives: Sequence[Source], description: str, processes: Processes
    ) -> list[Clip]:
        from selfocc_core.progress import track
        from training.data.kept_video import VideoCache
        from training.data.sources import read_clips

        if not drives:
            return []
        tracked = track(drives, description) if processes.is_first else drives
        model, cache = self.config.model, VideoCache(self.cache or self.out / 'cache')
        read = (read_clips(d, model.input, model.decoder.class_names, cache) for d in tracked)
        return [clip for clips in read for clip in clips]

    def _train(
        self,
        clips: Sequence[Clip],
        held_out: Sequence[Clip],
        resumed: Checkpoint | None,
        processes: Processes,
    ) -> Path:
        from training.data.labels import require_labels
        from training.model.backbone import load_backbone_weights
        from training.trainer import Trainer
        from training.validation import require_disjoint

        require_disjoint(clips, held_out)
        require_labels(self.config, [*clips, *held_out])
        trainer = Trainer(
            self.config,
            clips,
            self.out,
            self.seed,
            command=_command(),
            save_every=self.save_every,
            batch=self.batch,
            processes=processes,
            mixed_precision=self.mixed_precision,
            held_out=held_out,
            validation=self.validation,
        )
        if self.backbone_weights is not None:
            load_backbone_weights(trainer.model.backbone, self.backbone_weights)
        if resumed is not None:
            trainer.resume(resumed)
        return trainer.run()

    def _check_numbers(self) -> None:
        if self.seed < 0 or self.threads < 1 or self.save_every < 1:
            raise SelfOccError(
                '--seed must be at least 0, --threads and --save-every must be at least 1'
            )

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

    def _drives(self) -> tuple[list[Source], list[Source]]:
        """Return the drives to train on and those that are held out."""
        sources = [Source('bag', path) for path in self.bags] + [*map(parse_source, self.data)]
        if not sources:
            raise SelfOccError('no drive to train on: give bags with --bags, or other --data')
        drives = [drive for source in sources for drive in drives_of(source)]
        held_out = [d for text in self.validate for d in drives_of(parse_source(text))]
        return drives, held_out


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
