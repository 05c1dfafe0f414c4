"""SelfOcc: surround images to a signed distance field around the vehicle."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from training.model.backbone import ResNet18
from training.model.fpn import FeaturePyramid
from training.model.lift import lift
from training.model.sdf_decoder import SdfDecoder
from training.model.tpv_encoder import TpvEncoder, node_positions
from training.presets import ModelConfig, NodeGrid


class Field(NamedTuple):
    """The decoded field on a grid of nodes.

    Attributes:
        sdf: Signed distance in metres ``[Y, X, Z]``, negative inside things.
        color: Colour ``[3, Y, X, Z]`` in 0..1.
        grid: Where the nodes are.
    """

    sdf: Tensor
    color: Tensor
    grid: NodeGrid


class SelfOcc(nn.Module):
    """Encode images, lift them into the tri-perspective view, decode a signed distance field."""

    nodes: Tensor

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.backbone = ResNet18(config.backbone_widths)
        self.neck = FeaturePyramid(config.backbone_widths, config.dim)
        self.encoder = TpvEncoder(config)
        self.plane_proj = nn.Linear(config.dim, config.volume_channels)
        self.lift_proj = nn.Conv2d(config.dim, config.volume_channels, 1)
        self.decoder = SdfDecoder(config)
        nodes = node_positions(config.grid).flatten(0, 2)
        self.register_buffer('nodes', nodes, persistent=False)

    def forward(self, images: Tensor, image_from_ego: Tensor, camera_mask: Tensor) -> Field:
        """Return the field around the vehicle.

        Args:
            images: RGB ``[N, H, W, 3]``, uint8 or float in 0..255.
            image_from_ego: Projections ``[N, 3, 4]`` to pixels of the network input.
            camera_mask: Which cameras are present ``[N]`` bool.
        """
        features = self.neck(self.backbone(images.permute(0, 3, 1, 2).float()))
        planes = self.encoder(features, image_from_ego, camera_mask)
        volume = self._project_planes(planes) + self._lift(features, image_from_ego, camera_mask)
        sdf, color = self.decoder(torch.relu(volume))
        return Field(sdf, color, self.config.grid.subdivided(self.config.subdivide_z))

    def _project_planes(self, planes: Tensor) -> Tensor:
        return self.plane_proj(planes.permute(1, 2, 3, 0)).permute(3, 0, 1, 2)  # type: ignore[no-any-return]

    def _lift(self, features: Tensor, image_from_ego: Tensor, camera_mask: Tensor) -> Tensor:
        x, y, z = self.config.grid.nodes
        size = (self.config.height, self.config.width)
        lifted = lift(self.lift_proj(features), self.nodes, image_from_ego, camera_mask, size)
        return lifted.view(-1, y, x, z)
