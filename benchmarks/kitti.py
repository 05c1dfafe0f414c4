"""How a model trained on a KITTI raw drive judges depth on frames of it that it never saw.

    python -m benchmarks.kitti runs/kitti/model.ckpt DRIVE --frames 120:144 --picture kitti.png

The truth is the LiDAR of each frame, beside it stands flat ground: the plane z = 0 and else
nothing, seen through the same camera. Nothing is scaled by the truth.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from selfocc_core.backends import ModelInputs
from selfocc_core.cameras import Camera
from selfocc_core.datasets.kitti import read_dates_ns
from selfocc_core.depth import DepthImage, depth_image
from selfocc_core.errors import SelfOccError
from selfocc_core.evaluation.depth import DepthScores, visible_points
from selfocc_core.files import write_atomically
from selfocc_core.preprocess import Preprocessor
from selfocc_core.progress import track
from selfocc_core.transforms import invert, transform_points
from selfocc_core.visualization.depth import depth_colors, draw_depths
from selfocc_core.visualization.png import encode_png
from training.benchmark.torch_backend import TorchBackend
from training.checkpoint import Checkpoint
from training.config import InputConfig
from training.data import kitti_raw
from training.data.clip import Clip
from training.data.kitti import LIDAR_FROM_EGO

POINT_BYTES = 16
LARGEST_SCAN_BYTES = POINT_BYTES * 1_000_000
PICTURES = 4
Floats = NDArray[np.float64]


def main() -> None:
    """Score, print, draw."""
    options = _options()
    backend = TorchBackend(options.checkpoint, threads=None)
    config = Checkpoint.load(options.checkpoint).preset.model.input
    (clip,) = kitti_raw.read_clips(options.drive, config, options.frames, options.poses)
    calibration, size = kitti_raw.read_calibration(options.drive)
    camera = calibration.camera(*size)
    stamps_ns = read_dates_ns(options.drive / 'image_02' / 'timestamps.txt')
    numbers = np.flatnonzero(np.isin(stamps_ns, clip.stamps_ns)).tolist()
    scores, rows = DepthScores(backend.card.grid.to_grid()), []
    for index, number in enumerate(track(numbers, 'Measuring', total=len(numbers))):
        depth = predict(backend, clip, index, camera, config)
        points = transform_points(invert(camera.ego_from_camera), read_scan(options.drive, number))
        points = points[points[:, 2] > 0.5]
        scores.add(
            camera.name, depth.depth_m, depth.image_from_camera, points, camera.ego_from_camera
        )
        if index % max(1, len(numbers) // PICTURES) == 0:
            rows.append(picture(clip.supervision_images[index, 0], depth, points))
    result = {who: scores.summary(who) for who in ('model', 'flat_ground')}
    print(json.dumps(result, indent=2))
    if options.json:
        options.json.write_text(json.dumps(result, indent=2) + '\n')
    if options.picture:
        write_atomically(options.picture, encode_png(np.concatenate(rows)))


def predict(
    backend: TorchBackend, clip: Clip, frame: int, camera: Camera, config: InputConfig
) -> DepthImage:
    """Return the depth image of a frame."""
    inputs = ModelInputs(
        clip.images[frame], clip.image_from_ego(frame, frame), np.ones(1, dtype=np.bool_)
    )
    spec = backend.card.depth
    preprocessor = Preprocessor(camera, config.height, config.width)
    return depth_image(backend.infer(inputs).depth[0], spec, preprocessor)


def read_scan(drive: Path, number: int) -> Floats:
    """Return the points ``[P, 3]`` of a frame's scan in the ego frame.

    The scan is KITTI's ``.bin``, or, where there is none, this project's compact ``.npz``:
    differences of successive points ``dxyz [3, P]`` in units of ``step`` metres.

    Raises:
        SelfOccError: There is no scan, or it is damaged.
    """
    folder, name = drive / 'velodyne_points', f'{number:010d}'
    path = folder / 'data' / f'{name}.bin'
    compact = folder / 'data_npz' / f'{name}.npz'
    try:
        if path.is_file():
            size = path.stat().st_size
            if size % POINT_BYTES or size > LARGEST_SCAN_BYTES:
                raise ValueError(f'{size} bytes are no scan')
            lidar = np.fromfile(path, np.float32).reshape(-1, 4)[:, :3].astype(np.float64)
        else:
            with np.load(compact, allow_pickle=False) as arrays:
                steps = np.cumsum(arrays['dxyz'].astype(np.int32), axis=1).T
                lidar = steps * float(arrays['step'])
    except (OSError, ValueError, KeyError) as error:
        raise SelfOccError(f'scan {path} is missing or damaged: unpack the drive again') from error
    return transform_points(invert(LIDAR_FROM_EGO), lidar)


def picture(image: NDArray[np.uint8], depth: DepthImage, points: Floats) -> NDArray[np.uint8]:
    """Return an image, its LiDAR points and its predicted depth, one below the other."""
    height, width = image.shape[:2]
    rows, columns = depth.depth_m.shape
    image_from_depth = np.diag([width / columns, height / rows, 1.0])
    image_from_depth[:2, 2] = 0.5 * np.diag(image_from_depth)[:2] - 0.5  # centres at integers
    seen, pixels = visible_points(
        points, image_from_depth @ depth.image_from_camera, (height, width)
    )
    predicted = cv2.resize(depth_colors(depth.depth_m), (width, height))
    drawn = draw_depths(image, pixels, seen[:, 2], spacing_px=1.0)
    return np.concatenate([image, drawn, predicted])


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('checkpoint', type=Path, help='checkpoint of "selfocc train"')
    parser.add_argument('drive', type=Path, help='folder of the drive')
    parser.add_argument('--frames', default=':', help='first:end, the end not included')
    parser.add_argument('--poses', help='file of poses in the drive; default: oxts')
    parser.add_argument('--json', type=Path, help='file for the scores')
    parser.add_argument('--picture', type=Path, help='PNG with a few frames')
    return parser.parse_args()


if __name__ == '__main__':
    try:
        main()
    except SelfOccError as error:
        raise SystemExit(f'benchmarks.kitti: {error}') from error
