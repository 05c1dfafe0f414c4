"""A piece of surround video with poses: all that training ever sees of the world."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from selfocc_core.transforms import invert


@dataclass(frozen=True, eq=False)
class Clip:
    """Frame sets of one drive, in order; images and labels may be read only (``kept_video``).

    Attributes:
        name: Where it comes from.
        stamps_ns: Reference stamps ``[T]``.
        images: Network inputs ``[T, N, H, W, 3]`` uint8 RGB.
        supervision_images: The same moments as they supervise ``[T, N, H', W', 3]``, often larger
            (the same array where the sizes are equal).
        input_from_ego: Projections ``[N, 3, 4]`` from the ego frame at a camera's own shutter
            time to pixels of the network input.
        supervision_from_ego: The same to pixels of the supervising images.
        world_from_ego: Poses ``[T, 4, 4]`` at the reference stamps.
        world_from_ego_at_shutter: Poses ``[T, N, 4, 4]`` at each camera's shutter time.
        supervision_labels: Pseudo-labels of the supervising images ``[T, N, H', W']`` uint8, or
            ``None`` without them.
    """

    name: str
    stamps_ns: NDArray[np.int64]
    images: NDArray[np.uint8]
    supervision_images: NDArray[np.uint8]
    input_from_ego: NDArray[np.float64]
    supervision_from_ego: NDArray[np.float64]
    world_from_ego: NDArray[np.float64]
    world_from_ego_at_shutter: NDArray[np.float64]
    supervision_labels: NDArray[np.uint8] | None = None

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, part: slice) -> Clip:
        """Return a part of the clip; its images are views."""
        labels = self.supervision_labels
        return replace(
            self,
            stamps_ns=self.stamps_ns[part],
            images=self.images[part],
            supervision_images=self.supervision_images[part],
            world_from_ego=self.world_from_ego[part],
            world_from_ego_at_shutter=self.world_from_ego_at_shutter[part],
            supervision_labels=None if labels is None else labels[part],
        )

    def image_from_ego(self, frame: int, reference: int) -> NDArray[np.float32]:
        """Return how points of the ego frame at ``reference`` appear in the images of ``frame``.

        Returns:
            Projections ``[N, 3, 4]`` to pixels of the network input.
        """
        frames = np.full(len(self.input_from_ego), frame)
        return self._projections(self.input_from_ego, frames, reference)

    def supervision_image_from_ego(
        self, frames: NDArray[np.intp], reference: int
    ) -> NDArray[np.float32]:
        """Return the same for the supervising images, each camera ``[N]`` at a frame of its own.

        Returns:
            Projections ``[N, 3, 4]`` to pixels of the supervising images.
        """
        return self._projections(self.supervision_from_ego, frames, reference)

    def _projections(
        self, image_from_ego: NDArray[np.float64], frames: NDArray[np.intp], reference: int
    ) -> NDArray[np.float32]:
        world_from_ego = self.world_from_ego_at_shutter[frames, np.arange(len(frames))]
        projections = image_from_ego @ invert(world_from_ego) @ self.world_from_ego[reference]
        return np.asarray(projections, np.float32)

    def reference_from_ego(self, reference: int) -> NDArray[np.float64]:
        """Return ``ego_at_reference_from_ego`` ``[T, 4, 4]`` for every frame."""
        return np.asarray(invert(self.world_from_ego[reference]) @ self.world_from_ego)

    def driven_m(self) -> NDArray[np.float64]:
        """Return the length of the path up to each frame ``[T]``."""
        steps = np.linalg.norm(np.diff(self.world_from_ego[:, :3, 3], axis=0), axis=1)
        return np.concatenate([[0.0], np.cumsum(steps)])
