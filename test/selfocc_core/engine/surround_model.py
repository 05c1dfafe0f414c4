"""A small model with both operators of ours, plain bodies for them, and its golden outputs.

Two cameras of 8x12 pixels, one level of features, two heads of four channels, six queries,
two layers: enough for every rewrite of the graph to have something to do.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnx.parser
from onnx import numpy_helper

from selfocc_core.backends import ModelInputs
from selfocc_core.engine.golden import write_golden
from selfocc_core.files import sha256_of
from selfocc_core.model_card import DepthSpec, GridSpec, InputSpec, ModelCard, TrainingRecord

HEAD = '<opset_import: ["": 18, "selfocc": 1], domain: "selfocc">'

SEPARATE = f"""
{HEAD}
MSDeformAttn <spatial_shapes> (value, locations, weights) => (attended) {{
    size = Constant <value_ints: ints = @spatial_shapes> ()
    rest = Constant <value_ints = [-1]> ()
    one = Constant <value_ints = [1]> ()
    two = Constant <value_ints = [2]> ()
    level = Constant <value_ints = [3]> ()
    value_shape = Shape (value)
    images = Shape <start = 0, end = 1> (value)
    channels = Shape <start = 3, end = 4> (value)
    planes = Transpose <perm = [0, 2, 3, 1]> (value)
    map_shape = Concat <axis = 0> (rest, channels, size)
    map_any = Reshape (planes, map_shape)
    map = Cast <to = 1> (map_any)
    places = Squeeze (locations, level)
    head_places = Transpose <perm = [0, 2, 1, 3, 4]> (places)
    rows = Shape <start = 2, end = 4> (head_places)
    place_shape = Concat <axis = 0> (rest, rows, two)
    grid_01 = Reshape (head_places, place_shape)
    scale = Constant <value_float = 2.0> ()
    unit = Constant <value_float = 1.0> ()
    grid_02 = Mul (grid_01, scale)
    grid = Sub (grid_02, unit)
    sampled = GridSample <mode = "bilinear", padding_mode = "zeros"> (map, grid)
    flat_weights = Squeeze (weights, level)
    head_weights = Transpose <perm = [0, 2, 1, 3]> (flat_weights)
    weight_shape = Concat <axis = 0> (rest, one, rows)
    shaped_weights = Reshape (head_weights, weight_shape)
    float_weights = Cast <to = 1> (shaped_weights)
    weighed = Mul (sampled, float_weights)
    summed = ReduceSum <keepdims = 0> (weighed, rest)
    queries = Shape <start = 2, end = 3> (head_places)
    out_shape = Concat <axis = 0> (images, rest, queries)
    joined = Reshape (summed, out_shape)
    attended_float = Transpose <perm = [0, 2, 1]> (joined)
    attended = CastLike (attended_float, value)
}}
"""

FUSED = f"""
{HEAD}
SurroundDeformAttn <spatial_shapes> (value, references, visible, offsets, logits) => (attended) {{
    zero = Constant <value_ints = [0]> ()
    two = Constant <value_ints = [2]> ()
    unit = Constant <value_float = 1.0> ()
    height_width = Constant <value_ints: ints = @spatial_shapes> ()
    backwards = Constant <value_ints = [1, 0]> ()
    width_height = Gather <axis = 0> (height_width, backwards)
    size = Cast <to = 1> (width_height)
    relative = Div (offsets, size)
    of_all = Unsqueeze (relative, zero)
    of_heads = Unsqueeze (references, two)
    locations = Add (of_heads, of_all)
    softmax = Softmax <axis = -1> (logits)
    weights_shape = Shape <start = 1, end = 5> (locations)
    per_query = Reshape (softmax, weights_shape)
    full_shape = Shape <start = 0, end = 5> (locations)
    weights = Expand (per_query, full_shape)
    each = selfocc.MSDeformAttn <spatial_shapes: ints = @spatial_shapes>
        (value, locations, weights)
    shown = Cast <to = 1> (visible)
    last = Constant <value_ints = [-1]> ()
    mask = Unsqueeze (shown, last)
    each_float = Cast <to = 1> (each)
    seen = Mul (each_float, mask)
    total = ReduceSum <keepdims = 0> (seen, zero)
    count = ReduceSum <keepdims = 0> (mask, zero)
    divisor = Max (count, unit)
    mean = Div (total, divisor)
    attended = CastLike (mean, value)
}}
"""

GRAPH = """
<ir_version: 9, opset_import: ["": 18, "selfocc": 1]>
surround (uint8[2, 8, 12, 3] images, float[2, 3, 4] image_from_ego, bool[2] camera_mask)
    => (float[3, 2, 1] sdf, float[2, 4, 6] depth)
{
    pixels = Cast <to = 1> (images)
    centered = Sub (pixels, mean_color)
    normal = Div (centered, mean_color)
    planes = Transpose <perm = [0, 3, 1, 2]> (normal)
    first = Conv <kernel_shape = [3, 3], pads = [1, 1, 1, 1]> (planes, kernel_1, bias_1)
    first_relu = Relu (first)
    second = Conv <kernel_shape = [3, 3], pads = [1, 1, 1, 1], strides = [2, 2]>
        (first_relu, kernel_2, bias_2)
    features = Relu (second)
    flat = Reshape (features, tokens_shape)
    tokens = Transpose <perm = [0, 2, 1]> (flat)
    projected = MatMul (tokens, value_weight)
    value = Reshape (projected, value_shape)
    projections = Slice (image_from_ego, from_0, to_2, last_axis)
    shift = ReduceMean <keepdims = 0> (projections, both_axes)
    shift_column = Reshape (shift, shift_shape)
    references = Add (anchors, shift_column)
    mask = Unsqueeze (camera_mask, last_axis)
    visible = And (mask, all_visible)
    attended = selfocc.SurroundDeformAttn <spatial_shapes = [4, 6]>
        (value, references, visible, offsets, logits)
    flat_logits = MatMul (attended, logits_weight)
    next_logits = Reshape (flat_logits, logits_shape)
    next_attended = selfocc.SurroundDeformAttn <spatial_shapes = [4, 6]>
        (value, references, visible, offsets, next_logits)
    decoded = Gemm (next_attended, decoder_weight)
    sdf = Reshape (decoded, sdf_shape)
    depth_map = ReduceMean <keepdims = 0> (features, one_axis)
    depth_exp = Exp (depth_map)
    depth = Identity (depth_exp)
}
"""


def surround_model() -> onnx.ModelProto:
    """Return the model with the bodies of both operators."""
    model = onnx.parser.parse_model(GRAPH)
    model.functions.extend(onnx.parser.parse_function(text) for text in (FUSED, SEPARATE))
    for name, values in _weights().items():
        model.graph.initializer.append(numpy_helper.from_array(values, name))
    onnx.checker.check_model(model, full_check=True)
    return model


# Which camera sees which query of the model for one rig: three queries are seen by nobody.
SEEN = np.array([[1, 0, 1, 0, 0, 0], [1, 0, 0, 1, 0, 0]], bool)


def for_one_rig(visible: np.ndarray = SEEN) -> onnx.ModelProto:
    """Return the model with constant calibration, and with it which camera sees which query."""
    model = surround_model()
    constants = {'image_from_ego': surround_inputs().image_from_ego, 'visible': visible}
    for values, names in (
        (model.graph.input, lambda value: [value.name]),
        (model.graph.node, lambda node: node.output),
    ):
        kept = [value for value in values if not constants.keys() & set(names(value))]
        del values[:]
        values.extend(kept)
    model.graph.initializer.extend(map(numpy_helper.from_array, constants.values(), constants))
    onnx.checker.check_model(model, full_check=True)
    return model


def surround_inputs(seed: int = 0) -> ModelInputs:
    """Return random images, small projections, both cameras present."""
    random = np.random.default_rng(seed)
    return ModelInputs(
        images=random.integers(0, 256, (2, 8, 12, 3), np.uint8),
        image_from_ego=random.normal(0, 0.05, (2, 3, 4)).astype(np.float32),
        camera_mask=np.array([True, True]),
    )


def write_surround_model(path: Path, model: onnx.ModelProto | None = None) -> Path:
    """Write the model, or another of its kind, with its card and golden file."""
    onnx.save(model or surround_model(), str(path))
    grid = GridSpec(minimum_m=(0.0, 0.0, 0.0), maximum_m=(3.0, 2.0, 1.0), shape=(3, 2, 1))
    ModelCard(
        name='surround',
        version='0.1.0',
        onnx_sha256=sha256_of(path),
        opset=18,
        input=InputSpec(cameras=2, height=8, width=12),
        grid=grid,
        depth=DepthSpec(height=4, width=6, near_m=0.5, far_m=60.0),
        training=TrainingRecord(command='none', data='none', steps=0, seed=0),
    ).write_for(path)
    write_golden(path, surround_inputs())
    return path


def _weights() -> dict[str, np.ndarray]:
    random = np.random.default_rng(7)

    def normal(*shape: int) -> np.ndarray:
        return (0.3 * random.normal(size=shape)).astype(np.float32)

    return {
        'mean_color': np.full(3, 120, np.float32),
        'kernel_1': normal(6, 3, 3, 3),
        'bias_1': normal(6),
        'kernel_2': normal(8, 6, 3, 3),
        'bias_2': normal(8),
        'tokens_shape': np.array([2, 8, 24], np.int64),
        'value_weight': normal(8, 8),
        'value_shape': np.array([2, 24, 2, 4], np.int64),
        'from_0': np.array([0], np.int64),
        'to_2': np.array([2], np.int64),
        'last_axis': np.array([1], np.int64),
        'both_axes': np.array([1, 2], np.int64),
        'one_axis': np.array([1], np.int64),
        'shift_shape': np.array([2, 1, 1, 1, 1], np.int64),
        'anchors': random.uniform(0, 1, (2, 6, 1, 3, 2)).astype(np.float32),
        'all_visible': np.ones((2, 6), bool),
        'offsets': normal(6, 2, 1, 3, 2),
        'logits': normal(6, 2, 3),
        'logits_weight': normal(8, 6),
        'logits_shape': np.array([6, 2, 3], np.int64),
        'decoder_weight': normal(8, 1),
        'sdf_shape': np.array([3, 2, 1], np.int64),
    }
