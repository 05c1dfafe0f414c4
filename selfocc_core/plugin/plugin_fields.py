"""What a plugin keeps in the model and in the engine file, as TensorRT's plugin fields.

A node of the model has the attribute ``spatial_shapes``. An engine also holds the kernel: what it
was specialized to, as JSON, and its machine code.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from selfocc_core.errors import SelfOccError
from selfocc_core.plugin.specialization import Specialization, levels_from

SPATIAL_SHAPES, SPECIALIZATION, CUBIN = 'spatial_shapes', 'specialization', 'cubin'


@dataclass(frozen=True)
class PluginState:
    """What makes one plugin differ from another of its operator.

    Attributes:
        levels: Height and width of each level.
        kernel: What the kernel was made for; ``None`` before the shapes are known.
        cubin: Its machine code.
    """

    levels: tuple[tuple[int, int], ...]
    kernel: Specialization | None = None
    cubin: bytes = b''


def state_from(fields: Iterable[Any]) -> PluginState:
    """Read the fields of a node or of an engine.

    Raises:
        SelfOccError: One is missing, or was written by another version.
    """
    found = {field.name: np.asarray(field.data) for field in fields}
    if SPATIAL_SHAPES not in found:
        raise SelfOccError(
            f'the attribute {SPATIAL_SHAPES} of a deformable attention is missing: '
            'export the model again'
        )
    levels = levels_from(found[SPATIAL_SHAPES].ravel().tolist())
    if CUBIN not in found:
        return PluginState(levels)
    text = found[SPECIALIZATION].tobytes().decode(errors='replace')
    return PluginState(levels, Specialization.from_json(text), found[CUBIN].tobytes())


def arrays_of(state: PluginState) -> dict[str, NDArray[Any]]:
    """Return what ``state_from`` reads, by name.

    Raises:
        SelfOccError: The kernel is not compiled yet.
    """
    if state.kernel is None or not state.cubin:
        raise SelfOccError('a plugin without a kernel cannot be stored: build the engine again')
    return {
        SPATIAL_SHAPES: np.array(state.levels, np.int32).ravel(),
        SPECIALIZATION: np.frombuffer(state.kernel.to_json().encode(), np.int8),
        CUBIN: np.frombuffer(state.cubin, np.int8),
    }


def plugin_fields(trt: ModuleType, arrays: dict[str, NDArray[Any]]) -> list[Any]:
    """Return TensorRT's fields; they and the arrays must outlive what is made of them."""
    types = {'int32': trt.PluginFieldType.INT32, 'int8': trt.PluginFieldType.INT8}
    return [
        trt.PluginField(name, array, types[array.dtype.name]) for name, array in arrays.items()
    ]
