"""From a network to an ONNX program: attention as nodes of our own, with their bodies."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import onnx
import torch
from torch import Tensor, nn

from selfocc_core.errors import SelfOccError
from selfocc_core.onnx_operators import DOMAIN, overload_of, surround_function

OPSET = 18


def write_onnx(
    model: nn.Module, inputs: dict[str, Tensor], outputs: Sequence[str], path: Path
) -> None:
    """Write a module as one ONNX file that ONNX's checker accepts.

    Args:
        model: In evaluation mode.
        inputs: Example inputs by the names they get, in the order of the module's arguments.
        outputs: Names of its outputs.
        path: The file.
    """
    # It tells of torchvision's operators, which are not used, and of its own deprecations.
    logging.getLogger('torch.onnx').setLevel(logging.ERROR)
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter('ignore', FutureWarning)
        program = torch.onnx.export(
            model,
            tuple(inputs.values()),
            input_names=list(inputs),
            output_names=list(outputs),
            opset_version=OPSET,
            dynamo=True,
            verbose=False,
        )
    if program is None:
        raise SelfOccError('torch did not produce an ONNX program: report this as a bug')
    program.save(str(path), external_data=False)
    proto = onnx.load(str(path))
    _strip_traces(proto)
    _add_bodies(proto)
    onnx.save(proto, str(path))
    onnx.checker.check_model(str(path), full_check=True)


def _strip_traces(proto: Any) -> None:
    """Remove what torch notes of each node's origin: source lines and paths of this machine."""
    graph = proto.graph
    for part in (proto, graph, *graph.node, *graph.value_info, *graph.input, *graph.output):
        del part.metadata_props[:]
        part.doc_string = ''
    for initializer in graph.initializer:
        del initializer.metadata_props[:]


def _add_bodies(proto: Any) -> None:
    """Give each attention node the body for its number of levels."""
    counts = set()
    for node in proto.graph.node:
        if node.domain == DOMAIN:
            (shapes,) = (a.ints for a in node.attribute if a.name == 'spatial_shapes')
            node.overload = overload_of(len(shapes) // 2)
            counts.add(len(shapes) // 2)
    proto.functions.extend(surround_function(levels) for levels in sorted(counts))
