"""Images on their way from the cameras to the network."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class CameraFrame:
    """One image of one camera.

    Attributes:
        camera: Name of the camera in the rig.
        stamp_ns: Shutter time, never the time of arrival.
        image: RGB image ``[H, W, 3]`` as the camera delivered it.
    """

    camera: str
    stamp_ns: int
    image: Image


@dataclass(frozen=True, eq=False)
class FrameSet:
    """Images of the surround cameras that belong together.

    Attributes:
        stamp_ns: Reference stamp: the shutter time of the anchor camera.
        frames: The frames by camera name; a missing camera has no entry.
    """

    stamp_ns: int
    frames: Mapping[str, CameraFrame]
