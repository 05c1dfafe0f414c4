"""Surfaces do not bend without reason (method section 3.5)."""

from __future__ import annotations

from torch import Tensor


def hessian_loss(hessian: Tensor) -> Tensor:
    """Return ``mean |H_ab|`` over the nine components and all nodes.

    Args:
        hessian: Hessian volume of the distance ``[3, 3, Y, X, Z]`` in 1/m.
    """
    return hessian.abs().mean()
