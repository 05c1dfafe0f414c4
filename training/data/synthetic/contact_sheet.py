"""One picture of a drive: what the cameras see, how far it is and what it is."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from selfocc_core.files import write_atomically
from selfocc_core.semantics import CLASS_COLORS
from training.data.synthetic.drive import DriveRenderer
from training.data.synthetic.timing import seconds_of

_ROWS = (('front_left', 'front', 'front_right'), ('back_left', 'back', 'back_right'))
_NEAREST_M, _FARTHEST_M = 1.0, 80.0


def write_contact_sheet(drive: DriveRenderer, out: Path, moments: int = 3) -> None:
    """Write a PNG: images of all cameras at some moments, then depth and classes at the last.

    Args:
        drive: renderer of the drive.
        out: file to write.
        moments: number of frame sets shown, spread over the drive.

    Raises:
        SelfOccError: the file cannot be written.
    """
    scene = drive.scene()
    shown = np.linspace(0, drive.timing.count - 1, moments).round().astype(int)
    blocks = [_block(drive.frame_set(int(index), scene).images) for index in shown]
    depth, label = {}, {}
    for renderer in drive.cameras:
        name = renderer.camera.name
        time_s = seconds_of(drive.timing.camera_stamp_ns(int(shown[-1]), name))
        scene.move_to(time_s)
        truth = renderer.truth(scene, drive.world.ego.world_from_ego(time_s))
        depth[name], label[name] = depth_picture(truth.depth), CLASS_COLORS[truth.label]
    sheet = np.vstack([*blocks, _block(depth), _block(label)])
    _, png = cv2.imencode('.png', cv2.cvtColor(sheet, cv2.COLOR_RGB2BGR))
    write_atomically(out, png.tobytes())


def depth_picture(depth: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Return depth [H,W] in metres as grey [H,W,3]: near is bright (logarithmic), sky black."""
    bounded = np.clip(depth, _NEAREST_M, _FARTHEST_M)
    share = np.log(_FARTHEST_M / bounded) / np.log(_FARTHEST_M / _NEAREST_M)
    return np.repeat((255 * share).astype(np.uint8)[..., None], 3, axis=2)


def _block(pictures: dict[str, NDArray[np.uint8]]) -> NDArray[np.uint8]:
    return np.vstack([np.hstack([pictures[name] for name in row]) for row in _ROWS])
