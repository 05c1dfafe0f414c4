"""Which true points count against a predicted depth, and what is done to the prediction before.

Published depth errors differ in range, crop and scaling; a number means something only together
with its protocol, so each has a name here.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from selfocc_core.cameras import Camera

Crop = Literal['none', 'garg', 'eigen']

Floats = NDArray[np.float64]

# Fractions of height (first row, end) and width (first column, end), rounded down. Garg et al.
# 2016 ("Unsupervised CNN for single view depth estimation") and Eigen et al. 2014 ("Depth map
# prediction from a single image"), as the field has taken them since Godard et al. 2017.
_CROPS: dict[Crop, tuple[float, float, float, float]] = {
    'none': (0.0, 1.0, 0.0, 1.0),
    'garg': (0.40810811, 0.99189189, 0.03594771, 0.96405229),
    'eigen': (0.3324324, 0.91351351, 0.0359477, 0.96405229),
}


@dataclass(frozen=True)
class DepthProtocol:
    """How depth is compared.

    Attributes:
        name: What tables call it.
        source: Who uses it.
        nearest_m: Smallest true depth that counts.
        farthest_m: Largest true depth that counts.
        crop: Part of the camera's image in which true points count.
        median_scaling: Whether each image is scaled so that predicted and true median agree.
        smallest_prediction_m: Smaller predictions are raised to this, after scaling.
        largest_prediction_m: Larger predictions are lowered to this, after scaling.
    """

    name: str
    source: str
    nearest_m: float
    farthest_m: float
    crop: Crop = 'none'
    median_scaling: bool = False
    smallest_prediction_m: float = 1e-3
    largest_prediction_m: float = 80.0

    def in_range(self, true_m: Floats) -> NDArray[np.bool_]:
        """Return which true depths ``[P]`` count."""
        return np.asarray((true_m >= self.nearest_m) & (true_m <= self.farthest_m), bool)

    def in_crop(self, pixels: Floats, width: int, height: int) -> NDArray[np.bool_]:
        """Return which points ``[P]`` lie in the crop.

        Args:
            pixels: Sub-pixel positions ``[P, 2]`` in the camera's image; centres at integers.
            width: Width of that image.
            height: Its height.
        """
        top, bottom, left, right = _CROPS[self.crop]
        u, v = np.round(pixels).T
        rows = (v >= int(top * height)) & (v < int(bottom * height))
        return np.asarray(rows & (u >= int(left * width)) & (u < int(right * width)), bool)

    def counted(self, points: Floats, camera: Camera) -> Floats:
        """Return the true points ``[Q, 3]`` that count, of points ``[P, 3]`` in a camera's frame.

        The camera is that of the whole image, without distortion.
        """
        points = points[self.in_range(points[:, 2])]
        homogeneous = points @ camera.image_from_camera.T
        pixels = homogeneous[:, :2] / homogeneous[:, 2:]
        return points[self.in_crop(pixels, camera.width, camera.height)]

    def prepared(self, predicted_m: Floats, true_m: Floats) -> Floats:
        """Return the predictions ``[P]`` of one image as they are compared: scaled and clamped."""
        if self.median_scaling and len(predicted_m):
            median_m = max(float(np.median(predicted_m)), self.smallest_prediction_m)
            predicted_m = predicted_m * (np.median(true_m) / median_m)
        return np.clip(predicted_m, self.smallest_prediction_m, self.largest_prediction_m)

    def scaled(self) -> DepthProtocol:
        """Return the protocol with median scaling."""
        return replace(self, name=f'{self.name}_scaled', median_scaling=True)


METRIC = DepthProtocol('metric', 'ours: metres are metres', 0.5, 80.0)
KITTI = DepthProtocol('kitti', 'SelfOcc (arXiv 2311.12754) on KITTI', 0.1, 80.0, crop='garg')
KITTI_1M = replace(KITTI, name='kitti_1m', source='KITTI from 1 m', nearest_m=1.0)
NUSCENES = DepthProtocol('nuscenes', 'SurroundDepth, OccNeRF, GaussianOcc', 0.1, 80.0)
NUSCENES_1M = replace(NUSCENES, name='nuscenes_1m', source='SelfOcc on nuScenes', nearest_m=1.0)
KITTI_EIGEN = replace(
    KITTI, name='kitti_eigen', source='Godard et al. 2019, monocular', median_scaling=True
)
KITTI_EIGEN_1M = replace(
    KITTI_EIGEN, name='kitti_eigen_1m', source='the same from 1 m', nearest_m=1.0
)

DEPTH_PROTOCOLS = {
    protocol.name: protocol
    for protocol in (
        METRIC,
        METRIC.scaled(),
        KITTI,
        KITTI_1M,
        KITTI_EIGEN,
        KITTI_EIGEN_1M,
        NUSCENES,
        NUSCENES_1M,
        NUSCENES.scaled(),
    )
}
