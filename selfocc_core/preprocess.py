"""From a camera's image to the network's input: the only preprocessing there is.

Training, evaluation and the vehicle share it, so that no difference in resizing costs accuracy.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray

from selfocc_core.cameras import Camera
from selfocc_core.errors import SelfOccError
from selfocc_core.frames import Image


@dataclass(frozen=True, eq=False)
class Preprocessor:
    """Undistort, resize and crop the images of one camera.

    The image is scaled until it covers the input size; what is too much goes on both sides, and
    at the top, where there is sky.

    Attributes:
        camera: The calibrated camera.
        height: Height of the network input in pixels.
        width: Width of the network input in pixels.
    """

    camera: Camera
    height: int
    width: int
    _undistortion: tuple[NDArray[np.float32], NDArray[np.float32]] | None = field(
        init=False, repr=False
    )

    def __post_init__(self) -> None:
        object.__setattr__(self, '_undistortion', _undistortion_maps(self.camera))

    def __call__(self, image: Image) -> Image:
        """Return the network input ``[height, width, 3]`` of an RGB image.

        Raises:
            SelfOccError: The image has another size than the calibration.
        """
        camera = self.camera
        if image.shape != (camera.height, camera.width, 3) or image.dtype != np.uint8:
            raise SelfOccError(
                f'camera "{camera.name}" sent an image of shape {image.shape} ({image.dtype}) '
                f'but is calibrated for {camera.width}x{camera.height} RGB: fix its camera_info'
            )
        if self._undistortion is not None:
            image = cv2.remap(image, *self._undistortion, cv2.INTER_LINEAR)
        resized_width, resized_height = self._resized_size
        if (resized_width, resized_height) != (camera.width, camera.height):
            shrinks = resized_width < camera.width
            interpolation = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
            image = _halved(image, *self._resized_size)
            image = cv2.resize(image, self._resized_size, interpolation=interpolation)
        left, top = self._crop_origin
        return np.ascontiguousarray(
            image[top : top + self.height, left : left + self.width], np.uint8
        )

    @property
    def input_from_image(self) -> NDArray[np.float64]:
        """Pixels of the network input from (undistorted) pixels of the camera ``[3, 3]``.

        Pixel centres lie at integer coordinates, so a resize also shifts by half a pixel.
        """
        resized_width, resized_height = self._resized_size
        scale_x, scale_y = resized_width / self.camera.width, resized_height / self.camera.height
        left, top = self._crop_origin
        return np.array(
            [
                [scale_x, 0.0, 0.5 * scale_x - 0.5 - left],
                [0.0, scale_y, 0.5 * scale_y - 0.5 - top],
                [0.0, 0.0, 1.0],
            ]
        )

    def source_pixels(self) -> NDArray[np.float64]:
        """Return the pixel (u, v) of the camera's image that each input pixel shows ``[h, w, 2]``.

        It may lie outside, where an undistorted image has no source.
        """
        v, u = np.mgrid[: self.height, : self.width].astype(np.float64)
        image_from_input = np.linalg.inv(self.input_from_image)
        pixels = np.stack([u, v, np.ones_like(u)], -1) @ image_from_input[:2].T
        if self._undistortion is None:
            return np.asarray(pixels, np.float64)
        places = np.asarray(pixels, np.float32)
        # Edges of an enlarged image lie up to half a pixel outside, where the maps go on evenly.
        maps = [
            cv2.remap(m, places, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
            for m in self._undistortion
        ]
        return np.stack(maps, -1).astype(np.float64)

    @property
    def input_from_ego(self) -> NDArray[np.float64]:
        """Projection ``[3, 4]`` from ego metres to pixels of the network input."""
        return self.input_from_image @ self.camera.image_from_ego

    @property
    def _resized_size(self) -> tuple[int, int]:
        scale = max(self.width / self.camera.width, self.height / self.camera.height)
        width = max(self.width, round(self.camera.width * scale))
        height = max(self.height, round(self.camera.height * scale))
        return width, height

    @property
    def _crop_origin(self) -> tuple[int, int]:
        width, height = self._resized_size
        return (width - self.width) // 2, height - self.height


def _halved(image: Image, width: int, height: int) -> Image:
    """Return the image halved as long as it stays four times as large as it is wanted.

    OpenCV averages over areas ten times as fast for halves as for other factors. The average over
    the rest then weighs some pixels at its border less exactly; with so much left that is little.
    """
    while (
        image.shape[0] % 2 == image.shape[1] % 2 == 0
        and image.shape[0] >= 8 * height
        and image.shape[1] >= 8 * width
    ):
        half = image.shape[1] // 2, image.shape[0] // 2
        image = np.asarray(cv2.resize(image, half, interpolation=cv2.INTER_AREA), np.uint8)
    return image


def _undistortion_maps(
    camera: Camera,
) -> tuple[NDArray[np.float32], NDArray[np.float32]] | None:
    if camera.distortion_model == 'none' or not any(camera.distortion):
        return None
    k, size = camera.image_from_camera, (camera.width, camera.height)
    coefficients = np.asarray(camera.distortion, np.float64)
    if camera.distortion_model == 'equidistant':
        return cv2.fisheye.initUndistortRectifyMap(
            k, coefficients, np.eye(3), k, size, cv2.CV_32FC1
        )
    return cv2.initUndistortRectifyMap(k, coefficients, np.eye(3), k, size, cv2.CV_32FC1)
