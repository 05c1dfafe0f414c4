"""ResNet-18 to ResNet-101 (He et al. 2016), with torchvision's parameter names."""

from __future__ import annotations

from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from selfocc_core.errors import SelfOccError
from training.config import BackboneConfig

# ImageNet statistics for RGB in 0..255, the convention of published ResNet weights.
_MEAN = (123.675, 116.28, 103.53)
_STD = (58.395, 57.12, 57.375)
_LARGEST_FILE_BYTES = 1 << 30


class BasicBlock(nn.Module):
    """Two 3x3 convolutions and a shortcut."""

    expansion = 1

    def __init__(self, channels_in: int, width: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels_in, width, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.downsample = _shortcut(channels_in, width, stride)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``[N, C_in, H, W]`` to ``[N, width, H/stride, W/stride]``."""
        y = F.relu(self.bn1(self.conv1(x)))
        return F.relu(self.bn2(self.conv2(y)) + self.downsample(x))


class Bottleneck(nn.Module):
    """1x1, 3x3 and 1x1 convolutions and a shortcut; the stride lies in the 3x3."""

    expansion = 4

    def __init__(self, channels_in: int, width: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels_in, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, 4 * width, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(4 * width)
        self.downsample = _shortcut(channels_in, 4 * width, stride)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``[N, C_in, H, W]`` to ``[N, 4 * width, H/stride, W/stride]``."""
        y = F.relu(self.bn1(self.conv1(x)))
        y = F.relu(self.bn2(self.conv2(y)))
        return F.relu(self.bn3(self.conv3(y)) + self.downsample(x))


_BLOCKS: dict[int, tuple[type[BasicBlock] | type[Bottleneck], tuple[int, int, int, int]]] = {
    18: (BasicBlock, (2, 2, 2, 2)),
    34: (BasicBlock, (3, 4, 6, 3)),
    50: (Bottleneck, (3, 4, 6, 3)),
    101: (Bottleneck, (3, 4, 23, 3)),
}


class ResNet(nn.Module):
    """The backbone. It takes normalised images, see ``normalized``."""

    def __init__(self, config: BackboneConfig) -> None:
        super().__init__()
        block, counts = _BLOCKS[config.depth]
        self.frozen_stem = config.frozen_stem
        self.conv1 = nn.Conv2d(3, config.widths[0], 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(config.widths[0])
        channels, stages = config.widths[0], []
        for width, count, stride in zip(config.widths, counts, (1, 2, 2, 2), strict=True):
            stages.append(_stage(block, channels, width, count, stride))
            channels = width * block.expansion
        self.layer1, self.layer2, self.layer3, self.layer4 = stages
        self.channels = tuple(width * block.expansion for width in config.widths)
        if self.frozen_stem:
            for parameter in (*self.conv1.parameters(), *self.bn1.parameters()):
                parameter.requires_grad_(False)

    def train(self, mode: bool = True) -> ResNet:
        """Switch to training; the norm of a frozen stem keeps its loaded statistics."""
        super().train(mode)
        if self.frozen_stem:
            self.bn1.eval()
        return self

    @property
    def stages(self) -> tuple[nn.Module, nn.Module, nn.Module, nn.Module]:
        """The four stages, finest first."""
        return self.layer1, self.layer2, self.layer3, self.layer4

    def stem(self, images: Tensor) -> Tensor:
        """Return what the first stage gets, at stride 4, of normalised images."""
        return F.max_pool2d(F.relu(self.bn1(self.conv1(images))), 3, 2, 1)

    def forward(self, images: Tensor) -> list[Tensor]:
        """Return features at strides 4, 8, 16, 32 of normalised images ``[N, 3, H, W]``."""
        x = self.stem(images)
        features = []
        for stage in self.stages:
            x = stage(x)
            features.append(x)
        return features


def normalized(images: Tensor) -> Tensor:
    """Return RGB images ``[N, 3, H, W]`` in 0..255 with ImageNet's mean and deviation removed."""
    mean = images.new_tensor(_MEAN).view(1, 3, 1, 1)
    std = images.new_tensor(_STD).view(1, 3, 1, 1)
    return (images - mean) / std


def load_backbone_weights(backbone: ResNet, path: Path) -> None:
    """Load published weights, for instance torchvision's of ImageNet.

    Raises:
        SelfOccError: The file is no state dict, or one of another network.
    """
    if not path.is_file() or path.stat().st_size > _LARGEST_FILE_BYTES:
        raise SelfOccError(f'there is no file of backbone weights at {path}, or it is too large')
    try:
        weights = torch.load(path, map_location='cpu', weights_only=True)
        kept = {name: value for name, value in weights.items() if not name.startswith('fc.')}
        backbone.load_state_dict(kept)
    except Exception as error:
        raise SelfOccError(
            f'{path} does not hold weights of this backbone: give the state dict of a torchvision '
            'ResNet of the same depth'
        ) from error


def _shortcut(channels_in: int, channels: int, stride: int) -> nn.Module:
    if stride == 1 and channels_in == channels:
        return nn.Identity()
    projection = nn.Conv2d(channels_in, channels, 1, stride, bias=False)
    return nn.Sequential(projection, nn.BatchNorm2d(channels))


def _stage(
    block: type[BasicBlock] | type[Bottleneck],
    channels_in: int,
    width: int,
    count: int,
    stride: int,
) -> nn.Sequential:
    rest = [block(width * block.expansion, width, 1) for _ in range(count - 1)]
    return nn.Sequential(block(channels_in, width, stride), *rest)
