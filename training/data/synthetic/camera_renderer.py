"""Images, depth and classes that a pinhole camera sees in a scene."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from selfocc_core.cameras import Camera
from selfocc_core.errors import SelfOccError
from selfocc_core.transforms import Transform
from training.data.synthetic.shader import pixel_means, shade, sunward_hits
from training.data.synthetic.world import Scene


@dataclass(frozen=True)
class Truth:
    """Exact values along the rays through the pixel centres.

    Attributes:
        depth: metres along the optical axis, +Inf where the sky is, [H,W] float32.
        label: class ids, 0 is sky, [H,W] uint8.
    """

    depth: NDArray[np.float32]
    label: NDArray[np.uint8]


class CameraRenderer:
    """Renders one camera; rays are made once.

    Args:
        camera: undistorted pinhole camera.
        samples_per_pixel: a square number: 1, 4, 9 or 16.

    Raises:
        SelfOccError: the number of samples is not supported, or the camera has distortion.
    """

    def __init__(self, camera: Camera, samples_per_pixel: int) -> None:
        if samples_per_pixel not in (1, 4, 9, 16):
            raise SelfOccError(f'{samples_per_pixel} samples per pixel: choose 1, 4, 9 or 16')
        if camera.distortion_model != 'none':
            raise SelfOccError(f'camera "{camera.name}" has distortion: render an undistorted one')
        self.camera = camera
        self._samples = samples_per_pixel
        rays = pixel_rays(camera, round(samples_per_pixel**0.5))
        rays /= np.linalg.norm(rays, axis=1, keepdims=True)
        self._rays = rays.astype(np.float32)
        self._centre_rays = pixel_rays(camera, 1).astype(np.float32)
        self._footprint = 1.0 / camera.image_from_camera[0, 0] / samples_per_pixel**0.5

    def image(self, scene: Scene, world_from_ego: Transform) -> NDArray[np.uint8]:
        """Return the image [H,W,3] RGB."""
        world_from_camera = world_from_ego @ self.camera.ego_from_camera
        direction = _rotated(self._rays, world_from_camera)
        color = _shaded(scene, _origin(world_from_camera), direction, self._footprint)
        pixels = pixel_means(color, self._samples)
        return pixels.reshape(self.camera.height, self.camera.width, 3)

    def truth(self, scene: Scene, world_from_ego: Transform) -> Truth:
        """Return depth and classes at the pixel centres."""
        world_from_camera = world_from_ego @ self.camera.ego_from_camera
        # Rays have unit length along the optical axis, so the distance is the depth.
        direction = _rotated(self._centre_rays, world_from_camera)
        origin = np.broadcast_to(_origin(world_from_camera), direction.shape)
        depth, primitive = scene.cast(origin, direction)
        label = np.where(primitive >= 0, scene.table.label[primitive], 0).astype(np.uint8)
        shape = self.camera.height, self.camera.width
        return Truth(depth.reshape(shape), label.reshape(shape))


def pixel_rays(camera: Camera, per_side: int) -> NDArray[np.float64]:
    """Return ray directions with z = 1 in the camera frame, [H*W*per_side^2,3], pixel by pixel."""
    offset = (np.arange(per_side) + 0.5) / per_side - 0.5
    v, u, dv, du = np.meshgrid(
        np.arange(camera.height), np.arange(camera.width), offset, offset, indexing='ij'
    )
    k = camera.image_from_camera
    x = (u + du - k[0, 2]) / k[0, 0]
    y = (v + dv - k[1, 2]) / k[1, 1]
    return np.stack([x, y, np.ones_like(x)], axis=-1).reshape(-1, 3)


def _shaded(
    scene: Scene, origin: NDArray[np.float32], direction: NDArray[np.float32], footprint: float
) -> NDArray[np.float32]:
    light = scene.world.light
    distance, primitive = scene.cast(np.broadcast_to(origin, direction.shape), direction)
    start, sample = sunward_hits(scene.table, light.sun, origin, direction, distance, primitive)
    blocked = scene.is_blocked(start, np.broadcast_to(light.sun, start.shape))
    lit = np.zeros(len(distance), np.bool_)
    lit[sample[~blocked]] = True
    color = np.empty((len(distance), 3), np.float32)
    textures = scene.world.textures
    shade(
        scene.table, textures, light, origin, direction, distance, primitive, lit, footprint, color
    )
    return color


def _origin(world_from_camera: Transform) -> NDArray[np.float32]:
    return world_from_camera[:3, 3].astype(np.float32)


def _rotated(vectors: NDArray[np.float32], world_from_camera: Transform) -> NDArray[np.float32]:
    # einsum, not @: threads of BLAS spin longer than this takes.
    rotation = world_from_camera[:3, :3].astype(np.float32)
    return np.asarray(np.einsum('ni,ji->nj', vectors, rotation))
