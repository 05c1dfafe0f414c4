"""Mirrored samples: a street seen in a mirror is another street.

A network that sees both learns from twice the streets. What is mirrored is the world, at the plane
``y = 0`` of the ego frame, and every image; a camera on the left then looks to the right.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from training.data.sampler import Sample, Supervision, View


def mirrored(sample: Sample) -> Sample:
    """Mirror a sample left to right."""
    supervisions = tuple((share, _supervision(seen)) for share, seen in sample.supervisions)
    return replace(
        sample,
        current=_view(sample.current),
        supervisions=supervisions,
        swept=sample.swept * sample.swept.new_tensor([1, -1, 1]),
    )


def _supervision(supervision: Supervision) -> Supervision:
    earlier, later = supervision.sources
    return Supervision(_view(supervision.anchor), (_view(earlier), _view(later)))


def _view(view: View) -> View:
    """Mirror images, and the points that are projected into them: ``F P M``."""
    images = view.images.flip(2)
    return View(
        images,
        _flip_columns(view.image_from_ego, images.shape[2])
        @ torch.diag(view.image_from_ego.new_tensor([1, -1, 1, 1])),
        None if view.labels is None else view.labels.flip(2),
    )


def _flip_columns(image_from_ego: Tensor, width: int) -> Tensor:
    """Return projections ``[N, 3, 4]`` to ``width - 1 - u`` instead of ``u``."""
    u, v, depth = image_from_ego.unbind(1)
    return torch.stack([(width - 1) * depth - u, v, depth], 1)
