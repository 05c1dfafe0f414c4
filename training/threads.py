"""Compiled loops on as many threads as torch uses."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import torch


def run_in_threads(kernel: Callable[..., None], tasks: Sequence[tuple[Any, ...]]) -> None:
    """Call a kernel that releases the GIL with the arguments of each task.

    No two tasks may write to the same place.
    """
    threads = min(torch.get_num_threads(), len(tasks))
    if threads <= 1:
        for task in tasks:
            kernel(*task)
        return
    with ThreadPoolExecutor(threads) as pool:
        for future in [pool.submit(kernel, *task) for task in tasks]:
            future.result()
