"""The bodies of our operators in ONNX Runtime, against the attention that training uses."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import TensorProto, helper, inliner

from selfocc_core.engine.visible_pairs import pairs_of
from selfocc_core.onnx_operators import (
    DOMAIN,
    MS_DEFORM_ATTN,
    OPSET,
    PAIRS,
    SURROUND,
    VERSION,
    dense_surround_function,
    grid_sample_surround_function,
    ms_deform_attn_function,
    overload_of,
    pairs_surround_function,
    surround_function,
)
from training.model.deformable_attention import Places, deformable_attention

pytestmark = pytest.mark.deployment

HEADS, CHANNELS, QUERIES, POINTS, IMAGES = 3, 4, 20, 5, 2
SIZES = [(6, 9), (3, 5)]
TYPES = {np.dtype(np.float32): TensorProto.FLOAT, np.dtype(np.float16): TensorProto.FLOAT16,
         np.dtype(bool): TensorProto.BOOL, np.dtype(np.int64): TensorProto.INT64}  # fmt: skip


class Case(NamedTuple):
    """Inputs of one attention."""

    sizes: list[tuple[int, int]]
    value: torch.Tensor
    references: torch.Tensor
    visible: torch.Tensor
    offsets: torch.Tensor
    logits: torch.Tensor

    def expected(self) -> np.ndarray:
        weights = self.logits.softmax(-1).view(self.offsets.shape[:-1])
        places = Places(self.references[None], self.visible[None])
        return deformable_attention(
            self.value[None].float(), self.sizes, places, self.offsets[None], weights[None]
        )[0].numpy()

    def arrays(self) -> dict[str, np.ndarray]:
        return {name: tensor.numpy() for name, tensor in self._asdict().items() if name != 'sizes'}

    def pairs(self) -> dict[str, np.ndarray]:
        """Return the inputs with what is visible known beforehand, in the operator's order."""
        arrays = self.arrays()
        reference, *pairs = pairs_of(arrays.pop('references'), arrays.pop('visible'))
        named = zip(('image', 'query', 'rows_of_query', 'shares'), pairs, strict=True)
        return {'value': arrays.pop('value'), 'reference': reference, **arrays, **dict(named)}


def case(levels: int = 2, *, shared: bool = True, seen: float = 0.5, seed: int = 0) -> Case:
    torch.manual_seed(seed)
    sizes = SIZES[:levels]
    tokens, points = sum(h * w for h, w in sizes), levels * POINTS
    return Case(
        sizes,
        torch.randn(IMAGES, tokens, HEADS, CHANNELS),
        torch.rand(IMAGES, QUERIES, 1 if shared else levels, POINTS, 2) * 1.4 - 0.2,
        torch.rand(IMAGES, QUERIES) < seen,
        2 * torch.randn(QUERIES, HEADS, levels, POINTS, 2),
        torch.randn(QUERIES, HEADS, points),
    )


def run(operator: str, sizes, arrays, functions) -> np.ndarray:
    """Run a graph of one node by what its bodies say."""
    kind = TYPES[arrays['value'].dtype]
    node = helper.make_node(
        operator, list(arrays), ['attended'], domain=DOMAIN, overload=overload_of(len(sizes)),
        spatial_shapes=[length for size in sizes for length in size],
    )  # fmt: skip
    inputs = [
        helper.make_tensor_value_info(name, TYPES[array.dtype], array.shape)
        for name, array in arrays.items()
    ]
    shape = (IMAGES, QUERIES, HEADS * CHANNELS)[0 if operator == MS_DEFORM_ATTN else 1 :]
    outputs = [helper.make_tensor_value_info('attended', kind, shape)]
    model = helper.make_model(
        helper.make_graph([node], 'attention', inputs, outputs),
        opset_imports=[helper.make_opsetid('', OPSET), helper.make_opsetid(DOMAIN, VERSION)],
        functions=functions,
        ir_version=10,
    )
    onnx.checker.check_model(model)
    model = inliner.inline_local_functions(model)
    session = onnxruntime.InferenceSession(model.SerializeToString())
    return session.run(None, arrays)[0]


def bodies(form: str, levels: int) -> list[onnx.FunctionProto]:
    if form == 'pairs':
        return [surround_function(levels)]
    if form == 'grid sample':
        return [grid_sample_surround_function(levels)]
    return [dense_surround_function(levels), ms_deform_attn_function(levels)]


@pytest.mark.parametrize('form', ['pairs', 'dense', 'grid sample'])
@pytest.mark.parametrize('levels', [1, 2])
@pytest.mark.parametrize('shared', [True, False])
@pytest.mark.parametrize('seen', [0.0, 0.5, 1.0])
def test_bodies_are_deformable_attention(form, levels, shared, seen):
    given = case(levels, shared=shared, seen=seen)
    attended = run(SURROUND, given.sizes, given.arrays(), bodies(form, levels))
    np.testing.assert_allclose(attended, given.expected(), atol=2e-6)


@pytest.mark.parametrize('levels', [1, 2])
@pytest.mark.parametrize('shared', [True, False])
@pytest.mark.parametrize('seen', [0.1, 0.5, 1.0])
def test_pairs_known_beforehand_are_the_same(levels, shared, seen):
    given = case(levels, shared=shared, seen=seen)
    assert 0 < len(given.pairs()['image']) == given.visible.sum()
    attended = run(PAIRS, given.sizes, given.pairs(), [pairs_surround_function(levels)])
    np.testing.assert_allclose(attended, given.expected(), atol=2e-6)


@pytest.mark.parametrize('form', ['pairs', 'dense'])
def test_half_precision_values_are_added_in_single_precision(form):
    given = case()
    arrays = given.arrays() | {'value': given.value.half().numpy()}
    attended = run(SURROUND, given.sizes, arrays, bodies(form, 2))
    assert attended.dtype == np.float16
    expected = given._replace(value=given.value.half()).expected()
    np.testing.assert_allclose(attended, expected, atol=2e-3)


@pytest.mark.parametrize('form', ['pairs', 'dense', 'grid sample'])
def test_nothing_is_added_up_by_scattering(form):
    """ONNX Runtime's threads lose additions to the same place: 6 of 80 runs of a whole model."""
    nodes = [node for body in bodies(form, 2) for node in body.node]
    assert not [n for n in nodes if any(a.name == 'reduction' for a in n.attribute)]


def test_separate_attention_samples_each_image():
    given = case()
    weights = given.logits.softmax(-1).view(given.offsets.shape[:-1])
    scale = torch.tensor([[width, height] for height, width in SIZES])[:, None]
    locations = given.references[:, :, None] + given.offsets / scale
    arrays = {
        'value': given.value.numpy(),
        'locations': locations.numpy(),
        'weights': weights.expand(IMAGES, *weights.shape).numpy(),
    }
    attended = run(MS_DEFORM_ATTN, SIZES, arrays, [ms_deform_attn_function(2)])
    for image in range(IMAGES):
        alone = torch.zeros_like(given.visible)
        alone[image] = True
        expected = given._replace(visible=alone).expected()
        np.testing.assert_allclose(attended[image], expected, atol=2e-6)
