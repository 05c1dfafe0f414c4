"""The kernels' arithmetic, compiled for this machine, against torch."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kernel_on_host import run_on_host

from selfocc_core.plugin.specialization import Specialization

torch = pytest.importorskip('torch')
attention = pytest.importorskip('training.model.deformable_attention')

pytestmark = pytest.mark.deployment

LEVELS = ((7, 11), (4, 5), (1, 3))
ONE = Specialization('MSDeformAttn', 'float32', LEVELS, 2, 37, 3, 16, 5)
SURROUND = Specialization('SurroundDeformAttn', 'float32', LEVELS, 4, 37, 3, 16, 5, 3)


def ms_inputs(kernel: Specialization, seed: int = 0) -> list[np.ndarray]:
    """Return value, locations (a third of them outside) and weights."""
    rng = np.random.default_rng(seed)
    sampled = (kernel.images, kernel.queries, kernel.heads, len(kernel.levels), kernel.points)
    value = rng.normal(size=(kernel.images, kernel.tokens, kernel.heads, kernel.channels))
    locations = rng.uniform(-0.3, 1.3, (*sampled, 2)).astype(np.float32)
    weights = rng.dirichlet(np.ones(sampled[3] * sampled[4]), sampled[:3]).reshape(sampled)
    return [value.astype(kernel.precision), locations, weights.astype(kernel.weights)]


def surround_inputs(kernel: Specialization, seed: int = 0) -> list[np.ndarray]:
    """Return the five inputs; the first query is seen by no camera, the second by all."""
    rng = np.random.default_rng(seed)
    images, queries, heads, points = kernel.images, kernel.queries, kernel.heads, kernel.points
    levels = len(kernel.levels)
    value = rng.normal(size=(images, kernel.tokens, heads, kernel.channels))
    references = rng.uniform(-0.3, 1.3, (images, queries, kernel.references, points, 2))
    visible = rng.random((images, queries)) < 0.4
    visible[:, 0], visible[:, 1:2] = False, True
    offsets = rng.normal(scale=2.0, size=(queries, heads, levels, points, 2))
    logits = rng.normal(scale=3.0, size=(queries, heads, levels * points))
    return [
        value.astype(kernel.precision),
        references.astype(np.float32),
        visible.astype(np.int32),
        offsets.astype(np.float32),
        logits.astype(np.float32),
    ]


def ms_by_torch(kernel: Specialization, inputs: list[np.ndarray]) -> np.ndarray:
    value, locations, weights = (torch.from_numpy(x).float() for x in inputs)
    sizes = torch.tensor([(width, height) for height, width in kernel.levels])
    offsets = locations * sizes[:, None].float()
    references = torch.zeros(kernel.images, kernel.queries, 1, kernel.points, 2)
    return attention._attend(value, kernel.levels, references, offsets, weights).numpy()


def surround_by_torch(kernel: Specialization, inputs: list[np.ndarray]) -> np.ndarray:
    value, references, visible, offsets, logits = (torch.from_numpy(x)[None] for x in inputs)
    shape = (1, kernel.queries, kernel.heads, len(kernel.levels), kernel.points)
    weights = logits.softmax(-1).view(shape)
    places = attention.Places(references, visible.bool())
    return attention._packed(value.float(), kernel.levels, places, offsets, weights)[0].numpy()


def both(kernel: Specialization, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return what the kernel gives and what torch gives."""
    if kernel.operator == 'MSDeformAttn':
        inputs = ms_inputs(kernel, seed)
        return run_on_host(kernel, *inputs), ms_by_torch(kernel, inputs)
    inputs = surround_inputs(kernel, seed)
    return run_on_host(kernel, *inputs), surround_by_torch(kernel, inputs)


@pytest.mark.parametrize('channels', [16, 12, 6, 5, 1])
@pytest.mark.parametrize('kernel', [ONE, SURROUND], ids=lambda kernel: kernel.operator)
def test_float32_equals_torch(kernel, channels):
    found, expected = both(replace(kernel, channels=channels))
    np.testing.assert_allclose(found, expected, atol=5e-6)
    assert np.abs(expected).max() > 0.1


@pytest.mark.parametrize('channels', [16, 12, 6, 5, 1])
@pytest.mark.parametrize('kernel', [ONE, SURROUND], ids=lambda kernel: kernel.operator)
def test_float16_values_lose_nothing_but_the_last_rounding(kernel, channels):
    found, expected = both(
        replace(kernel, channels=channels, precision='float16', weights='float16')
    )
    assert found.dtype == np.float16
    np.testing.assert_allclose(found, expected.astype(np.float16), rtol=2**-10, atol=1e-6)


def test_float16_values_may_have_float32_weights():
    found, expected = both(replace(ONE, precision='float16', weights='float32'))
    np.testing.assert_allclose(found, expected, rtol=2**-10, atol=1e-6)


