"""What a model file must take and give, by its card."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from selfocc_core.backends import ModelInputs, ModelOutputs
from selfocc_core.errors import SelfOccError
from selfocc_core.model_card import ModelCard


def expected_shapes(card: ModelCard) -> dict[str, list[int]]:
    """Return the shape of every input and output."""
    n, h, w = card.input.cameras, card.input.height, card.input.width
    shapes = {
        'images': [n, h, w, 3],
        'camera_mask': [n],
        'sdf': list(card.grid.shape),
        'depth': [n, card.depth.height, card.depth.width],
    }
    if card.rig_hash is None:  # a model for one rig knows its calibration
        shapes['image_from_ego'] = [n, 3, 4]
    return shapes | ({'semantics': list(card.grid.shape)} if card.classes else {})


def feeds_of(inputs: ModelInputs, card: ModelCard) -> dict[str, NDArray[Any]]:
    """Return the inputs that a model takes, by name."""
    taken = expected_shapes(card)
    return {name: array for name, array in vars(inputs).items() if name in taken}


def check_interface(
    actual: Mapping[str, Sequence[int | str]], card: ModelCard, model_path: Path
) -> None:
    """Check the inputs and outputs that a runtime found in a model.

    Raises:
        SelfOccError: One is missing, or has another shape than the card says.
    """
    for name, shape in expected_shapes(card).items():
        found = list(actual[name]) if name in actual else None
        if found != shape:
            raise SelfOccError(
                f'model {model_path} has "{name}" of shape {found}, but its card says '
                f'{shape}: export the model again'
            )


def blank_inputs(card: ModelCard) -> ModelInputs:
    """Return inputs of the right shape: grey images of cameras that all look along z."""
    n, h, w = card.input.cameras, card.input.height, card.input.width
    return ModelInputs(
        np.full((n, h, w, 3), 128, np.uint8),
        np.tile(np.eye(3, 4, dtype=np.float32), (n, 1, 1)),
        np.ones(n, np.bool_),
    )


def check_outputs(outputs: ModelOutputs, card: ModelCard) -> None:
    """Check what a runtime made of some inputs.

    Raises:
        SelfOccError: An output has another shape than the card says, or holds no number at all.
    """
    found = {'sdf': outputs.sdf, 'depth': outputs.depth, 'semantics': outputs.semantics}
    for name, shape in expected_shapes(card).items():
        if name not in found:
            continue
        output = found[name]
        if output is None or list(output.shape) != shape or not np.isfinite(output).any():
            what = 'nothing' if output is None else f'{list(output.shape)}'
            raise SelfOccError(
                f'it gave no usable "{name}" ({what} instead of {shape}): export the model again'
            )
