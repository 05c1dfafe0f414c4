"""The training loop."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor, nn

from selfocc_core.errors import SelfOccError
from selfocc_core.progress import track
from training.checkpoint import Checkpoint
from training.data.augmentation import distort
from training.data.clip import Clip
from training.data.sampler import Sampler
from training.model.selfocc import SelfOcc
from training.objective import Objective
from training.presets import OptimizerConfig, Preset, RenderConfig

_LOG_EVERY = 20


@dataclass
class Trainer:
    """Trains a network on clips; the same seed and clips give the same network.

    Attributes:
        preset: The configuration.
        clips: The video.
        out: Folder for ``model.ckpt`` and ``log.jsonl``.
        seed: Of all random choices.
        command: The command line, for the record.
        save_every: Steps between checkpoints.
    """

    preset: Preset
    clips: Sequence[Clip]
    out: Path
    seed: int
    command: str = ''
    save_every: int = 200
    _started_s: float = field(default_factory=time.monotonic)

    def __post_init__(self) -> None:
        torch.manual_seed(self.seed)
        self.model = SelfOcc(self.preset.model)
        self.optimizer = torch.optim.AdamW(
            self.model.parameters(),
            lr=self.preset.optimizer.learning_rate,
            weight_decay=self.preset.optimizer.weight_decay,
        )
        self.sampler = Sampler(self.clips, self.preset.temporal, self.seed)
        self.step = 0

    def resume(self, checkpoint: Checkpoint) -> None:
        """Go on from a checkpoint as if the run had never stopped."""
        self.model.load_state_dict(checkpoint.model)
        self.optimizer.load_state_dict(checkpoint.optimizer)
        self.step = checkpoint.step

    def run(self) -> Path:
        """Train to the last step and return the path of the checkpoint.

        Raises:
            SelfOccError: A loss is not a finite number.
        """
        self.out.mkdir(parents=True, exist_ok=True)
        self.model.train()
        steps = range(self.step, self.preset.optimizer.steps)
        for step in track(steps, 'Training'):
            losses = self._train_step(step)
            self.step = step + 1
            if self.step % _LOG_EVERY == 0:
                self._log(losses)
            if self.step % self.save_every == 0 or self.step == self.preset.optimizer.steps:
                self.checkpoint().save(self.out / 'model.ckpt')
        return self.out / 'model.ckpt'

    def _train_step(self, step: int) -> dict[str, Tensor]:
        """Predict the field of one frame set, let the video judge it, take a step."""
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + step)
        sample = self.sampler.draw(step)
        images = distort(sample.current.images, generator)
        predicted = self.model(images, sample.current.image_from_ego, sample.camera_mask)
        preset = self.preset
        objective = Objective(
            preset.render, preset.losses, preset.temporal.anchor_share, generator
        )
        sharpness = sharpness_at(step, preset.optimizer.steps, preset.render)
        losses = objective(predicted, sample, sharpness)
        self._descend(losses['total'], step)
        return losses

    def _descend(self, loss: Tensor, step: int) -> None:
        if not torch.isfinite(loss):
            raise SelfOccError(
                f'the loss of step {step} is not a finite number: lower the learning rate or '
                'check the poses of the drive'
            )
        for group in self.optimizer.param_groups:
            group['lr'] = learning_rate_at(step, self.preset.optimizer)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self.model.parameters(), self.preset.optimizer.clip_norm)
        self.optimizer.step()

    def checkpoint(self) -> Checkpoint:
        """Return the present state."""
        return Checkpoint(
            preset=self.preset,
            step=self.step,
            seed=self.seed,
            command=self.command,
            data=f'{len(self.clips)} drives, {sum(len(clip) for clip in self.clips)} frame sets',
            model=self.model.state_dict(),
            optimizer=self.optimizer.state_dict(),
        )

    def _log(self, losses: dict[str, Tensor]) -> None:
        record = {
            'step': self.step,
            'seconds': round(time.monotonic() - self._started_s, 1),
            **{name: round(float(value.detach()), 5) for name, value in losses.items()},
        }
        with (self.out / 'log.jsonl').open('a') as stream:
            stream.write(json.dumps(record) + '\n')


def learning_rate_at(step: int, config: OptimizerConfig) -> float:
    """Linear warm-up, then cosine down to 2 % of the peak."""
    warm_up = min(1.0, (step + 1) / config.warm_up)
    cosine = 0.5 * (1 + math.cos(math.pi * min(1.0, step / config.steps)))
    return config.learning_rate * warm_up * (0.02 + 0.98 * cosine)


def sharpness_at(step: int, steps: int, config: RenderConfig) -> float:
    """Return ``inv_s`` of a step; blurry at first, so that distant errors are felt."""
    fraction = min(1.0, step / max(1, steps - 1))
    growth = config.sharpness_end / config.sharpness_start
    return config.sharpness_start * math.pow(growth, fraction)
