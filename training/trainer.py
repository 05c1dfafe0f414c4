"""The training loop."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor, nn

from selfocc_core.errors import SelfOccError
from selfocc_core.progress import track
from training.batches import Batches, Prepared, save_batch
from training.board import Board, NoBoard, open_board
from training.checkpoint import Checkpoint, differences, remove_unfinished
from training.config import Preset, ValidationConfig
from training.data.clip import Clip
from training.data.sampler import Sampler
from training.distributed import Processes
from training.mixed_precision import use_mixed_precision
from training.model.selfocc import SelfOcc
from training.objective import LatticeObjective, Losses, Objective
from training.optimizer import optimizer_for
from training.pictures import pictures_of
from training.pixel_objective import PixelObjective
from training.running_statistics import RunningStatistics
from training.sample_tensors import moved
from training.schedules import learning_rate_at, sharpness_at
from training.training_log import TrainingLog
from training.validation import Validation

_LOG_EVERY = 20


@dataclass
class Trainer:
    """Trains a network on clips; the same seed, clips and threads give the same network.

    A step learns from a batch of samples, which the processes of a run share: each takes its part
    one after the other, and the mean of all gradients makes the step. So N processes do what one
    does with the same batch. Batch normalisation looks at the cameras of one sample, except on
    several GPUs, which synchronise it as the method does: there it looks at one sample of each.

    Attributes:
        preset: The configuration.
        clips: The video.
        out: Folder for ``model.ckpt``, ``log.jsonl`` and ``tensorboard``.
        seed: Of all random choices.
        command: The command line, for the record.
        save_every: Steps between checkpoints.
        batch: Samples of a step; None is one for each process, or as many as a resumed run had.
        processes: Those that train together.
        mixed_precision: On a GPU, compute image features in bfloat16.
        held_out: Video on which the losses are measured and nothing is learned.
        validation: How much of it, and when.
    """

    preset: Preset
    clips: Sequence[Clip]
    out: Path
    seed: int
    command: str = ''
    save_every: int = 200
    batch: int | None = None
    processes: Processes = field(default_factory=Processes)
    mixed_precision: bool = True
    held_out: Sequence[Clip] = ()
    validation: ValidationConfig = field(default_factory=ValidationConfig)
    _started_s: float = field(default_factory=time.monotonic)

    def __post_init__(self) -> None:
        torch.manual_seed(self.seed)
        network = SelfOcc(self.preset.model, self.preset.render.sharpness_start)
        self.model = _placed(network, self.processes, mixed_precision=self.mixed_precision)
        self.optimizer = optimizer_for(self.model, self.preset.optimizer)
        self.sampler = Sampler(self.clips, self.preset.temporal, self.seed)
        self._validation = None
        if self.held_out:
            self._validation = Validation(
                self.preset, self.held_out, self.validation, self.processes
            )
        self.step = 0
        self._share(self.processes.size if self.batch is None else self.batch)

    def _share(self, samples: int) -> None:
        """Set the number of samples of a step."""
        if samples < 1 or samples % self.processes.size:
            raise SelfOccError(
                f'a batch of {samples} cannot be shared by {self.processes.size} processes: give '
                '--batch a multiple of their number'
            )
        self.samples = samples
        frame = self.preset.model.frame
        self.batches = Batches(self.sampler, frame, self.seed, samples, self.processes)

    def resume(self, checkpoint: Checkpoint) -> None:
        """Go on from a checkpoint as if the run had never stopped.

        Raises:
            SelfOccError: Its configuration, seed or batch is another, or it is not one of a run.
        """
        self._check_settings(checkpoint)
        changed = differences(checkpoint.preset, self.preset)
        if changed:
            raise SelfOccError(
                'the checkpoint was trained with another configuration '
                f'({", ".join(changed[:4])}): resume with the same --preset and --config options'
            )
        if not checkpoint.optimizer:
            raise SelfOccError('the checkpoint has no state of the optimiser: it was imported')
        self._share(checkpoint.batch)
        self.model.load_state_dict(checkpoint.model)
        self.optimizer.load_state_dict(checkpoint.optimizer)
        self.step = checkpoint.step

    def _check_settings(self, checkpoint: Checkpoint) -> None:
        for name, its, ours in (
            ('seed', checkpoint.seed, self.seed),
            ('batch', checkpoint.batch, self.batch),
        ):
            if ours not in {None, its}:
                raise SelfOccError(
                    f'the checkpoint was trained with {name} {its}, not {ours}: resume with '
                    f'--{name} {its}'
                )

    def run(self) -> Path:
        """Train to the last step and return the path of the checkpoint.

        Raises:
            SelfOccError: A loss or a gradient is not a finite number.
        """
        records = self._open_records() if self.processes.is_first else None
        self.processes.share_first(list(self.model.state_dict().values()))
        self.model.train()
        steps: Sequence[int] = range(self.step, self.preset.optimizer.steps)
        for step in track(steps, 'Training') if self.processes.is_first else steps:
            losses = self._train_step(step)
            self.step = step + 1
            held_out = self._held_out_losses()  # before the checkpoint, which stands for the step
            if records is not None:
                self._record(losses, held_out, *records)
        self.processes.wait()
        return self._checkpoint_path

    def _train_step(self, step: int) -> Losses:
        """Learn from the samples of a step.

        Returns:
            The mean of each loss over all samples, and ``gradient_norm``.
        """
        self.optimizer.zero_grad(set_to_none=True)
        batch = self.batches.of_step(step)
        statistics = RunningStatistics(self.model, self.samples)
        own = []
        for prepared in batch:
            own.append(self._learn(prepared, step))
            statistics.after_sample()
        statistics.end(self.processes)
        losses = self._mean(own)
        norm, is_culprit = self._gradient_norm(own)
        for name, value in (('loss', losses['total']), ('gradient', norm)):
            if not torch.isfinite(value):
                self._fail(name, step, batch, is_culprit=is_culprit)
        self._descend(step)
        return losses | {'gradient_norm': norm}

    def _learn(self, prepared: Prepared, step: int) -> Losses:
        """Let the video judge the field of one frame set, and add its gradients."""
        torch.manual_seed(-1 - prepared.seed)  # of dropout, so that a resumed run drops the same
        losses = self._losses(prepared, step)
        with self.processes.device:  # some of the forward pass is computed again
            (losses['total'] / self.samples).backward()
        return {name: value.detach() for name, value in losses.items()}

    def _losses(self, prepared: Prepared, step: int) -> Losses:
        """Predict the field of one frame set and let the video judge it."""
        device = self.processes.device
        sample, generator = moved(prepared.sample, device), _generator(prepared, device)
        with device:  # what is made on the way belongs there
            (field,) = self.model(
                prepared.images.to(device)[None],
                sample.current.image_from_ego[None],
                sample.camera_mask[None],
            )
            objective = objective_for(self.preset, step, generator)
            return objective(field, sample, self._sharpness(step))

    def _held_out_losses(self) -> dict[str, float]:
        """Return the losses on held-out drives where they are due, from all processes at once."""
        interval = self.validation.interval or self.save_every
        is_due = self.step % interval == 0 or self.step == self.preset.optimizer.steps
        if self._validation is None or not is_due:
            return {}
        last_step = self.step - 1  # sharpness and anneal as the network knows them
        return self._validation.losses(self.model, lambda p: self._losses(p, last_step))

    def _sharpness(self, step: int) -> Tensor:
        """Return ``inv_s`` of NeuS: what the model has learned, or the schedule's."""
        if self.preset.render.sharpness == 'learned':
            learned: Tensor = self.model.sharpness()
            return learned
        return torch.tensor([sharpness_at(step, self.preset.optimizer.steps, self.preset.render)])

    def _mean(self, own: list[Losses]) -> Losses:
        """Return the mean of each loss over the samples of all processes."""
        means = torch.stack([torch.stack(list(losses.values())) for losses in own]).sum(0)
        means = means / self.samples
        self.processes.sum([means])
        return dict(zip(own[0], means, strict=True))

    def _gradient_norm(self, own: list[Losses]) -> tuple[Tensor, Tensor]:
        """Sum the gradients of all processes and clip them.

        Returns:
            Their norm before, and whether a number of this process was not finite.
        """
        parameters = [p for p in self.model.parameters() if p.requires_grad]
        numbers = [losses['total'] for losses in own]
        numbers += [p.grad for p in parameters if p.grad is not None]
        is_culprit = ~torch.stack([value.isfinite().all() for value in numbers]).all()
        self.processes.sum_gradients(parameters)
        norm = nn.utils.clip_grad_norm_(parameters, self.preset.optimizer.clip_norm)
        return norm, is_culprit

    def _descend(self, step: int) -> None:
        for group in self.optimizer.param_groups:
            group['lr'] = group['factor'] * learning_rate_at(step, self.preset.optimizer)
        self.optimizer.step()

    def _fail(self, what: str, step: int, batch: list[Prepared], *, is_culprit: Tensor) -> None:
        path = self.out / 'failed_batch.npz'
        if self.processes.is_lowest(where=bool(is_culprit)):
            save_batch(path, step, batch)
        self.processes.wait()
        raise SelfOccError(
            f'the {what} of step {step} is not a finite number: look at its batch in {path}, '
            'lower the learning rate or check the poses of the drive'
        )

    def _open_records(self) -> tuple[TrainingLog, Board]:
        self.out.mkdir(parents=True, exist_ok=True)
        remove_unfinished(self._checkpoint_path)
        self._example = self.sampler.draw(0).current
        log = TrainingLog(self.out / 'log.jsonl', self.step)
        return log, open_board(self.out / 'tensorboard', self.step)

    def _record(
        self, losses: Losses, held_out: dict[str, float], log: TrainingLog, board: Board
    ) -> None:
        """Write what is due after a step: log, checkpoint, pictures."""
        seconds = time.monotonic() - self._started_s
        if self.step % _LOG_EVERY == 0:
            values = {name: float(value) for name, value in losses.items()}
            values['learning_rate'] = self.optimizer.param_groups[0]['lr']
            log.write(self.step, seconds, values)
            board.add_values(self.step, values)
        if held_out:
            log.write(self.step, seconds, {f'held_out_{k}': v for k, v in held_out.items()})
            board.add_values(self.step, held_out, group='held_out')
        if self.step % self.save_every == 0 or self.step == self.preset.optimizer.steps:
            self.checkpoint().save(self._checkpoint_path)
            if not isinstance(board, NoBoard):
                view = moved(self._example, self.processes.device)
                board.add_pictures(self.step, pictures_of(self.model, self.preset, view))

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
            batch=self.samples,
        )

    @property
    def _checkpoint_path(self) -> Path:
        return self.out / 'model.ckpt'


def _placed(model: SelfOcc, processes: Processes, *, mixed_precision: bool) -> SelfOcc:
    """Put the network on the device of this process, the way that GPUs like it."""
    if processes.device.type == 'cpu':
        return model
    if processes.size > 1:
        model = nn.SyncBatchNorm.convert_sync_batchnorm(model)
    model = model.to(processes.device)
    if mixed_precision and torch.cuda.is_bf16_supported():
        use_mixed_precision(model, processes.device.type)
    return model


def _generator(prepared: Prepared, device: torch.device) -> torch.Generator:
    """Return the source of random numbers of a sample on a device."""
    if device.type == 'cpu':
        return prepared.generator
    return torch.Generator(device).manual_seed(prepared.seed)


def objective_for(preset: Preset, step: int, generator: torch.Generator) -> Objective:
    """Return what judges the field of a step: the method's lattices, or single pixels."""
    if preset.render.rays == 'pixels':
        return PixelObjective(preset, generator)
    return LatticeObjective(preset, step, generator)
