from __future__ import annotations

import pytest
import torch

from training.model.level_convolution import LevelConvolution
from training.model.volume_convolution import VolumeConvolution


@pytest.mark.parametrize('levels', [1, 2, 3, 4, 9])
@pytest.mark.parametrize('stride', [1, 2])
def test_it_is_a_volume_convolution(levels, stride):
    torch.manual_seed(levels)
    convolution = VolumeConvolution(4, stride)
    x = torch.randn(1, 4, 7, 6, levels)
    with torch.no_grad():
        expected, actual = convolution(x), LevelConvolution(convolution, levels)(x)
    assert expected.count_nonzero() > expected.numel() / 4
    torch.testing.assert_close(actual, expected, atol=3e-6, rtol=0)


def test_nine_levels_take_fifteen_convolutions_not_twenty_seven():
    layer = LevelConvolution(VolumeConvolution(4), 9)
    assert layer.mixing.shape == (15, 9)
    assert layer.adding.shape == (9, 15)
