"""A tiny model with the interface of a real one: flat ground and constant depth."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from selfocc_core.files import sha256_of
from selfocc_core.model_card import DepthSpec, GridSpec, InputSpec, ModelCard, TrainingRecord
from selfocc_core.voxels import VoxelGrid

GROUND_HEIGHT_M = 0.1
DEPTH_M = 10.0
OPSET = 17


def write_mock_model(
    path: Path,
    cameras: int = 6,
    height: int = 96,
    width: int = 176,
    grid_shape: tuple[int, int, int] = (128, 128, 16),
    threshold: float = 0.0,
) -> Path:
    """Write an ONNX file and its card: below 0.1 m all is occupied, everything is 10 m away.

    The outputs depend (by nothing) on every input, so that no input is optimised away.
    """
    grid = GridSpec(minimum_m=(-25.6, -25.6, -2.0), maximum_m=(25.6, 25.6, 4.4), shape=grid_shape)
    depth = DepthSpec(height=height // 4, width=width // 4, near_m=0.5, far_m=60.0)
    path.parent.mkdir(parents=True, exist_ok=True)
    onnx.save(_model(grid.to_grid(), depth, cameras, height, width), str(path))
    card = ModelCard(
        name='mock',
        version='0.1.0',
        onnx_sha256=sha256_of(path),
        opset=OPSET,
        threshold=threshold,
        input=InputSpec(cameras=cameras, height=height, width=width),
        grid=grid,
        depth=depth,
        training=TrainingRecord(command='none', data='none', steps=0, seed=0),
    )
    card.write_for(path)
    return path


def _model(
    grid: VoxelGrid, depth: DepthSpec, cameras: int, height: int, width: int
) -> onnx.ModelProto:
    sdf = (grid.centers()[..., 2] - GROUND_HEIGHT_M).astype(np.float32)
    depth_m = np.full((cameras, depth.height, depth.width), DEPTH_M, np.float32)
    constants = [
        numpy_helper.from_array(sdf, 'flat_ground'),
        numpy_helper.from_array(depth_m, 'ten_metres'),
        numpy_helper.from_array(np.float32(0.0), 'zero'),
    ]
    nodes, ignored = [], []
    for name in ('images', 'image_from_ego', 'camera_mask'):
        nodes += [
            helper.make_node('Cast', [name], [f'{name}_float'], to=TensorProto.FLOAT),
            helper.make_node('ReduceMean', [f'{name}_float'], [f'{name}_mean'], keepdims=0),
            helper.make_node('Mul', [f'{name}_mean', 'zero'], [f'{name}_nothing']),
        ]
        ignored.append(f'{name}_nothing')
    nodes += [
        helper.make_node('Sum', ['flat_ground', *ignored], ['sdf']),
        helper.make_node('Sum', ['ten_metres', *ignored], ['depth']),
    ]
    graph = helper.make_graph(
        nodes,
        'mock',
        [
            helper.make_tensor_value_info(
                'images', TensorProto.UINT8, [cameras, height, width, 3]
            ),
            helper.make_tensor_value_info('image_from_ego', TensorProto.FLOAT, [cameras, 3, 4]),
            helper.make_tensor_value_info('camera_mask', TensorProto.BOOL, [cameras]),
        ],
        [
            helper.make_tensor_value_info('sdf', TensorProto.FLOAT, list(grid.shape)),
            helper.make_tensor_value_info('depth', TensorProto.FLOAT, list(depth_m.shape)),
        ],
        constants,
    )
    opset = [helper.make_opsetid('', OPSET)]
    return helper.make_model(graph, opset_imports=opset, ir_version=8)
