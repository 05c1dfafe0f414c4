"""Several processes that train one network, as ``torchrun`` starts them.

Gradients are summed over the processes explicitly, after the backward pass, and not by
DistributedDataParallel: so the samples of a step mean the same whether one process takes them one
after the other or several take them at once. The price is that nothing is sent while gradients
are still being computed.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor, distributed

from selfocc_core.errors import SelfOccError

DeviceChoice = Literal['auto', 'cpu', 'cuda']


@dataclass(frozen=True)
class Processes:
    """The processes of a run, seen from one of them; alone by default.

    Attributes:
        rank: Which one this is. The first, 0, writes and prints.
        size: How many there are.
        device: What this one computes on.
    """

    rank: int = 0
    size: int = 1
    device: torch.device = field(default_factory=lambda: torch.device('cpu'))

    @property
    def is_first(self) -> bool:
        """Whether this process writes and prints."""
        return self.rank == 0

    def sum(self, tensors: Sequence[Tensor]) -> None:
        """Replace each float32 tensor by its sum over the processes."""
        if self.size == 1:
            return
        flat = torch.cat([tensor.reshape(-1) for tensor in tensors])
        distributed.all_reduce(flat)
        _copy_back(tensors, flat)

    def sum_gradients(self, parameters: Sequence[Tensor]) -> None:
        """Replace each gradient by its sum; what no process has a gradient for stays without."""
        if self.size == 1:
            return
        present = torch.tensor([p.grad is not None for p in parameters], device=self.device)
        gradients = [torch.zeros_like(p) if p.grad is None else p.grad for p in parameters]
        count = present.float()
        self.sum([*gradients, count])
        for parameter, gradient, processes in zip(
            parameters, gradients, count.tolist(), strict=True
        ):
            parameter.grad = gradient if processes else None

    def share_first(self, tensors: Sequence[Tensor]) -> None:
        """Replace each tensor by that of the first process."""
        if self.size > 1:
            for tensor in tensors:
                distributed.broadcast(tensor, 0)

    def is_lowest(self, *, where: bool) -> bool:
        """Return whether this is the first process where something is true, or 0 if nowhere."""
        if self.size == 1:
            return True
        rank = torch.tensor(self.rank if where else self.size, device=self.device)
        distributed.all_reduce(rank, distributed.ReduceOp.MIN)
        return int(rank) % self.size == self.rank

    def wait(self) -> None:
        """Wait until all processes have come here."""
        if self.size > 1:
            distributed.barrier()

    @contextmanager
    def one_voice(self) -> Iterator[None]:
        """Let only the first process report an error that all of them meet.

        Raises:
            SelfOccError: In the first process.
            SystemExit: In the others.
        """
        try:
            yield
        except SelfOccError as error:
            if self.is_first:
                raise
            raise SystemExit(1) from error


def _copy_back(tensors: Sequence[Tensor], flat: Tensor) -> None:
    sizes = [tensor.numel() for tensor in tensors]
    for tensor, part in zip(tensors, flat.split(sizes), strict=True):
        tensor.copy_(part.view_as(tensor))


@contextmanager
def joined(choice: DeviceChoice) -> Iterator[Processes]:
    """Join the processes that ``torchrun`` started, or train alone; leave them at the end.

    GPUs talk through NCCL, CPUs through Gloo.

    Raises:
        SelfOccError: CUDA is asked for and there is none, or too few GPUs.
    """
    device = _device(choice)
    size = int(os.environ.get('WORLD_SIZE', '1'))
    if size == 1:
        yield Processes(device=device)
        return
    if device.type == 'cuda':
        torch.cuda.set_device(device)
    distributed.init_process_group('nccl' if device.type == 'cuda' else 'gloo')
    try:
        yield Processes(distributed.get_rank(), size, device)
    finally:
        distributed.destroy_process_group()


def _device(choice: DeviceChoice) -> torch.device:
    available = torch.cuda.is_available()
    if choice == 'cpu' or (choice == 'auto' and not available):
        return torch.device('cpu')
    if not available:
        raise SelfOccError('torch finds no GPU: train with --device cpu, or install its driver')
    index = int(os.environ.get('LOCAL_RANK', '0'))
    if index >= torch.cuda.device_count():
        raise SelfOccError(
            f'this computer has {torch.cuda.device_count()} GPUs: start no more processes on it '
            '(torchrun --nproc-per-node)'
        )
    return torch.device('cuda', index)
