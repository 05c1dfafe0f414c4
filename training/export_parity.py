"""Whether an exported model gives what torch gives, which takes another way to it."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from selfocc_core.backends import Backend, ModelInputs
from selfocc_core.cameras import Rig, nuscenes_like_rig
from selfocc_core.errors import SelfOccError
from selfocc_core.preprocess import Preprocessor
from training.deployed import DeployedModel

_TOLERANCE = 1e-3


def example_inputs(
    cameras: int, height: int, width: int, seed: int = 0, rig: Rig | None = None
) -> ModelInputs:
    """Return inputs of random pixels, one camera missing.

    Args:
        cameras: Number of images.
        height: Of each.
        width: Of each.
        seed: Of the pixels.
        rig: Cameras; default is a rig like that of nuScenes.
    """
    projections = projections_of(rig or nuscenes_like_rig(), cameras, height, width)
    mask = np.ones(cameras, bool)
    mask[-1] = cameras == 1
    return ModelInputs(
        images=np.random.default_rng(seed).integers(0, 256, (cameras, height, width, 3), np.uint8),
        image_from_ego=projections,
        camera_mask=mask,
    )


def projections_of(rig: Rig, cameras: int, height: int, width: int) -> NDArray[np.float32]:
    """Return projections ``[N, 3, 4]`` to the network input.

    The first cameras come again if a rig has less than the network takes.
    """
    projections = [Preprocessor(camera, height, width).input_from_ego for camera in rig]
    return np.array([projections[i % len(rig)] for i in range(cameras)], np.float32)


def torch_outputs(model: DeployedModel, inputs: ModelInputs) -> dict[str, NDArray[Any]]:
    """Return what torch gives, with its own attention and lift."""
    with torch.no_grad():
        outputs = model(*(torch.from_numpy(array) for array in vars(inputs).values()))
    return {
        name: output.numpy() for name, output in zip(output_names(model), outputs, strict=True)
    }


def output_names(model: DeployedModel) -> list[str]:
    """Return the names of the outputs in their order."""
    has_classes = bool(model.preset.model.decoder.classes)
    return ['sdf', 'depth', 'semantics'] if has_classes else ['sdf', 'depth']


def check_parity(expected: dict[str, NDArray[Any]], backend: Backend, inputs: ModelInputs) -> None:
    """Compare a runtime with torch, and print by how much they differ.

    Raises:
        SelfOccError: They differ by more than 1e-3 of the range, or in 1e-3 of the labels.
    """
    actual = backend.infer(inputs)
    for name, torch_value in expected.items():
        difference = _difference(torch_value, getattr(actual, name))
        print(f'{name}: {backend.name} differs from torch by {difference:.1e}')
        if not difference <= _TOLERANCE:  # also when it is not a number
            raise SelfOccError(f'the exported {name} differs from torch: the export is not usable')


def _difference(expected: NDArray[Any], actual: NDArray[Any]) -> float:
    """Return the largest difference over the range, of labels the share that differs."""
    if expected.dtype == np.uint8:
        return float((expected != actual).mean())
    return float(np.abs(expected - actual).max() / np.ptp(expected))
