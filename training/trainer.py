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
from selfocc_core.files import write_atomically
from selfocc_core.progress import track
from training.checkpoint import Checkpoint, differences
from training.config import OptimizerConfig, Preset, RenderConfig
from training.data.augmentation import distort
from training.data.clip import Clip
from training.data.sampler import Sampler
from training.model.selfocc import SelfOcc
from training.objective import LatticeObjective, Objective
from training.pixel_objective import PixelObjective

_LOG_EVERY = 20


@dataclass
class Trainer:
    """Trains a network on clips; the same seed, clips and threads give the same network.

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
        self.model = SelfOcc(self.preset.model, self.preset.render.sharpness_start)
        self.optimizer = optimizer_for(self.model, self.preset.optimizer)
        self.sampler = Sampler(self.clips, self.preset.temporal, self.seed)
        self.step = 0

    def resume(self, checkpoint: Checkpoint) -> None:
        """Go on from a checkpoint as if the run had never stopped.

        Raises:
            SelfOccError: Its configuration or seed is another, or it is not one of a run.
        """
        if checkpoint.seed != self.seed:
            raise SelfOccError(
                f'the checkpoint was trained with seed {checkpoint.seed}, not {self.seed}: resume '
                f'with --seed {checkpoint.seed}'
            )
        changed = differences(checkpoint.preset, self.preset)
        if changed:
            raise SelfOccError(
                'the checkpoint was trained with another configuration '
                f'({", ".join(changed[:4])}): resume with the same --preset and --config options'
            )
        if not checkpoint.optimizer:
            raise SelfOccError('the checkpoint has no state of the optimiser: it was imported')
        self.model.load_state_dict(checkpoint.model)
        self.optimizer.load_state_dict(checkpoint.optimizer)
        self.step = checkpoint.step

    def run(self) -> Path:
        """Train to the last step and return the path of the checkpoint.

        Raises:
            SelfOccError: A loss is not a finite number.
        """
        self.out.mkdir(parents=True, exist_ok=True)
        self._forget_log_after(self.step)
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
        step_seed = self.seed * 1_000_003 + step
        generator = torch.Generator().manual_seed(step_seed)
        torch.manual_seed(-1 - step_seed)  # of dropout, so that a resumed run drops the same
        ego_from_volume = torch.tensor(self.preset.model.frame.ego_from_volume)
        sample = self.sampler.draw(step).in_volume(ego_from_volume)
        current = sample.current
        images = distort(current.images, generator)
        (field,) = self.model(images[None], current.image_from_ego[None], sample.camera_mask[None])
        objective = objective_for(self.preset, step, generator)
        losses = objective(field, sample, self._sharpness(step))
        self._descend(losses['total'], step)
        return losses

    def _sharpness(self, step: int) -> Tensor:
        """Return ``inv_s`` of NeuS: what the model has learned, or the schedule's."""
        if self.preset.render.sharpness == 'learned':
            learned: Tensor = self.model.sharpness()
            return learned
        return torch.tensor([sharpness_at(step, self.preset.optimizer.steps, self.preset.render)])

    def _descend(self, loss: Tensor, step: int) -> None:
        _check_finite(loss, 'loss', step)
        for group in self.optimizer.param_groups:
            group['lr'] = group['factor'] * learning_rate_at(step, self.preset.optimizer)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        norm = nn.utils.clip_grad_norm_(self.model.parameters(), self.preset.optimizer.clip_norm)
        _check_finite(norm, 'gradient', step)
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
        with self._log_path.open('a') as stream:
            stream.write(json.dumps(record) + '\n')

    @property
    def _log_path(self) -> Path:
        return self.out / 'log.jsonl'

    def _forget_log_after(self, step: int) -> None:
        """Remove what an older run logged, and what this one did after its checkpoint."""
        if self._log_path.exists():
            lines = self._log_path.read_text(errors='replace').splitlines(keepends=True)
            kept = [line for line in lines if _step_of(line) <= step]
            write_atomically(self._log_path, ''.join(kept).encode())


def _step_of(line: str) -> float:
    """Return the step of a line of the log, infinity for a line that was cut off."""
    try:
        return float(json.loads(line)['step'])
    except (ValueError, TypeError, KeyError):
        return math.inf


def optimizer_for(model: SelfOcc, config: OptimizerConfig) -> torch.optim.AdamW:
    """Return AdamW with two groups: the backbone with its own learning rate, and the rest."""
    backbone = [p for p in model.backbone.parameters() if p.requires_grad]
    of_backbone = {id(parameter) for parameter in model.backbone.parameters()}
    rest = [p for p in model.parameters() if p.requires_grad and id(p) not in of_backbone]
    return torch.optim.AdamW(
        [
            {'params': rest, 'factor': 1.0},
            {'params': backbone, 'factor': config.backbone_factor},
        ],
        lr=config.learning_rate,
        weight_decay=config.weight_decay,
    )


def _check_finite(value: Tensor, name: str, step: int) -> None:
    if not torch.isfinite(value):
        raise SelfOccError(
            f'the {name} of step {step} is not a finite number: lower the learning rate or '
            'check the poses of the drive'
        )


def objective_for(preset: Preset, step: int, generator: torch.Generator) -> Objective:
    """Return what judges the field of a step: the method's lattices, or single pixels."""
    if preset.render.rays == 'pixels':
        return PixelObjective(preset, generator)
    return LatticeObjective(preset, step, generator)


def learning_rate_at(step: int, config: OptimizerConfig) -> float:
    """Return the learning rate of a step (method section 5): linear warm-up times schedule.

    With the peak ``p`` and the first learning rate ``f``, the warm-up is
    ``min(1, f/p + (1 - f/p) step/warm_up)``. The schedule is ``p``, from ``drop_at`` on ``p/10``,
    or a half cosine from ``p`` to the final learning rate.
    """
    peak, first = config.learning_rate, config.first_learning_rate / config.learning_rate
    warm_up = min(1.0, first + (1 - first) * step / config.warm_up) if config.warm_up else 1.0
    if config.schedule == 'step':
        return warm_up * peak * (0.1 if step >= config.drop_at else 1.0)
    half_cosine = 0.5 * (1 + math.cos(math.pi * min(1.0, step / config.steps)))
    final = config.final_learning_rate
    return warm_up * (final + (peak - final) * half_cosine)


def sharpness_at(step: int, steps: int, config: RenderConfig) -> float:
    """Return ``inv_s`` of a step; blurry at first, so that distant errors are felt."""
    fraction = min(1.0, step / max(1, steps - 1))
    growth = config.sharpness_end / config.sharpness_start
    return config.sharpness_start * math.pow(growth, fraction)
