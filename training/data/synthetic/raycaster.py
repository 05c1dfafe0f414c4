"""Nearest hit of rays with triangles: the only place that knows the ray casting library."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from selfocc_core.errors import SelfOccError

NO_HIT = -1


def _build_embree(triangles: NDArray[np.float32]) -> Any:
    try:
        from embreex.mesh_construction import TriangleMesh
        from embreex.rtcore_scene import EmbreeScene
    except ImportError as error:
        raise SelfOccError(
            'the generated world needs embreex to cast rays: pip install "selfocc_ros[synth]"'
        ) from error
    scene = EmbreeScene()
    TriangleMesh(scene, np.ascontiguousarray(triangles, dtype=np.float32))
    return scene


class RayCaster:
    """Casts rays at a fixed set of triangles.

    Args:
        triangles: corners in metres, [T,3,3].
    """

    def __init__(self, triangles: NDArray[np.float32]) -> None:
        self._scene = _build_embree(triangles) if len(triangles) else None

    def cast(
        self, origin: NDArray[np.float32], direction: NDArray[np.float32]
    ) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
        """Find the nearest triangle of every ray.

        Args:
            origin: start points in metres, [N,3].
            direction: directions of any length, [N,3].

        Returns:
            distance [N] in units of the direction's length (+Inf without a hit) and
            primitive [N], the triangle index (`NO_HIT` without a hit).
        """
        if self._scene is None or len(origin) == 0:
            count = len(origin)
            return np.full(count, np.inf, np.float32), np.full(count, NO_HIT, np.int32)
        hit = self._scene.run(
            np.ascontiguousarray(origin, dtype=np.float32),
            np.ascontiguousarray(direction, dtype=np.float32),
            output=1,
        )
        primitive = np.asarray(hit['primID'], dtype=np.int32)
        distance = np.asarray(hit['tfar'], dtype=np.float32)
        distance[primitive == NO_HIT] = np.inf
        return distance, primitive
