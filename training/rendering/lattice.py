"""Which pixels rays are cast through: a lattice over the image (method section 2.6)."""

from __future__ import annotations

import torch
from torch import Tensor


def fixed_lattice(
    height: int, width: int, rows: int, columns: int, *, parity: bool = False
) -> Tensor:
    """Return one pixel for each of ``rows × columns`` equal cells of an image (evaluation).

    ``u_i = (i + ½) W/n_x - ½``, ``v_j = (j + ½) H/n_y - ½``; pixel 0 has its centre at 0.

    Args:
        height: Of the image, in pixels.
        width: Of the image, in pixels.
        rows: Cells along the height, ``n_y``.
        columns: Cells along the width, ``n_x``.
        parity: The original takes the top-left corner of each cell, ``u_i = i W/n_x``.

    Returns:
        Pixels (u, v) ``[rows * columns, 2]``, row by row.
    """
    return _lattice((width / columns, height / rows), (0.0, 0.0), rows, columns, parity=parity)


def cellular_lattice(
    draws: Tensor, height: int, width: int, rows: int, columns: int, *, parity: bool = False
) -> Tensor:
    """Return a randomly scaled and shifted lattice (training).

    The strides are ``s_x = 1 + (W/n_x - 1) q_0`` and ``s_y = 1 + (H/n_y - 1) q_1``, the origin
    ``(W - n_x s_x) q_2, (H - n_y s_y) q_3``: neighbours are near enough for a structural
    comparison on the lattice (SSIM), and over many draws every pixel has its turn.

    Args:
        draws: ``q [4]``, uniform in [0, 1).
        height: Of the image, in pixels.
        width: Of the image, in pixels.
        rows: Of the lattice, ``n_y``.
        columns: Of the lattice, ``n_x``.
        parity: The original takes the top-left corner of each cell, here it is the middle.

    Returns:
        Pixels (u, v) ``[rows * columns, 2]``, row by row.
    """
    q = draws.double().tolist()
    stride_x, stride_y = 1 + (width / columns - 1) * q[0], 1 + (height / rows - 1) * q[1]
    origin = (width - columns * stride_x) * q[2], (height - rows * stride_y) * q[3]
    return _lattice((stride_x, stride_y), origin, rows, columns, parity=parity)


def _lattice(
    stride: tuple[float, float],
    origin: tuple[float, float],
    rows: int,
    columns: int,
    *,
    parity: bool,
) -> Tensor:
    place, pixel_center = (0.0, 0.0) if parity else (0.5, 0.5)
    u = origin[0] + (torch.arange(columns) + place) * stride[0] - pixel_center
    v = origin[1] + (torch.arange(rows) + place) * stride[1] - pixel_center
    grid_v, grid_u = torch.meshgrid(v, u, indexing='ij')
    return torch.stack([grid_u, grid_v], -1).reshape(-1, 2)
