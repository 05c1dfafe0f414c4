"""Running statistics of batch normalisation over the samples of one step."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from training.distributed import Processes


class RunningStatistics:
    """Moves running means and variances in one step by the mean of what its samples say.

    Every sample starts from the statistics before the step, so that their order, and which process
    takes which, make no difference.

    Args:
        model: The network, before the step.
        batch: Samples of a step, over all processes.
    """

    def __init__(self, model: nn.Module, batch: int) -> None:
        self.batch = batch
        norms = [m for m in model.modules() if isinstance(m, _BatchNorm) and m.training]
        buffers = [b for norm in norms for b in (norm.running_mean, norm.running_var)]
        self.buffers: list[Tensor] = [b for b in buffers if b is not None] if batch > 1 else []
        self.before = [buffer.clone() for buffer in self.buffers]
        self.summed = [torch.zeros_like(buffer) for buffer in self.buffers]

    def after_sample(self) -> None:
        """Take in what a sample says and go back."""
        for buffer, before, summed in zip(self.buffers, self.before, self.summed, strict=True):
            summed.add_(buffer / self.batch)
            buffer.copy_(before)

    def end(self, processes: Processes) -> None:
        """Set the statistics to their mean over the samples of all processes."""
        if self.buffers:
            processes.sum(self.summed)
            for buffer, summed in zip(self.buffers, self.summed, strict=True):
                buffer.copy_(summed)
