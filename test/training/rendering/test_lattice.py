from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st

from training.rendering.lattice import cellular_lattice, fixed_lattice

DRAW = st.floats(0, 1, exclude_max=True)


def test_the_fixed_lattice_covers_the_image_evenly():
    pixels = fixed_lattice(96, 176, 24, 44)
    assert pixels.shape == (24 * 44, 2)
    torch.testing.assert_close(pixels.mean(0), torch.tensor([87.5, 47.5]))
    torch.testing.assert_close(pixels[0], torch.tensor([1.5, 1.5]))


def test_a_lattice_of_every_pixel_is_every_pixel():
    pixels = fixed_lattice(2, 3, 2, 3)
    torch.testing.assert_close(pixels[:, 0], torch.tensor([0.0, 1, 2, 0, 1, 2]))
    torch.testing.assert_close(pixels[:, 1], torch.tensor([0.0, 0, 0, 1, 1, 1]))


def test_the_original_takes_corners():
    pixels = fixed_lattice(96, 176, 24, 44, parity=True)
    torch.testing.assert_close(pixels[45], torch.tensor([4.0, 4.0]))


@given(st.lists(DRAW, min_size=4, max_size=4))
def test_cellular_lattices_stay_on_the_image(draws):
    pixels = cellular_lattice(torch.tensor(draws), 96, 176, 12, 20)
    assert (pixels >= -1e-3).all()
    assert (pixels <= torch.tensor([175.0, 95.0]) + 1e-3).all()


def test_draws_scale_and_shift_the_lattice():
    dense = cellular_lattice(torch.tensor([0.0, 0.0, 0.5, 0.0]), 96, 176, 12, 20)
    torch.testing.assert_close(dense[1] - dense[0], torch.tensor([1.0, 0.0]))
    torch.testing.assert_close(dense[0], torch.tensor([78.0, 0.0]))
