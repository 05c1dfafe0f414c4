"""Bins along rays (method section 2.6)."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from training.rendering.box import Interval


class Bins(NamedTuple):
    """Neighbouring bins along rays, as Euclidean distances from the origins.

    Attributes:
        starts: ``[R, S]`` in metres.
        ends: ``[R, S]`` in metres.
    """

    starts: Tensor
    ends: Tensor

    @property
    def middles(self) -> Tensor:
        """Distance of the middle of each bin ``[R, S]`` in metres."""
        return 0.5 * (self.starts + self.ends)

    @property
    def widths(self) -> Tensor:
        """Width Δ of each bin ``[R, S]`` in metres."""
        return self.ends - self.starts


def stratified_bins(interval: Interval, samples: int, jitter: Tensor | None = None) -> Bins:
    """Cut intervals into equal bins, and move their edges together by one draw for each ray.

    With edges ``e_0 .. e_S`` and middles ``m_k = (e_k + e_{k+1})/2``, an inner edge moves to
    ``m_{k-1} + u (m_k - m_{k-1})``, the first one to ``e_0 + u (m_0 - e_0)`` and the last one to
    ``m_{S-1} + u (e_S - m_{S-1})``.

    Args:
        interval: Part of each ray ``[R]``.
        samples: Number of bins ``S``.
        jitter: ``u`` ``[R, 1]``, uniform in [0, 1); None leaves the bins equal (evaluation).
    """
    near, far = interval.near[:, None], interval.far[:, None]
    steps = torch.linspace(0, 1, samples + 1).to(near)[None]
    if jitter is not None:
        middles = 0.5 * (steps[:, 1:] + steps[:, :-1])
        lower = torch.cat([steps[:, :1], middles], 1)
        upper = torch.cat([middles, steps[:, -1:]], 1)
        steps = lower + (upper - lower) * jitter
    edges = near + (far - near) * steps
    return Bins(edges[:, :-1], edges[:, 1:])
