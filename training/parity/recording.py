"""Arrays of the original system, as a file records them."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from selfocc_core.errors import SelfOccError
from training.grid import Axis, NodeGrid

MAXIMUM_BYTES = 4 * 1024**3
"""Largest total size of the arrays of a file, once unpacked."""

Phase = Literal['eval', 'train']


@dataclass(frozen=True)
class Recording:
    """Recorded arrays and the configuration they were computed with."""

    arrays: Mapping[str, NDArray[Any]]
    """Arrays by their keys."""
    config: dict[str, Any]
    """The original's configuration."""

    def __contains__(self, key: str) -> bool:
        return key in self.arrays

    def array(self, key: str) -> NDArray[Any]:
        """Return an array; an absent one is a ``SelfOccError``."""
        if key not in self.arrays:
            raise SelfOccError(f'the recording lacks the array {key!r}')
        return self.arrays[key]

    def tensor(self, key: str) -> Tensor:
        """Return an array as a float32 tensor, to which the original casts everything."""
        return torch.from_numpy(np.asarray(self.array(key), dtype=np.float32))

    def setting(self, *path: str) -> Any:
        """Return an entry of the configuration, such as ``setting('model', 'head', ...)``."""
        entry: Any = self.config
        for name in path:
            if not isinstance(entry, dict) or name not in entry:
                raise SelfOccError(f'the recording lacks the setting {".".join(path)}')
            entry = entry[name]
        return entry

    @property
    def grid(self) -> NodeGrid:
        """The nodes of planes and volume."""
        mapping = self.setting('model', 'encoder', 'mapping_args')
        try:
            return grid_of(mapping)
        except (KeyError, TypeError, ValueError) as error:
            raise SelfOccError(f'the recording has a grid mapping that is none: {error}') from None


def read_recording(path: Path) -> Recording:
    """Read a file of arrays with the key ``cfg_json``.

    Raises:
        SelfOccError: The file is no such archive, holds objects, or is too large.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            size = sum(member.file_size for member in archive.infolist())
        if size > MAXIMUM_BYTES:
            raise SelfOccError(f'{path} unpacks to more than {MAXIMUM_BYTES} bytes')
        with np.load(path, allow_pickle=False) as file:
            arrays = {key: file[key] for key in file.files}
        config = json.loads(str(arrays.pop('cfg_json')))
    except (
        OSError, ValueError, LookupError, EOFError, MemoryError, RecursionError,
        zipfile.BadZipFile,
    ) as error:  # fmt: skip
        raise SelfOccError(f'{path} is no recording of arrays: {error}') from None
    if not isinstance(config, dict):
        raise SelfOccError(f'{path} is no recording of arrays: its configuration is no object')
    return Recording(arrays, config)


def grid_of(mapping: dict[str, Any]) -> NodeGrid:
    """Return the grid of the original's ``mapping_args``: h is y, w is x, d is z."""
    growth: Literal['none', 'linear'] = (
        'linear' if mapping.get('nonlinear_mode') == 'linear_upscale' else 'none'
    )

    def horizontal(name: str) -> Axis:
        cells, ranges_m = mapping[f'{name}_size'], mapping[f'{name}_range']
        half = bool(mapping[f'{name}_half'])
        return _axis(cells, ranges_m, 0.0, symmetric=not half, growth=growth)

    low, middle, high = mapping['d_range']
    z = _axis(
        mapping['d_size'], [middle - low, high - middle], low, symmetric=False, growth=growth
    )
    return NodeGrid(horizontal('w'), horizontal('h'), z)


def _axis(
    cells: list[int],
    ranges_m: list[float],
    start_m: float,
    *,
    symmetric: bool,
    growth: Literal['none', 'linear'],
) -> Axis:
    outer_m = float(ranges_m[1]) if cells[1] else 0.0
    return Axis(
        int(cells[0]), float(ranges_m[0]), int(cells[1]), outer_m, start_m, symmetric, growth
    )
