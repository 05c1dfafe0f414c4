"""Depth images from the network's coarse depth lattice."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from selfocc_core.cameras import Camera
from selfocc_core.model_card import DepthSpec
from selfocc_core.preprocess import Preprocessor


@dataclass(frozen=True, eq=False)
class DepthImage:
    """Depth seen by one camera (REP-118).

    Attributes:
        depth_m: Metres along the optical axis ``[h, w]`` float32; +Inf where nothing was hit
            within range (REP-117).
        image_from_camera: Intrinsics ``[3, 3]`` of this depth image, without distortion.
    """

    depth_m: NDArray[np.float32]
    image_from_camera: NDArray[np.float64]


def depth_image(
    depth_m: NDArray[np.float32], spec: DepthSpec, preprocessor: Preprocessor
) -> DepthImage:
    """Return the publishable depth image of one camera's lattice ``[h, w]``.

    Depth at the far end of the rendered range means that the ray met nothing.
    """
    beyond = depth_m >= 0.98 * spec.far_m
    return DepthImage(
        depth_m=np.where(beyond, np.float32(np.inf), depth_m),
        image_from_camera=lattice_from_camera(spec, preprocessor),
    )


def lattice_from_input(spec: DepthSpec, height: int, width: int) -> NDArray[np.float64]:
    """Lattice coordinates from pixels of the network input ``[3, 3]``; cells have equal size."""
    scale_x, scale_y = spec.width / width, spec.height / height
    return np.array(
        [
            [scale_x, 0.0, 0.5 * scale_x - 0.5],
            [0.0, scale_y, 0.5 * scale_y - 0.5],
            [0.0, 0.0, 1.0],
        ]
    )


def lattice_from_camera(spec: DepthSpec, preprocessor: Preprocessor) -> NDArray[np.float64]:
    """Intrinsics ``[3, 3]`` of the depth image of a preprocessed camera."""
    camera: Camera = preprocessor.camera
    input_from_camera = preprocessor.input_from_image @ camera.image_from_camera
    return lattice_from_input(spec, preprocessor.height, preprocessor.width) @ input_from_camera
