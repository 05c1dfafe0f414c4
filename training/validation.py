"""What the objective costs on drives that are held out of training."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from selfocc_core.errors import SelfOccError
from training.batches import Prepared
from training.config import Preset, ValidationConfig
from training.data.clip import Clip
from training.data.sampler import Sampler
from training.distributed import Processes
from training.model.selfocc import SelfOcc
from training.objective import Losses

_SEED = 0


def require_disjoint(clips: Sequence[Clip], held_out: Sequence[Clip]) -> None:
    """Refuse to hold out what is trained on, whatever the files are called.

    Raises:
        SelfOccError: A held-out moment is one of the training video.
    """
    for one in held_out:
        for other in clips:
            _, own, others = np.intersect1d(
                one.stamps_ns, other.stamps_ns, assume_unique=True, return_indices=True
            )
            # Generated drives all begin at the same stamp: only the images tell them apart.
            if len(own) and np.array_equal(one.images[own[0]], other.images[others[0]]):
                raise SelfOccError(
                    f'{one.name} is held out, but moments of it are trained on as {other.name}: '
                    'leave them out of --validate, or give each other frames'
                )


class Validation:
    """Judges a network by the same samples and random numbers whenever it is asked.

    Colours stay as they are, all cameras are present and nothing is dropped. The samples are
    shared out among the processes; a loss is the mean over all of them, whoever computed it.

    Args:
        preset: The configuration of the run.
        clips: The held-out video.
        config: How much of it.
        processes: Those that train together.

    Raises:
        SelfOccError: There are fewer samples than processes, or the video does not suffice.
    """

    def __init__(
        self, preset: Preset, clips: Sequence[Clip], config: ValidationConfig, processes: Processes
    ) -> None:
        if config.samples < processes.size:
            raise SelfOccError(
                f'{config.samples} held-out samples cannot be shared by {processes.size} '
                'processes: give more with --validation.samples'
            )
        self._samples, self._processes = config.samples, processes
        self._sampler = Sampler(clips, replace(preset.temporal, camera_dropout=0.0), _SEED)
        self._ego_from_volume = torch.tensor(preset.model.frame.ego_from_volume)

    @torch.no_grad()
    def losses(self, model: SelfOcc, judge: Callable[[Prepared], Losses]) -> dict[str, float]:
        """Return the mean of each loss; the network and the state of training stay as they are.

        Args:
            model: The network, which ``judge`` uses.
            judge: Returns the losses of a sample.
        """
        was_training, state = model.training, torch.random.get_rng_state()
        model.eval()
        try:
            return self._mean(judge)
        finally:
            model.train(was_training)
            torch.random.set_rng_state(state)

    def _mean(self, judge: Callable[[Prepared], Losses]) -> dict[str, float]:
        own = range(self._processes.rank, self._samples, self._processes.size)
        found = [judge(self._prepare(number)) for number in own]
        values = torch.stack([torch.stack(list(losses.values())).float() for losses in found])
        # A row for each sample, so that the sum does not depend on who computed which.
        table = values.new_zeros(self._samples, values.shape[1])
        table[list(own)] = values
        self._processes.sum([table])
        means: Tensor = table.double().mean(0)
        return dict(zip(found[0], means.tolist(), strict=True))

    def _prepare(self, number: int) -> Prepared:
        sample = self._sampler.draw(number).in_volume(self._ego_from_volume)
        generator = torch.Generator().manual_seed(number)
        return Prepared(sample, sample.current.images.float(), number, generator)
