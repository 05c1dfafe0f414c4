from __future__ import annotations

import math

import pytest
import torch

from training.losses import matching
from training.losses.matching import UNSEEN, appearance_of, dissimilarity, target_of

STEPS = (1, 2, 4)


def smooth_images(cameras: int = 2, height: int = 24, width: int = 40):
    coarse = torch.rand(cameras, 3, height // 4, width // 4)
    return torch.nn.functional.interpolate(coarse, (height, width), mode='bicubic').clamp(0, 1)


def some_pixels(count: int, height: int = 24, width: int = 40):
    u, v = torch.randint(width, (count,)), torch.randint(height, (count,))
    return torch.randint(2, (count,)), torch.stack([u, v], -1).float()


def test_boxes_are_as_wide_as_the_step():
    image = torch.zeros(1, 3, 32, 32)
    image[..., 16, 16] = 1
    gray = appearance_of(image, (1, 2, 8)).gray
    for level, side in enumerate((1, 2, 8)):
        assert torch.count_nonzero(gray[level]) == side**2
        torch.testing.assert_close(gray[level].sum(), torch.tensor(1.0))


def test_a_pixel_is_most_like_itself():
    look = appearance_of(smooth_images(), STEPS)
    cameras, pixels = some_pixels(200)
    shifts = torch.tensor([[0.0, 0], [3, 0], [0, 3], [-3, -3]])
    cost = dissimilarity(target_of(look, cameras, pixels), look, cameras, pixels[:, None] + shifts)
    assert (cost.argmin(1) == 0).float().mean() > 0.97


def test_structure_ignores_brightness():
    dark = smooth_images() * 0.5
    one, two = appearance_of(dark, STEPS), appearance_of(dark + 0.2, STEPS)
    cameras, pixels = some_pixels(50)
    target = target_of(one, cameras, pixels)
    same = dissimilarity(target, one, cameras, pixels[:, None])
    other = dissimilarity(target, two, cameras, pixels[:, None])
    torch.testing.assert_close(other - same, torch.full((50, 1), 0.5 * 0.2), atol=1e-4, rtol=0)


def test_compiled_loops_give_what_torch_gives(monkeypatch):
    pytest.importorskip('numba', reason='compiled loops need numba')
    look = appearance_of(smooth_images(), STEPS)
    cameras, pixels = some_pixels(100)
    target = target_of(look, cameras, pixels)
    places = pixels[:, None] + 6 * torch.randn(100, 7, 2)
    wanted = torch.rand(100, 7) < 0.8
    with torch.no_grad():
        compiled = dissimilarity(target, look, cameras, places, wanted)
        monkeypatch.setattr(matching, '_HAS_KERNELS', False)
        plain = dissimilarity(target, look, cameras, places, wanted)
    torch.testing.assert_close(compiled, plain, atol=1e-5, rtol=0)
    assert (plain[~wanted] == UNSEEN).all()
    assert (plain[wanted] < 1.1).all()


@pytest.mark.parametrize('has_kernels', [True, False], ids=['compiled', 'torch'])
def test_places_anywhere_are_read_within_the_image(monkeypatch, has_kernels):
    """Far outside the border goes on; what is no number leads to no other memory."""
    if has_kernels:
        pytest.importorskip('numba', reason='compiled loops need numba')
    monkeypatch.setattr(matching, '_HAS_KERNELS', has_kernels)
    look = appearance_of(smooth_images(), STEPS)
    cameras, pixels = some_pixels(4)
    target = target_of(look, cameras, pixels)
    far, nan = math.inf, math.nan
    wild = torch.tensor([[far, -far], [1e30, -1e30], [-far, far], [nan, 3.0], [nan, nan]])
    border = torch.tensor([[39.0, 0.0], [39.0, 0.0], [0.0, 23.0]])
    with torch.no_grad():
        costs = dissimilarity(target, look, cameras, wild.expand(4, 5, 2))
        expected = dissimilarity(target, look, cameras, border.expand(4, 3, 2))
    torch.testing.assert_close(costs[:, :3], expected)
    assert not (costs[:, 3:] > 1.1).any()


def test_compiled_loops_read_nothing_outside_of_arrays():
    pytest.importorskip('numba', reason='compiled loops need numba')
    look = appearance_of(smooth_images(), STEPS)
    cameras, pixels = some_pixels(4)
    target = target_of(look, cameras, pixels)
    with torch.no_grad():
        with pytest.raises(IndexError, match='none of 2'):
            dissimilarity(target, look, torch.full((4,), 2), pixels[:, None])
        with pytest.raises(ValueError, match='rays and scales'):
            dissimilarity(target, look, cameras[:3], pixels[:, None])
        with pytest.raises(ValueError, match='rays and scales'):
            dissimilarity(target, appearance_of(smooth_images(), (1, 2)), cameras, pixels[:, None])


def test_gradients_lead_to_the_place():
    look = appearance_of(smooth_images(), STEPS)
    cameras, pixels = some_pixels(100)
    inner = ((pixels > 6) & (pixels < torch.tensor([33.0, 17]))).all(1)
    cameras, pixels = cameras[inner], pixels[inner]
    places = (pixels[:, None] + 0.4).requires_grad_()
    cost = dissimilarity(target_of(look, cameras, pixels), look, cameras, places)
    (gradient,) = torch.autograd.grad(cost.sum(), places)
    assert ((gradient.sum(-1) > 0).float().mean()) > 0.8
