from __future__ import annotations

import math

import pytest
import torch

from training.losses.images import inside_image, read_pixels
from training.losses.photometric import Target
from training.losses.rgb import color_loss
from training.losses.semantics import binary_cross_entropy_loss, cross_entropy_loss, read_labels
from training.losses.smoothness import edge_aware_smoothness
from training.losses.ssim import ssim_dissimilarity


def target_of(image: torch.Tensor) -> Target:
    rows, columns = image.shape[-2:]
    return Target(torch.zeros(rows * columns, 2), image.flatten(2), rows, columns)


def test_pixel_centres_are_read_back():
    image = torch.rand(2, 3, 4, 5)
    v, u = torch.meshgrid(torch.arange(4.0), torch.arange(5.0), indexing='ij')
    pixels = torch.stack([u, v], -1).expand(2, 4, 5, 2)
    torch.testing.assert_close(read_pixels(image, pixels), image)
    original = read_pixels(image, pixels, parity=True)
    torch.testing.assert_close(original[..., 0, 0], image[..., 0, 0])
    assert float((original[..., 3, 4] - image[..., 3, 4]).abs().max()) > 1e-3


def test_outside_the_outer_pixels_nothing_is_seen():
    pixels = torch.tensor([[0.0, 0.0], [4.0, 3.0], [4.1, 3.0], [2.0, -0.1]])
    assert inside_image(pixels, (4, 5)).tolist() == [True, True, False, False]
    assert inside_image(pixels, (4, 5), parity=True).tolist() == [False, True, True, False]


def test_structure_of_equal_and_of_opposite_images():
    image = torch.rand(1, 3, 8, 8)
    assert float(ssim_dissimilarity(image, image).max()) < 1e-5
    assert float(ssim_dissimilarity(image, 1 - image).mean()) > 0.6


def test_color_loss_of_a_shift_in_brightness():
    image = torch.full((1, 3, 4, 4), 0.5)
    color = (image + 0.1).flatten(2).transpose(1, 2)
    structure = (2 * 0.5 * 0.6 + 1e-4) / (0.5**2 + 0.6**2 + 1e-4)
    expected = 0.15 * 0.1 + 0.85 * (1 - structure) / 2
    assert float(color_loss(color, target_of(image))) == pytest.approx(expected, abs=1e-4)


def test_depth_may_jump_where_the_image_does():
    depth = torch.tensor([1.0, 1.0, 3.0, 3.0]).repeat(3)[None]
    plain = torch.zeros(1, 3, 3, 4)
    edge = plain.clone()
    edge[..., 2:] = 1.0
    flat = float(edge_aware_smoothness(depth, target_of(plain)))
    assert flat == pytest.approx(1 / 3, rel=1e-4)
    assert float(edge_aware_smoothness(depth, target_of(edge))) == pytest.approx(
        flat / math.e, rel=1e-4
    )
    assert float(edge_aware_smoothness(7 * depth, target_of(plain))) == pytest.approx(flat)


def test_labels_are_those_of_the_nearest_pixel():
    labels = torch.arange(6).view(1, 2, 3)
    pixels = torch.tensor([[0.6, 0.4], [2.4, 0.6]])
    assert read_labels(labels, pixels).tolist() == [[1, 5]]
    assert read_labels(labels, pixels, parity=True).tolist() == [[0, 2]]


def test_semantic_losses():
    probabilities = torch.tensor([[[0.5, 0.25, 0.0], [0.0, 0.0, 0.0]]])
    labels = torch.tensor([[1, 2]])
    expected = (math.log(4) + math.log(1e6)) / 2
    assert float(cross_entropy_loss(probabilities, labels)) == pytest.approx(expected, rel=1e-4)
    first = math.log(2) + math.log(4)
    binary = (first + math.log(1e6)) / 6
    assert float(binary_cross_entropy_loss(probabilities, labels)) == pytest.approx(
        binary, rel=1e-3
    )