@pytest.mark.parametrize('references', [1, 3])
def test_reference_points_may_be_shared_by_the_levels(references):
    found, expected = both(replace(SURROUND, references=references))
    np.testing.assert_allclose(found, expected, atol=5e-6)


def test_a_query_that_no_camera_sees_gets_zeros():
    inputs = surround_inputs(SURROUND)
    found = run_on_host(SURROUND, *inputs)
    assert (found[0] == 0).all()
    assert (np.abs(found[1]) > 0).any()


def test_a_camera_that_does_not_see_a_query_is_never_read():
    inputs = surround_inputs(SURROUND)
    inputs[0][2], inputs[2][2] = 0.0, 0
    expected = run_on_host(SURROUND, *inputs)
    inputs[0][2] = np.nan
    np.testing.assert_array_equal(run_on_host(SURROUND, *inputs), expected)


def test_places_far_outside_or_not_a_number_count_as_zeros():
    value, locations, weights = ms_inputs(ONE)
    locations[...] = 0.5
    locations[:, :, :, 0] = np.array([1e30, -1e30, np.inf, np.nan, 1e9])[:, None]
    found = run_on_host(ONE, value, locations, weights)
    weights[:, :, :, 0] = 0
    locations[:, :, :, 0] = 0.5
    expected = run_on_host(ONE, value, locations, weights)
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_half_a_pixel_outside_fades_to_zero():
    kernel = Specialization('MSDeformAttn', 'float32', ((2, 2),), 1, 5, 1, 1, 1)
    across = np.array([-0.25, -0.125, 0.0, 0.25, 1.25], np.float32)
    locations = np.stack([across, np.full(5, 0.25, np.float32)], -1).reshape(1, 5, 1, 1, 1, 2)
    value = np.ones((1, 4, 1, 1), np.float32)
    found = run_on_host(kernel, value, locations, np.ones((1, 5, 1, 1, 1), np.float32))
    np.testing.assert_allclose(found[0, :, 0], [0, 0.25, 0.5, 1, 0])


def test_logits_may_be_large():
    inputs = surround_inputs(SURROUND)
    expected = run_on_host(SURROUND, *inputs)
    inputs[4] += np.float32(2000.0)
    np.testing.assert_allclose(run_on_host(SURROUND, *inputs), expected, atol=2e-3)


@pytest.mark.parametrize('kernel', [ONE, SURROUND], ids=lambda kernel: kernel.operator)
def test_shipped_model_and_full_preset(kernel):
    shipped = replace(kernel, precision='float16', levels=((24, 44),), images=6, queries=100,
                      heads=4, channels=16, points=8, references=1)  # fmt: skip
    full = replace(shipped, levels=((12, 25), (6, 13), (3, 7), (2, 4)), heads=6, points=48)
    for each in (shipped, full):
        found, expected = both(each)
        np.testing.assert_allclose(found, expected, rtol=2**-10, atol=1e-5)


@settings(max_examples=8, deadline=None)
@given(
    levels=st.lists(st.tuples(st.integers(1, 6), st.integers(1, 6)), min_size=1, max_size=3),
    sizes=st.tuples(*[st.integers(1, 4)] * 5),
    operator=st.sampled_from(['MSDeformAttn', 'SurroundDeformAttn']),
    precision=st.sampled_from(['float16', 'float32']),
    shared=st.booleans(),
    seed=st.integers(0, 2**32 - 1),
)
def test_any_sizes(levels, sizes, operator, precision, shared, seed):
    images, queries, heads, channels, points = sizes
    references = 1 if shared or operator == 'MSDeformAttn' else len(levels)
    kernel = Specialization(
        operator, precision, tuple(levels), images, queries, heads, channels, points, references
    )
    found, expected = both(kernel, seed)
    tolerance = 2**-10 if precision == 'float16' else 1e-5
    np.testing.assert_allclose(found, expected, rtol=tolerance, atol=1e-5)


def test_half_conversion_of_the_host_is_that_of_numpy():
    """Every float16 goes through the host's conversion and back, so that it can be trusted."""
    bits = np.arange(2**16, dtype=np.uint16).view(np.float16)
    bits = bits[np.isfinite(bits)]
    kernel = Specialization('MSDeformAttn', 'float16', ((1, 1),), len(bits), 1, 1, 1, 1)
    locations = np.full((len(bits), 1, 1, 1, 1, 2), 0.5, np.float32)
    for factor in (1.0, 1 / 3, 1e-3):
        weights = np.full((len(bits), 1, 1, 1, 1), factor, np.float32)
        found = run_on_host(kernel, bits.reshape(-1, 1, 1, 1), locations, weights)
        expected = (bits.astype(np.float32) * np.float32(factor)).astype(np.float16)
        np.testing.assert_array_equal(found.ravel(), expected)
