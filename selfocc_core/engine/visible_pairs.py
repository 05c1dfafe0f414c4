"""Which camera sees which query, as constants of a graph for one rig.

Without them, a graph of static shapes attends for every pair of camera and query and weighs most
of what it reads with 0. Absent cameras are no matter of this: their values are 0.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from selfocc_core.engine.constant_values import constant_values
from selfocc_core.engine.image_path import constant_names
from selfocc_core.engine.onnx_library import onnx_library
from selfocc_core.onnx_operators import DOMAIN, PAIRS, SURROUND


def name_visible_pairs(model: Any) -> None:
    """Put ``PairsDeformAttn`` in the place of attention whose pairs are constant, in place.

    Attention for which all pairs, or none, see each other stays as it is.

    Args:
        model: The ``ModelProto``.
    """
    constants = constant_names(model)
    nodes = [node for node in model.graph.node if _is_for_one_rig(node, constants)]
    values = constant_values(model, {name for node in nodes for name in _places(node)})
    made: dict[tuple[str, str], list[str]] = {}
    for node in nodes:
        places = _places(node)
        references, visible = (values[name] for name in places)
        if visible.all() or not visible.any():
            continue
        if places not in made:  # planes are the same in all layers
            made[places] = _add_constants(model.graph, places[1], pairs_of(references, visible))
        reference, *pairs = made[places]
        value, _, _, offsets, logits = node.input
        del node.input[:]
        node.input.extend([value, reference, offsets, logits, *pairs])
        node.op_type = PAIRS


def pairs_of(references: NDArray[Any], visible: NDArray[np.bool_]) -> list[NDArray[Any]]:
    """Return the constant inputs of ``PairsDeformAttn`` in their order.

    Args:
        references: ``[N, Q, R, P, 2]``.
        visible: ``[N, Q]``, with at least one pair.

    Returns:
        Of A pairs: references ``[A, R, P, 2]``, images ``[A]`` and queries ``[A]``; of queries
        which K see them at most: rows of their pairs ``[K, Q]`` and their shares ``[K, Q, 1]``.
    """
    images, queries = np.nonzero(visible)
    counts = visible.sum(0)
    most = int(counts.max())
    rows = np.zeros((most, len(counts)), np.int64)
    rows[(visible.cumsum(0) - 1)[visible], queries] = np.arange(len(queries))
    shares = (np.arange(most)[:, None] < counts) / np.maximum(counts, 1)
    return [references[visible], images, queries, rows, shares[..., None].astype(np.float32)]


def _is_for_one_rig(node: Any, constants: set[str]) -> bool:
    is_attention = (node.domain, node.op_type) == (DOMAIN, SURROUND)
    return is_attention and constants.issuperset(_places(node))


def _places(node: Any) -> tuple[str, str]:
    """Return the names of references and visibility."""
    _, references, visible, _, _ = node.input
    return references, visible


def _add_constants(graph: Any, prefix: str, arrays: list[NDArray[Any]]) -> list[str]:
    names = [f'{prefix}/pairs/{number}' for number in range(len(arrays))]
    from_array = onnx_library().numpy_helper.from_array
    graph.initializer.extend(map(from_array, arrays, names))
    return names
