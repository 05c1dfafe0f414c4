"""SelfOcc: surround images to a signed distance field around the vehicle."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from training.config import ModelConfig
from training.field import Field
from training.model.backbone import ResNet, normalized
from training.model.convolutional_decoder import ConvolutionalDecoder
from training.model.decoder import ColumnMlp, NodeMlp
from training.model.encoder import Encoder
from training.model.fpn import FeaturePyramid
from training.model.lift import Lift
from training.model.projection import Views, padded_size
from training.model.sharpness import Sharpness


class SelfOcc(nn.Module):
    """Images → pyramid → planes → field (method section 2).

    Args:
        config: The network.
        sharpness: ``inv_s`` that the rendering starts with.
    """

    def __init__(self, config: ModelConfig, sharpness: float = 2.718281828) -> None:
        super().__init__()
        self.config = config
        self.backbone = ResNet(config.backbone)
        self.neck = FeaturePyramid(
            self.backbone.channels, config.encoder.dim, config.backbone.levels
        )
        self.encoder = Encoder(config)
        self.lift = Lift(config) if config.decoder.lift else None
        self.decoder = _decoder(config)
        self.sharpness = Sharpness(sharpness)

    def forward(self, images: Tensor, image_from_ego: Tensor, camera_mask: Tensor) -> list[Field]:
        """Return the field around the vehicle, of each sample of the batch.

        Args:
            images: RGB ``[B, N, H, W, 3]``, uint8 or float in 0..255.
            image_from_ego: Projections ``[B, N, 3, 4]`` to pixels of the network input.
            camera_mask: Which cameras are present ``[B, N]`` bool.
        """
        size = images.shape[2], images.shape[3]
        pyramid = self.look(normalized(images.float().flatten(0, 1).permute(0, 3, 1, 2)))
        pyramid = [level.unflatten(0, images.shape[:2]) for level in pyramid]
        views = Views(image_from_ego, camera_mask, size, self._padded(size))
        planes = self.encoder(pyramid, views)
        if self.lift is None:
            return self.fields(self.decoder(planes))
        lifted = self.lift(pyramid[0], views)
        return self.fields(self.decoder(planes, lifted))

    def look(self, images: Tensor) -> list[Tensor]:
        """Return the feature pyramid ``[B * N, D, H_l, W_l]`` of normalised images.

        They are padded with zeros at the bottom and right, so that all levels cover the same.
        """
        height, width = self._padded((images.shape[2], images.shape[3]))
        padding = 0, width - images.shape[3], 0, height - images.shape[2]
        return self.neck(self.backbone(F.pad(images, padding)))  # type: ignore[no-any-return]

    def _padded(self, size: tuple[int, int]) -> tuple[int, int]:
        return padded_size(size, self.config.backbone.levels)

    def fields(self, volumes: Tensor) -> list[Field]:
        """Wrap decoded volumes ``[B, 1 + C, Y, X, Z]``."""
        grid, colors = self.config.field_grid, 3 if self.config.decoder.color else 0
        return [Field(volume, grid, colors) for volume in volumes]


def _decoder(config: ModelConfig) -> nn.Module:
    if config.decoder.kind == 'convolutions':
        return ConvolutionalDecoder(config)
    return ColumnMlp(config) if config.encoder.view == 'bev' else NodeMlp(config)
