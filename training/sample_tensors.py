"""The tensors of a training sample, whatever it is made of."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from selfocc_core.files import temporary_sibling

Value = TypeVar('Value')


def moved(value: Value, device: torch.device) -> Value:
    """Return a dataclass of tensors, tuples and dataclasses with its tensors on a device."""
    result: Value = _changed(value, lambda tensor: tensor.to(device, non_blocking=True))
    return result


def named_arrays(value: Any, name: str) -> dict[str, NDArray[Any]]:
    """Return the tensors in a dataclass by their path in it, such as ``sample.current.images``."""
    return dict(_named(value, name))


def save_arrays(path: Path, arrays: dict[str, NDArray[Any]]) -> None:
    """Write arrays atomically; ``numpy.load`` reads them without pickle."""
    with temporary_sibling(path) as temporary, temporary.open('wb') as stream:
        np.savez(stream, allow_pickle=False, **arrays)


def _changed(value: Any, change: Callable[[Tensor], Tensor]) -> Any:
    if isinstance(value, Tensor):
        return change(value)
    if isinstance(value, tuple):
        return tuple(_changed(item, change) for item in value)
    if is_dataclass(value) and not isinstance(value, type):
        return replace(
            value, **{f.name: _changed(getattr(value, f.name), change) for f in _of(value)}
        )
    return value


def _named(value: Any, name: str) -> Iterator[tuple[str, NDArray[Any]]]:
    if isinstance(value, Tensor):
        yield name, value.detach().cpu().numpy()
    elif isinstance(value, tuple):
        for index, item in enumerate(value):
            yield from _named(item, f'{name}.{index}')
    elif is_dataclass(value) and not isinstance(value, type):
        for f in _of(value):
            yield from _named(getattr(value, f.name), f'{name}.{f.name}')
    elif isinstance(value, (bool, int, float)):
        yield name, np.array(value)


def _of(value: Any) -> list[Any]:
    return [f for f in fields(value) if f.init]
