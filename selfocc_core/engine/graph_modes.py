"""The graphs that TensorRT may be given for one model, best first.

Which of a plugin and a function of the same name TensorRT's parser takes has changed twice between
10.3 and 10.15. These graphs leave it no choice: either the node has no body and says whose plugin
it means, or the node is gone.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, get_args

from selfocc_core.engine.onnx_library import onnx_library
from selfocc_core.engine.stock_attention import replace_by_stock
from selfocc_core.engine.tensor_types import tensor_types
from selfocc_core.engine.visible_pairs import name_visible_pairs
from selfocc_core.errors import SelfOccError
from selfocc_core.onnx_operators import (
    DOMAIN,
    MS_DEFORM_ATTN,
    PAIRS,
    SURROUND,
    dense_surround_function,
    ms_deform_attn_function,
    overload_of,
    pairs_surround_function,
)

Mode = Literal['fused plugin', 'plugin', 'stock', 'native']
MODES: tuple[Mode, ...] = get_args(Mode)

PLUGIN_VERSION = '1'
_IR_OF_OVERLOADS = 10
_VISIBLE = 2  # input of the fused operator


def rewrite(model: Any, mode: Mode, stock_version: str = '1') -> Any:
    """Return the graph of a mode; the model stays as it is.

    The bodies of our operators in the model are for a CPU, of shapes that depend on the images;
    where a graph needs bodies, they are those of static shapes instead.

    Args:
        model: The exported ``ModelProto``.
        mode: ``fused plugin``: our fused operator stays, without its body, and takes int32 for
            bool. ``plugin``: the fused operator is expanded, deformable attention stays, without
            its body. ``stock``: NVIDIA's own plugin in its place. ``native``: standard operators
            only; for one rig they attend to visible pairs of camera and query alone.
        stock_version: Version of NVIDIA's plugin in the installed TensorRT.

    Raises:
        SelfOccError: The model has no node that the mode is about, or an operator that this
            version does not know.
    """
    rewritten = onnx_library().ModelProto()
    rewritten.CopyFrom(model)
    _strip_functions(rewritten)
    rewritten = _REWRITES[mode](rewritten, stock_version)
    _require_known_operators(rewritten, mode)
    return rewritten


def _fused(model: Any, _: str) -> Any:
    _require_nodes(model, SURROUND)
    _cast_visible(model)
    _leave_to_plugin(model, SURROUND)
    _leave_to_plugin(model, MS_DEFORM_ATTN)
    return model


def _cast_visible(model: Any) -> None:
    """Give the fused plugin int32 where the operator has bool: plugins may not take bool."""
    onnx, cast = onnx_library(), set[str]()
    nodes = list(model.graph.node)
    del model.graph.node[:]
    for node in nodes:
        if (node.domain, node.op_type) == (DOMAIN, SURROUND):
            name, kind = node.input[_VISIBLE], onnx.TensorProto.INT32
            node.input[_VISIBLE] = as_int = f'{name}/int32'
            if name not in cast:
                cast.add(name)
                made = onnx.helper.make_node('Cast', [name], [as_int], as_int, to=kind)
                model.graph.node.append(made)
        model.graph.node.append(node)


def _separate(model: Any, _: str) -> Any:
    model = _expanded(model)
    _leave_to_plugin(model, MS_DEFORM_ATTN)
    return model


def _stock(model: Any, stock_version: str) -> Any:
    model = _expanded(model)
    # Types are only known of tensors whose way there has only standard operators.
    types = tensor_types(_inlined(model, MS_DEFORM_ATTN, ms_deform_attn_function))
    replace_by_stock(model, DOMAIN, MS_DEFORM_ATTN, stock_version, types)
    return model


def _native(model: Any, _: str) -> Any:
    name_visible_pairs(model)
    # A body that stays a function would lose to a registered plugin in TensorRT 10.7 to 10.14.
    model = _inlined(model, PAIRS, pairs_surround_function)
    model = _inlined(model, SURROUND, dense_surround_function)
    return _inlined(model, MS_DEFORM_ATTN, ms_deform_attn_function)


_REWRITES = {'fused plugin': _fused, 'plugin': _separate, 'stock': _stock, 'native': _native}


def _expanded(model: Any) -> Any:
    """Put the body of the fused operator in its place, which calls deformable attention."""
    model = _inlined(model, SURROUND, dense_surround_function)
    _require_nodes(model, MS_DEFORM_ATTN)
    return model


def _inlined(model: Any, operator: str, body: Callable[[int], Any]) -> Any:
    """Return a model with a body in the place of each node of an operator.

    Args:
        model: The model; it may lose its functions.
        operator: An operator of our domain.
        body: Gives the body for a number of levels.
    """
    if not _nodes(model, operator):
        return model
    levels = set()
    for node in _nodes(model, operator):
        (shapes,) = (a for a in node.attribute if a.name == 'spatial_shapes')
        levels.add(len(shapes.ints) // 2)
        node.overload = overload_of(len(shapes.ints) // 2)
    copied = onnx_library().ModelProto()
    copied.CopyFrom(model)
    copied.functions.extend(body(count) for count in sorted(levels))
    # A model of functions with overloads is of this version at least.
    copied.ir_version = max(copied.ir_version, _IR_OF_OVERLOADS)
    inlined = onnx_library().inliner.inline_local_functions(copied)
    inlined.ir_version = model.ir_version
    return inlined


def _leave_to_plugin(model: Any, operator: str) -> None:
    """Name the plugin as every version of the parser understands it."""
    make = onnx_library().helper.make_attribute
    for node in _nodes(model, operator):
        kept = [a for a in node.attribute if not a.name.startswith('plugin_')]
        del node.attribute[:]
        node.ClearField('overload')
        node.attribute.extend(kept)
        node.attribute.append(make('plugin_version', PLUGIN_VERSION))
        node.attribute.append(make('plugin_namespace', DOMAIN))


def _strip_functions(model: Any) -> None:
    """Take the bodies of our operators away."""
    kept = [function for function in model.functions if function.domain != DOMAIN]
    del model.functions[:]
    model.functions.extend(kept)


def _nodes(model: Any, operator: str) -> list[Any]:
    return [n for n in model.graph.node if (n.domain, n.op_type) == (DOMAIN, operator)]


def _require_nodes(model: Any, operator: str) -> None:
    if not _nodes(model, operator):
        raise SelfOccError(
            f'the model has no {operator} node: export it with this version for a plugin to help'
        )


def _require_known_operators(model: Any, mode: Mode) -> None:
    known = {'fused plugin': {SURROUND, MS_DEFORM_ATTN}, 'plugin': {MS_DEFORM_ATTN}}.get(mode, ())
    for node in model.graph.node:
        if node.domain == DOMAIN and node.op_type not in known:
            raise SelfOccError(
                f'the model has a node {node.op_type} that this version does not know: export it '
                'with this version'
            )
