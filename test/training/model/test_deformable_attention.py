from __future__ import annotations

import pytest
import torch

from training.model import deformable_attention as attention
from training.model.deformable_attention import Places, deformable_attention

SIZES = [(5, 7), (3, 4)]


def random_inputs(batch=2, images=3, queries=9, heads=2, points=3, channels=4, shared=True):
    def leaf(*shape):
        return torch.randn(*shape, dtype=torch.float64, requires_grad=True)

    tokens, levels = sum(h * w for h, w in SIZES), len(SIZES)
    rows = 1 if shared else levels
    # References reach beyond the image, where there are zeros.
    references = 1.4 * torch.rand(batch, images, queries, rows, points, 2).double() - 0.2
    visible = torch.rand(batch, images, queries) < 0.6
    visible[:, :, 0] = False
    return (
        leaf(batch, images, tokens, heads, channels),
        Places(references, visible),
        leaf(batch, queries, heads, levels, points, 2),
        leaf(batch, queries, heads, levels, points),
    )


@pytest.fixture(params=['compiled', 'torch'])
def way(request, monkeypatch):
    if request.param == 'compiled':
        pytest.importorskip('numba', reason='compiled loops need numba')
    monkeypatch.setattr(attention, '_HAS_KERNELS', request.param == 'compiled')
    return request.param


@pytest.mark.parametrize('shared', [True, False])
def test_gradients_are_those_of_the_function(way, shared):
    value, places, offsets, weights = random_inputs(
        batch=1, images=2, queries=3, heads=1, points=2, channels=2, shared=shared
    )

    def attend(value, offsets, weights):
        return deformable_attention(value, SIZES, places, offsets, weights)

    assert torch.autograd.gradcheck(attend, (value, offsets, weights))


@pytest.mark.parametrize('threads', [1, 2])
@pytest.mark.parametrize('shared', [True, False])
def test_all_ways_agree(shared, threads):
    pytest.importorskip('numba', reason='compiled loops need numba')
    torch.set_num_threads(threads)
    value, places, offsets, weights = random_inputs(shared=shared)
    arguments = value, SIZES, places, offsets, weights
    results = [f(*arguments) for f in (deformable_attention, attention._packed)]
    upstream = torch.randn_like(results[0])
    gradients = [torch.autograd.grad(r, (value, offsets, weights), upstream) for r in results]
    for result, gradient in zip(results[1:], gradients[1:], strict=True):
        torch.testing.assert_close(result, results[0])
        for one, other in zip(gradient, gradients[0], strict=True):
            torch.testing.assert_close(one, other)


def test_a_query_that_no_image_sees_reads_zero(way):
    value, places, offsets, weights = random_inputs()
    read = deformable_attention(value, SIZES, places, offsets, weights).detach()
    assert float(read[:, 0].abs().max()) == 0


def test_the_centre_of_a_pixel_reads_that_pixel(way):
    value = torch.arange(35.0).view(1, 1, 35, 1, 1)
    places = Places(torch.tensor([(2 + 0.5) / 7, (3 + 0.5) / 5]).view(1, 1, 1, 1, 1, 2),
                    torch.ones(1, 1, 1, dtype=torch.bool))  # fmt: skip
    offsets = torch.tensor([1.0, -1.0]).view(1, 1, 1, 1, 1, 2)
    read = deformable_attention(value, [(5, 7)], places, offsets, torch.ones(1, 1, 1, 1, 1))
    assert float(read) == pytest.approx((3 - 1) * 7 + 2 + 1)


def test_images_are_averaged_over_those_that_see_the_query(way):
    value = torch.tensor([1.0, 5.0, 100.0]).view(1, 3, 1, 1, 1)
    places = Places(
        torch.full((1, 3, 1, 1, 1, 2), 0.5), torch.tensor([True, True, False])[None, :, None]
    )
    zero = torch.zeros(1, 1, 1, 1, 1, 2)
    read = deformable_attention(value, [(1, 1)], places, zero, torch.ones(1, 1, 1, 1, 1))
    assert float(read) == pytest.approx(3.0)


def test_places_that_are_not_numbers_read_nothing(way):
    value, places, offsets, weights = (
        x if isinstance(x, Places) else x.detach().float() for x in random_inputs()
    )
    offsets[0, 1, 0, 0, 0] = torch.tensor([float('nan'), float('inf')])
    if way == 'compiled':
        read = deformable_attention(
            value, SIZES, Places(places[0].float(), places[1]), offsets, weights
        )
        assert torch.isfinite(read).all()
