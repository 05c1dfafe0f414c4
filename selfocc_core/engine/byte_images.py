"""Images of bytes as TensorRT takes them: it casts a uint8 input and does nothing else with it."""

from __future__ import annotations

from typing import Any

from selfocc_core.engine.onnx_library import onnx_library

IMAGES = 'images'
# What may come before the cast to float as well as after it.
_MOVES = {'Transpose', 'Reshape', 'Slice', 'Squeeze', 'Unsqueeze', 'Identity', 'Flatten'}


def cast_images_first(model: Any) -> None:
    """Let every node that moves bytes of the images move floats instead, in place.

    The cast that came after it then changes nothing, and results are the same to the bit.
    """
    float_name, nodes = f'{IMAGES}/float', list(model.graph.node)
    moved = {IMAGES}
    for node in nodes:
        if node.op_type in _MOVES and not node.domain and node.input[0] in moved:
            moved.update(node.output)
            if node.input[0] == IMAGES:
                node.input[0] = float_name
    if len(moved) > 1:
        helper, float32 = onnx_library().helper, onnx_library().TensorProto.FLOAT
        cast = helper.make_node('Cast', [IMAGES], [float_name], float_name, to=float32)
        model.graph.node.insert(0, cast)
        kept = [value for value in model.graph.value_info if value.name not in moved]
        del model.graph.value_info[:]
        model.graph.value_info.extend(kept)
