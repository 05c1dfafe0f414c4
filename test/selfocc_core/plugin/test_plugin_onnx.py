"""The kernels against the operators' bodies in the model file: both must be one model."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest
from kernel_on_host import run_on_host
from onnx import helper, inliner

from selfocc_core.onnx_operators import (
    DOMAIN,
    OPSET,
    VERSION,
    ms_deform_attn_function,
    overload_of,
    surround_function,
)
from selfocc_core.plugin.operand_shapes import attended_shape
from selfocc_core.plugin.specialization import Specialization

pytestmark = pytest.mark.deployment

LEVELS = ((6, 9), (3, 5))
INPUTS = {
    'MSDeformAttn': ('value', 'locations', 'weights'),
    'SurroundDeformAttn': ('value', 'references', 'visible', 'offsets', 'logits'),
}


def one_node_model(kernel: Specialization, arrays: dict[str, np.ndarray]) -> onnx.ModelProto:
    levels = len(kernel.levels)
    function = {
        'MSDeformAttn': ms_deform_attn_function, 'SurroundDeformAttn': surround_function,
    }[kernel.operator](levels)  # fmt: skip
    infos = [
        helper.make_tensor_value_info(
            name, helper.np_dtype_to_tensor_dtype(array.dtype), array.shape
        )
        for name, array in arrays.items()
    ]
    kind = helper.np_dtype_to_tensor_dtype(np.dtype(kernel.precision))
    attended = helper.make_tensor_value_info('attended', kind, attended_shape(kernel))
    node = helper.make_node(
        kernel.operator, list(arrays), ['attended'], domain=DOMAIN, overload=overload_of(levels),
        spatial_shapes=[size for level in kernel.levels for size in level],
    )  # fmt: skip
    graph = helper.make_graph([node], 'one_node', infos, [attended])
    opsets = [helper.make_opsetid('', OPSET), helper.make_opsetid(DOMAIN, VERSION)]
    return helper.make_model(graph, opset_imports=opsets, functions=[function], ir_version=10)


def inputs_of(kernel: Specialization) -> list[np.ndarray]:
    rng = np.random.default_rng(5)
    images, queries, heads, points = kernel.images, kernel.queries, kernel.heads, kernel.points
    levels = len(kernel.levels)
    value = rng.normal(size=(images, kernel.tokens, heads, kernel.channels))
    if kernel.operator == 'MSDeformAttn':
        locations = rng.uniform(-0.2, 1.2, (images, queries, heads, levels, points, 2))
        weights = rng.uniform(0, 1 / points, (images, queries, heads, levels, points))
        return [value.astype(kernel.precision), np.float32(locations),
                weights.astype(kernel.weights)]  # fmt: skip
    return [
        value.astype(kernel.precision),
        np.float32(rng.uniform(-0.2, 1.2, (images, queries, kernel.references, points, 2))),
        rng.random((images, queries)) < 0.5,
        np.float32(rng.normal(scale=2, size=(queries, heads, levels, points, 2))),
        np.float32(rng.normal(size=(queries, heads, levels * points))),
    ]


@pytest.mark.parametrize('precision', ['float32', 'float16'])
@pytest.mark.parametrize(
    ('operator', 'references'),
    [('MSDeformAttn', 1), ('SurroundDeformAttn', 1), ('SurroundDeformAttn', 2)],
)
def test_kernel_and_body_agree(operator, references, precision):
    kernel = Specialization(operator, precision, LEVELS, 3, 20, 2, 8, 5, references)
    arrays = dict(zip(INPUTS[operator], inputs_of(kernel), strict=True))
    model = inliner.inline_local_functions(one_node_model(kernel, arrays))
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=['CPUExecutionProvider']
    )
    (expected,) = session.run(None, arrays)
    given = [x.astype(np.int32) if x.dtype == bool else x for x in arrays.values()]
    found = run_on_host(kernel, *given)  # the graph casts what plugins may not take
    assert found.dtype == expected.dtype
    tolerance = 1e-5 if precision == 'float32' else 2**-10
    np.testing.assert_allclose(found, expected, rtol=tolerance, atol=1e-5)
    assert np.abs(expected).max() > 0.1
