"""Which nodes of a graph make features of the images: backbone, FPN and the values of attention.

They are most of the arithmetic, bear less precision, and know nothing of geometry. They are found
by following the images: as long as nodes do what such networks do, and take nothing but images and
constants. The first node that does not (attention, sampling, a norm over tokens) ends the path.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

# What features are made with, and which inputs of each are features; None is all of them.
FEATURE_INPUTS: dict[str, tuple[int, ...] | None] = {
    'Conv': None,
    'MatMul': None,
    'Gemm': None,
    'Add': None,
    'Mul': None,
    'Concat': None,
    'Relu': (0,),
    'LeakyRelu': (0,),
    'Sigmoid': (0,),
    'MaxPool': (0,),
    'AveragePool': (0,),
    'GlobalAveragePool': (0,),
    'Resize': (0,),
    'Reshape': (0,),
    'Flatten': (0,),
    'Transpose': (0,),
    'Slice': (0,),
    'Gather': (0,),
    'Squeeze': (0,),
    'Unsqueeze': (0,),
    'Split': (0,),
    'Identity': (0,),
    'QuantizeLinear': (0,),
    'DequantizeLinear': (0,),
}
_NORMALIZATION = {'Cast', 'Sub', 'Div'}


def feature_inputs(node: Any) -> list[int]:
    """Return which inputs of a node on the path are features or weights, by position."""
    chosen = FEATURE_INPUTS[node.op_type]
    places = range(len(node.input)) if chosen is None else chosen
    return [place for place in places if place < len(node.input) and node.input[place]]


def image_path(model: Any) -> list[Any]:
    """Return the nodes on the path of the images, from the first convolution on, in order."""
    # Features of absent cameras are multiplied by 0: what follows is still made of the images.
    constants = constant_names(model, also={'camera_mask'})
    from_images, features, path = {'images'}, set[str](), []
    for node in model.graph.node:
        if not _continues(node, from_images, constants):
            continue
        from_images.update(node.output)
        if node.op_type == 'Conv' or (
            node.op_type in FEATURE_INPUTS and features.intersection(node.input)
        ):
            features.update(node.output)
            path.append(node)
    return path


def constant_names(model: Any, also: Collection[str] = ()) -> set[str]:
    """Return the names of all constants: initializers, and what is computed of them alone.

    Args:
        model: The ``ModelProto``.
        also: Names to take for constants, too.
    """
    names = {tensor.name for tensor in model.graph.initializer}.union(also)
    for node in model.graph.node:
        if all(name in names for name in node.input if name):
            names.update(node.output)
    return names


def _continues(node: Any, from_images: set[str], constants: set[str]) -> bool:
    """Whether a node takes images and constants, does what is done to features, and no more."""
    if node.domain or node.op_type not in FEATURE_INPUTS.keys() | _NORMALIZATION:
        return False
    inputs = {name for name in node.input if name}
    return bool(inputs & from_images) and inputs <= from_images | constants
