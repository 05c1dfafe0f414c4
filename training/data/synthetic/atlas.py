"""All textures of a world with their mip levels, packed into one array for the shader."""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from training.data.synthetic.meshes import Material

FloatArray = NDArray[np.float64]


class PackedTextures(NamedTuple):
    """Textures as the shader reads them.

    Attributes:
        texels: all texels of all levels, [M,4] uint8 (r, g, b, cover).
        start: first texel of a level [textures, levels] int64.
        size: columns and rows of a level [textures, levels, 2] int64; unused ones repeat the last.
    """

    texels: NDArray[np.uint8]
    start: NDArray[np.int64]
    size: NDArray[np.int64]


class TextureAtlas:
    """Named textures; `material` makes surfaces of them."""

    def __init__(self) -> None:
        self._images: list[NDArray[np.uint8]] = []
        self._repeat_m: list[tuple[float, float]] = []
        self._index: dict[str, int] = {}

    def add(self, name: str, image: FloatArray, repeat_m: tuple[float, float]) -> None:
        """Add a texture.

        Args:
            name: its name.
            image: [H,W,3] or [H,W,4] (with cover) in 0..255; the first row is the top.
            repeat_m: size of the image (u, v) in metres.
        """
        if image.shape[2] == 3:
            image = np.concatenate([image, np.full((*image.shape[:2], 1), 255.0)], axis=2)
        self._index[name] = len(self._images)
        self._images.append(np.clip(image[::-1] + 0.5, 0, 255).astype(np.uint8))
        self._repeat_m.append(repeat_m)

    def __getitem__(self, name: str) -> int:
        """Return the index of a texture."""
        return self._index[name]

    def material(
        self, name: str, label: int, tint: tuple[float, float, float] = (1.0, 1.0, 1.0)
    ) -> Material:
        """Return a material of the named texture."""
        index = self._index[name]
        return Material(index, self._repeat_m[index], label, tint)

    def packed(self) -> PackedTextures:
        """Build the mip levels and pack them."""
        pyramids = [_pyramid(image) for image in self._images]
        depth = max(len(pyramid) for pyramid in pyramids)
        start = np.zeros((len(pyramids), depth), np.int64)
        size = np.ones((len(pyramids), depth, 2), np.int64)
        chunks, used = [], 0
        for t, pyramid in enumerate(pyramids):
            for level in range(depth):
                image = pyramid[min(level, len(pyramid) - 1)]
                if level < len(pyramid):
                    chunks.append(image.reshape(-1, 4))
                    used += image.shape[0] * image.shape[1]
                start[t, level] = used - image.shape[0] * image.shape[1]
                size[t, level] = image.shape[1], image.shape[0]
        return PackedTextures(np.concatenate(chunks), start, size)


def _pyramid(image: NDArray[np.uint8]) -> list[NDArray[np.uint8]]:
    levels = [image]
    while max(levels[-1].shape[:2]) > 1:
        rows, columns = (max(1, n // 2) for n in levels[-1].shape[:2])
        levels.append(cv2.resize(levels[-1], (columns, rows), interpolation=cv2.INTER_AREA))
    return levels
