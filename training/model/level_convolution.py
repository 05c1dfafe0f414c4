"""Convolutions of the volume as a runtime executes them fast: in two dimensions, and fewer.

ONNX Runtime has blocked kernels for convolutions in two dimensions only. Of those it takes three
for each level of the result, one for each level around it. By minimal filtering (Winograd 1980)
it takes five for three levels: levels and kernel are polynomials in z, and five values of their
product, one of them at infinity, are all there is to know of it.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from training.model.volume_convolution import VolumeConvolution

_POINTS = (0.0, 1.0, -1.0, 2.0)
_PRODUCTS = len(_POINTS) + 1
_LEVELS = _PRODUCTS - 2  # that a tile of them gives


class LevelConvolution(nn.Module):
    """A ``VolumeConvolution``, for export.

    Args:
        convolution: Of which it has the weights.
        levels: Nodes along z.
    """

    mixing: Tensor
    adding: Tensor
    weight: Tensor
    bias: Tensor

    def __init__(self, convolution: VolumeConvolution, levels: int) -> None:
        super().__init__()
        self.stride = convolution.stride[:2]
        mixing, adding = _matrices(levels)
        kernels = convolution.weight.detach().double()
        weight = torch.einsum('pz,ocyxz->pocyx', _values(kernels.shape[4]), kernels)
        bias = torch.zeros(_PRODUCTS, convolution.out_channels)
        if convolution.bias is not None:
            # The product at 1 is added to each level just once.
            bias[_POINTS.index(1.0)] = convolution.bias.detach()
        buffers = {'mixing': mixing, 'adding': adding, 'weight': weight.flatten(0, 1)}
        for name, buffer in (buffers | {'bias': bias.flatten()}).items():
            self.register_buffer(name, buffer.float(), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``[1, C, Y, X, Z]`` to ``[1, C, Y', X', Z]``."""
        levels = x.squeeze(0).permute(3, 0, 1, 2)
        mixed = (self.mixing @ levels.flatten(1)).view(-1, _PRODUCTS * x.shape[1], *x.shape[2:4])
        products = F.conv2d(mixed, self.weight, self.bias, self.stride, 1, groups=_PRODUCTS)
        added = torch.relu(self.adding @ products.view(len(self.mixing), -1))
        return added.view(len(levels), -1, *products.shape[2:]).permute(1, 2, 3, 0)[None]


def _matrices(levels: int) -> tuple[Tensor, Tensor]:
    """Return what gives the factors from the levels, and the levels from the products.

    They are ``[P, levels]`` and ``[levels, P]`` for P products, tile after tile.
    """
    tiles = -(-levels // _LEVELS)
    # The levels around are correlated with a kernel: the transpose of a product of polynomials.
    before, after = _values(_PRODUCTS).inverse().T, _values(_LEVELS).T
    mixing = torch.zeros(tiles, _PRODUCTS, _LEVELS * tiles + 2, dtype=torch.float64)
    for tile in range(tiles):
        mixing[tile, :, _LEVELS * tile : _LEVELS * tile + _PRODUCTS] = before
    within = mixing[:, :, 1 : levels + 1]  # there are zeros below and above
    return within.flatten(0, 1), torch.block_diag(*[after] * tiles)[:levels]


def _values(coefficients: int) -> Tensor:
    """Return the matrix ``[P, coefficients]`` from a polynomial's coefficients to its values."""
    powers = torch.arange(coefficients, dtype=torch.float64)
    finite = torch.tensor(_POINTS, dtype=torch.float64)[:, None] ** powers
    at_infinity = powers == coefficients - 1
    return torch.cat([finite, at_infinity[None].double()])
