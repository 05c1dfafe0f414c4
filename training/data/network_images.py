"""From a camera's image to the two that training needs."""

from __future__ import annotations

from selfocc_core.cameras import Camera
from selfocc_core.frames import Image
from selfocc_core.preprocess import Preprocessor
from training.config import InputConfig


class NetworkImages:
    """Makes of each image of a camera the network's input and the one that supervises."""

    def __init__(self, camera: Camera, config: InputConfig) -> None:
        input_size = config.height, config.width
        supervision_size = config.supervision_height, config.supervision_width
        self.camera = camera
        self.input = Preprocessor(camera, *input_size)
        self.supervision = Preprocessor(camera, *supervision_size)
        self.are_equal = input_size == supervision_size

    def __call__(self, image: Image) -> tuple[Image, Image]:
        """Return both; the same array where their sizes are equal."""
        input_image = self.input(image)
        return input_image, input_image if self.are_equal else self.supervision(image)
