"""What the network sees of one moment, as pictures for people."""

from __future__ import annotations

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from selfocc_core.visualization.depth import depth_colors
from selfocc_core.visualization.occupancy_map import occupancy_from_above
from selfocc_core.voxels import VoxelState
from training.config import Preset
from training.data.sampler import View
from training.deployed import DeployedModel
from training.model.selfocc import SelfOcc

Picture = NDArray[np.uint8]
_HEIGHT = 96


@torch.no_grad()
def pictures_of(network: SelfOcc, preset: Preset, view: View) -> dict[str, Picture]:
    """Return RGB pictures: ``depth``, the images above their depth, and ``occupancy`` from above.

    The network stays as it is.

    Args:
        network: The network.
        preset: Its configuration.
        view: What it looks at, in the ego frame, on the device of the network.
    """
    cameras = torch.ones(len(view.images), dtype=torch.bool, device=view.images.device)
    was_training = network.training
    deployed = DeployedModel(network, preset).to(view.images.device).eval()
    try:
        with view.images.device:
            sdf, depth, *_ = deployed(view.images, view.image_from_ego, cameras)
    finally:
        network.train(was_training)
    occupied = sdf.cpu().numpy() <= preset.threshold
    states = np.where(occupied, VoxelState.OCCUPIED, VoxelState.FREE).astype(np.uint8)
    return {
        'depth': _depth_below_image(view.images.cpu().numpy(), depth.cpu().numpy(), preset),
        'occupancy': occupancy_from_above(states, preset.output.grid),
    }


def _depth_below_image(
    images: NDArray[np.uint8], depth_m: NDArray[np.float32], preset: Preset
) -> Picture:
    """Return the images ``[N, H, W, 3]`` in a row, and below them depths ``[N, h, w]``."""
    nothing = depth_m >= preset.output.depth_far_m
    depths = depth_colors(np.where(nothing, np.inf, depth_m))
    return np.concatenate([_row(images), _row(depths)])


def _row(images: NDArray[np.uint8]) -> Picture:
    width = round(_HEIGHT * images.shape[2] / images.shape[1])
    sized = [cv2.resize(i, (width, _HEIGHT), interpolation=cv2.INTER_NEAREST) for i in images]
    return np.concatenate(sized, 1).astype(np.uint8)
