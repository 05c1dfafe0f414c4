"""Lift: each node of the volume reads the image features at its own projection.

Not in the paper; worth its time on a small network (SimpleOcc uses the same idea).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from training.model.projection import project


def lift(
    features: Tensor, nodes: Tensor, image_from_ego: Tensor, mask: Tensor, size: tuple[int, int]
) -> Tensor:
    """Average the features of the cameras that see a node.

    Args:
        features: Image features ``[N, C, h, w]``.
        nodes: Positions ``[P, 3]`` in the ego frame.
        image_from_ego: Projections ``[N, 3, 4]`` to pixels of the network input.
        mask: Which cameras are present ``[N]``.
        size: Height and width of the network input.

    Returns:
        ``[C, P]``; zero where no camera sees the node.
    """
    locations, visible = project(nodes, image_from_ego, size)
    visible = visible & mask[:, None]
    count = visible.sum(0).clamp(min=1)
    if torch.compiler.is_exporting():
        sampled = F.grid_sample(features, 2 * locations[:, :, None] - 1, align_corners=False)
        return (sampled.squeeze(-1) * visible[:, None]).sum(0) / count
    total = features.new_zeros(len(nodes), features.shape[1])
    for camera in range(len(features)):
        (index,) = torch.nonzero(visible[camera], as_tuple=True)
        grid = 2 * locations[camera, index][None, :, None] - 1
        sampled = F.grid_sample(features[camera, None], grid, align_corners=False)
        total = total.index_add(0, index, sampled[0, :, :, 0].T)
    return total.T / count
