"""What each process learns from in a step."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from training.config import VolumeFrame
from training.data.augmentation import distort
from training.data.mirror import mirrored
from training.data.sampler import Sample, Sampler
from training.distributed import Processes
from training.prefetch import Prefetch
from training.sample_tensors import named_arrays, save_arrays


@dataclass(frozen=True, eq=False)
class Prepared:
    """A sample as the network gets it.

    Attributes:
        sample: In the frame of the volume.
        images: Its images ``[N, H, W, 3]`` with changed colours, float in 0..255.
        seed: Of what is random in learning from it.
        generator: Goes on with the random numbers that changed the colours.
    """

    sample: Sample
    images: Tensor
    seed: int
    generator: torch.Generator


class Batches:
    """Shares the samples of each step among the processes, and prepares them one step ahead.

    Sample ``k`` of the ``B`` of a step is drawn with the number ``step B + k``, whichever process
    takes it.

    Args:
        sampler: Draws them.
        frame: Where the volume stands.
        seed: Of all random choices.
        samples: Samples of a step over all processes, a multiple of their number.
        processes: Those that train together.
    """

    def __init__(
        self, sampler: Sampler, frame: VolumeFrame, seed: int, samples: int, processes: Processes
    ) -> None:
        self.sampler, self.seed, self.samples, self.processes = sampler, seed, samples, processes
        self.ego_from_volume = torch.tensor(frame.ego_from_volume)
        self.ahead = Prefetch(self._of_step)

    def of_step(self, step: int) -> list[Prepared]:
        """Return this process's samples of a step."""
        return self.ahead.get(step)

    def _of_step(self, step: int) -> list[Prepared]:
        first = step * self.samples
        own = range(first + self.processes.rank, first + self.samples, self.processes.size)
        return [self._prepare(number) for number in own]

    def _prepare(self, number: int) -> Prepared:
        seed = self.seed * 1_000_003 + number
        generator = torch.Generator().manual_seed(seed)
        sample = self._augmented(self.sampler.draw(number), generator)
        sample = sample.in_volume(self.ego_from_volume)
        return Prepared(sample, distort(sample.current.images, generator), seed, generator)

    def _augmented(self, sample: Sample, generator: torch.Generator) -> Sample:
        share = self.sampler.config.mirrored_share
        if share and float(torch.rand(1, generator=generator)) < share:
            return mirrored(sample)
        return sample


def save_batch(path: Path, step: int, batch: list[Prepared]) -> None:
    """Write samples to look at: ``step``, ``0.images``, ``0.sample.current.images``, ..."""
    arrays: dict[str, NDArray[Any]] = {'step': np.array(step)}
    for index, prepared in enumerate(batch):
        arrays |= named_arrays(prepared, str(index))
    save_arrays(path, arrays)
