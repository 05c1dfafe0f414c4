"""What can be asked of a running node."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from rclpy.node import Node
from std_srvs.srv import Trigger

from selfocc_core.errors import SelfOccError
from selfocc_core.files import temporary_sibling
from selfocc_core.pipeline import OccupancyResult


class Services:
    """``~/reset`` and ``~/save_grid``.

    Args:
        node: The node that offers them.
        reset: Forgets waiting images and motion.
        save: Writes the latest grid and returns its file.
    """

    def __init__(self, node: Node, reset: Callable[[], None], save: Callable[[], Path]) -> None:
        self._node, self._reset, self._save = node, reset, save
        self._services = [
            node.create_service(Trigger, '~/reset', self._on_reset),
            node.create_service(Trigger, '~/save_grid', self._on_save),
        ]

    def close(self) -> None:
        """Offer them no more."""
        for service in self._services:
            self._node.destroy_service(service)

    def _on_reset(self, request: Any, response: Any) -> Any:
        self._reset()
        response.success, response.message = True, 'waiting images and motion are forgotten'
        return response

    def _on_save(self, request: Any, response: Any) -> Any:
        try:
            response.message = str(self._save())
            response.success = True
        except (SelfOccError, OSError) as error:
            response.success, response.message = False, str(error)
        return response


def save_grid(result: OccupancyResult | None, folder: Path, frame_id: str) -> Path:
    """Write a result as ``<stamp>.npz`` and return its path.

    The file holds ``states`` uint8 ``[X, Y, Z]`` (0 free, 1 occupied, 2 unknown: ``VoxelState``),
    ``sdf_m`` float32 ``[X, Y, Z]``, ``minimum_m`` and ``voxel_size_m`` float64 ``[3]``,
    ``stamp_ns``, ``frame_id``, and of a model with classes ``labels`` and ``class_names``.

    Raises:
        SelfOccError: Nothing has been published yet, or the file cannot be written.
    """
    if result is None:
        raise SelfOccError('there is no grid yet: nothing has been published since activation')
    arrays: dict[str, Any] = {
        'states': result.states,
        'sdf_m': result.sdf,
        'minimum_m': np.asarray(result.grid.minimum_m),
        'voxel_size_m': np.asarray(result.grid.voxel_size_m),
        'stamp_ns': np.int64(result.stamp_ns),
        'frame_id': np.array(frame_id),
    }
    if result.labels is not None:
        arrays |= {'labels': result.labels, 'class_names': np.array(result.class_names)}
    path = folder / f'{result.stamp_ns}.npz'
    with temporary_sibling(path) as temporary:
        np.savez_compressed(temporary, **arrays)
    return path
