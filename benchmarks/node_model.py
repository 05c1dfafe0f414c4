"""A model that knows its answer: the sizes of the shipped model in less than a millisecond.

What a node costs beside its model shows only if the model costs nothing, and only if the answer is
as large as a real one.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from selfocc_core.files import sha256_of
from selfocc_core.model_card import ModelCard, TrainingRecord
from selfocc_core.shipped_model import shipped_model
from selfocc_core.voxels import VoxelGrid

_OPSET, _IR_VERSION = 17, 8
_DEPTH_M = 10.0
# A street: the ground within some distance, two house fronts and parked cars.
# Centre and half extent (x, y, z) of each box in metres.
_GROUND_RADIUS_M, _GROUND_HEIGHT_M = 21.0, -0.2
_BOXES_M = (
    ((0.0, 10.0, 2.0), (15.0, 0.3, 2.2)),
    ((0.0, -10.0, 2.0), (15.0, 0.3, 2.2)),
    ((8.0, 3.0, 0.8), (2.2, 0.9, 0.8)),
    ((-9.0, 3.0, 0.8), (2.2, 0.9, 0.8)),
    ((12.0, -3.0, 0.8), (2.2, 0.9, 0.8)),
)


def street_sdf(grid: VoxelGrid) -> NDArray[np.float32]:
    """Return the signed distances ``[X, Y, Z]`` in metres of a street around the vehicle.

    They are exact at no corner and right in sign everywhere: what counts is how much is occupied.
    """
    centers = grid.centers()
    from_ground = np.abs(centers[..., 2] - _GROUND_HEIGHT_M) - grid.voxel_size_m[2] / 2
    beyond_m = np.hypot(centers[..., 0], centers[..., 1]) - _GROUND_RADIUS_M
    sdf = np.maximum(from_ground, beyond_m)
    for center, half_extent in _BOXES_M:
        sdf = np.minimum(sdf, (np.abs(centers - center) - half_extent).max(-1))
    return np.asarray(sdf, np.float32)


def write_node_model(path: Path) -> ModelCard:
    """Write the model and its card, and return the card.

    The outputs depend (by nothing) on every input, so that no input is optimised away.
    """
    shipped = ModelCard.load_for(shipped_model())
    onnx.save(_model(shipped), str(path))
    card = ModelCard(
        name='street',
        version='0.1.0',
        onnx_sha256=sha256_of(path),
        opset=_OPSET,
        input=shipped.input,
        grid=shipped.grid,
        depth=shipped.depth,
        training=TrainingRecord(command='none', data='none', steps=0, seed=0),
    )
    card.write_for(path)
    return card


def _model(card: ModelCard) -> Any:
    outputs = {
        'sdf': street_sdf(card.grid.to_grid()),
        'depth': np.full(
            (card.input.cameras, card.depth.height, card.depth.width), _DEPTH_M, np.float32
        ),
    }
    constants = {f'constant_{name}': array for name, array in outputs.items()}
    constants['zero'] = np.asarray(0.0, np.float32)
    inputs = _inputs(card)
    graph = helper.make_graph(
        list(_nodes([value.name for value in inputs], list(outputs))),
        'street',
        inputs,
        [
            helper.make_tensor_value_info(name, TensorProto.FLOAT, array.shape)
            for name, array in outputs.items()
        ],
        [numpy_helper.from_array(array, name) for name, array in constants.items()],
    )
    opset = [helper.make_opsetid('', _OPSET)]
    return helper.make_model(graph, opset_imports=opset, ir_version=_IR_VERSION)


def _inputs(card: ModelCard) -> list[Any]:
    n, h, w = card.input.cameras, card.input.height, card.input.width
    return [
        helper.make_tensor_value_info('images', TensorProto.UINT8, [n, h, w, 3]),
        helper.make_tensor_value_info('image_from_ego', TensorProto.FLOAT, [n, 3, 4]),
        helper.make_tensor_value_info('camera_mask', TensorProto.BOOL, [n]),
    ]


def _nodes(inputs: list[str], outputs: list[str]) -> Iterator[Any]:
    for name in inputs:
        yield helper.make_node('Cast', [name], [f'{name}_float'], to=TensorProto.FLOAT)
        yield helper.make_node('ReduceMean', [f'{name}_float'], [f'{name}_mean'], keepdims=0)
        yield helper.make_node('Mul', [f'{name}_mean', 'zero'], [f'{name}_nothing'])
    nothing = [f'{name}_nothing' for name in inputs]
    for name in outputs:
        yield helper.make_node('Sum', [f'constant_{name}', *nothing], [name])
