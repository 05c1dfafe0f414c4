from __future__ import annotations

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


def test_gradients_lead_to_the_place():
    look = appearance_of(smooth_images(), STEPS)
    cameras, pixels = some_pixels(100)
    inner = ((pixels > 6) & (pixels < torch.tensor([33.0, 17]))).all(1)
    cameras, pixels = cameras[inner], pixels[inner]
    places = (pixels[:, None] + 0.4).requires_grad_()
    cost = dissimilarity(target_of(look, cameras, pixels), look, cameras, places)
    (gradient,) = torch.autograd.grad(cost.sum(), places)
    assert ((gradient.sum(-1) > 0).float().mean()) > 0.8
