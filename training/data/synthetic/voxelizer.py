"""Exact voxelisation of triangles: surfaces by the separating axis test, solids by winding."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from training.jit import compiled

FloatArray = NDArray[np.float64]
# Columns are probed a hair beside their centre, so that no probe runs along an edge.
_NUDGE = 1.7e-7


@compiled
def _axis_separates(a: FloatArray, b: FloatArray, c: FloatArray, axis: FloatArray) -> bool:
    """Tell whether an axis separates a triangle from the cube of edge 1 about the origin."""
    pa = a[0] * axis[0] + a[1] * axis[1] + a[2] * axis[2]
    pb = b[0] * axis[0] + b[1] * axis[1] + b[2] * axis[2]
    pc = c[0] * axis[0] + c[1] * axis[1] + c[2] * axis[2]
    reach = 0.5 * (abs(axis[0]) + abs(axis[1]) + abs(axis[2]))
    return min(pa, pb, pc) > reach or max(pa, pb, pc) < -reach  # type: ignore[no-any-return]


@compiled
def _axes_of(triangle: FloatArray) -> FloatArray:
    """Return the face normal and the nine products of edges and coordinate axes, [10,3]."""
    axes = np.zeros((10, 3))
    edge1, edge2 = triangle[1] - triangle[0], triangle[2] - triangle[0]
    axes[0] = np.cross(edge1, edge2)
    for i in range(3):
        edge = triangle[(i + 1) % 3] - triangle[i]
        axes[1 + 3 * i] = np.array([0.0, -edge[2], edge[1]])
        axes[2 + 3 * i] = np.array([edge[2], 0.0, -edge[0]])
        axes[3 + 3 * i] = np.array([-edge[1], edge[0], 0.0])
    return axes


@compiled
def mark_surfaces(
    triangles: FloatArray,
    label: NDArray[np.uint8],
    rank: NDArray[np.uint8],
    marked: NDArray[np.uint8],
) -> None:
    """Mark every voxel that a triangle touches with the label of highest rank.

    Args:
        triangles: corners in units of voxels from the grid's low corner [T,3,3].
        label: class ids, above zero [T].
        rank: rank of each class id [C].
        marked: result, zero where no surface is [X,Y,Z].
    """
    low, high = np.zeros(3, np.int64), np.zeros(3, np.int64)
    centre = np.zeros(3)
    for t in range(len(triangles)):
        triangle = triangles[t]
        for k in range(3):
            column = triangle[:, k]
            low[k] = max(0, int(np.floor(column.min())))
            high[k] = min(marked.shape[k] - 1, int(np.floor(column.max())))
        axes = _axes_of(triangle)
        for x in range(low[0], high[0] + 1):
            for y in range(low[1], high[1] + 1):
                for z in range(low[2], high[2] + 1):
                    if rank[marked[x, y, z]] >= rank[label[t]]:
                        continue
                    centre[0], centre[1], centre[2] = x + 0.5, y + 0.5, z + 0.5
                    a, b, c = triangle[0] - centre, triangle[1] - centre, triangle[2] - centre
                    apart = False
                    for k in range(10):
                        apart = apart or _axis_separates(a, b, c, axes[k])
                    if not apart:
                        marked[x, y, z] = label[t]


@compiled
def _height_over(triangle: FloatArray, x: float, y: float) -> tuple[int, float]:
    """Return the way a triangle faces over (x, y): 1 up, -1 down, 0 not there; and its height."""
    ax, ay = triangle[0, 0] - x, triangle[0, 1] - y
    bx, by = triangle[1, 0] - x, triangle[1, 1] - y
    cx, cy = triangle[2, 0] - x, triangle[2, 1] - y
    wa, wb, wc = bx * cy - by * cx, cx * ay - cy * ax, ax * by - ay * bx
    if wa > 0.0 and wb > 0.0 and wc > 0.0:
        facing = 1
    elif wa < 0.0 and wb < 0.0 and wc < 0.0:
        facing = -1
    else:
        return 0, 0.0
    weighted = wa * triangle[0, 2] + wb * triangle[1, 2] + wc * triangle[2, 2]
    return facing, weighted / (wa + wb + wc)


@compiled
def count_crossings(
    triangles: FloatArray,
    label: NDArray[np.uint8],
    turns: NDArray[np.int32],
    top_label: NDArray[np.uint8],
) -> None:
    """Count the surfaces above voxel centres, up-facing minus down-facing.

    Args:
        triangles: corners in units of voxels from the grid's low corner [T,3,3].
        label: class ids [T].
        turns: result: the surfaces whose highest voxel centre below them is this one [X,Y,Z].
        top_label: result: class of the last up-facing of them [X,Y,Z].
    """
    shape = turns.shape
    for t in range(len(triangles)):
        xs, ys = triangles[t, :, 0], triangles[t, :, 1]
        x_low, x_high = max(0, int(xs.min() - 1)), min(shape[0] - 1, int(xs.max() + 1))
        y_low, y_high = max(0, int(ys.min() - 1)), min(shape[1] - 1, int(ys.max() + 1))
        for x in range(x_low, x_high + 1):
            for y in range(y_low, y_high + 1):
                facing, height = _height_over(triangles[t], x + 0.5 + _NUDGE, y + 0.5 + _NUDGE)
                below = min(int(np.floor(height - 0.5)), shape[2] - 1)
                if facing != 0 and below >= 0:
                    turns[x, y, below] += facing
                    if facing > 0:
                        top_label[x, y, below] = label[t]


@compiled
def mark_rays(origin: FloatArray, end: FloatArray, reached: NDArray[np.bool_]) -> None:
    """Mark every voxel that the segments pass through (Amanatides and Woo, 1987).

    Args:
        origin: common start in units of voxels [3].
        end: ends in units of voxels [N,3].
        reached: result [X,Y,Z].
    """
    cell, step = np.zeros(3, np.int64), np.zeros(3, np.int64)
    due, stride = np.zeros(3), np.zeros(3)
    for i in range(len(end)):
        for k in range(3):
            reach = end[i, k] - origin[k]
            cell[k] = int(np.floor(origin[k]))
            step[k] = 1 if reach > 0.0 else -1
            stride[k] = 1.0 / abs(reach) if reach != 0.0 else np.inf
            edge = cell[k] + (1 if reach > 0.0 else 0)
            due[k] = (edge - origin[k]) / reach if reach != 0.0 else np.inf
        passed = 0.0
        while passed <= 1.0:
            inside = True
            for k in range(3):
                inside = inside and 0 <= cell[k] < reached.shape[k]
            if not inside:
                break
            reached[cell[0], cell[1], cell[2]] = True
            k = 0 if due[0] <= due[1] and due[0] <= due[2] else (1 if due[1] <= due[2] else 2)
            passed = due[k]
            cell[k] += step[k]
            due[k] += stride[k]
