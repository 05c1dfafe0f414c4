"""The optimiser of the method."""

from __future__ import annotations

import torch

from training.config import OptimizerConfig
from training.model.selfocc import SelfOcc


def optimizer_for(model: SelfOcc, config: OptimizerConfig) -> torch.optim.AdamW:
    """Return AdamW with two groups: the backbone with its own learning rate, and the rest."""
    backbone = [p for p in model.backbone.parameters() if p.requires_grad]
    of_backbone = {id(parameter) for parameter in model.backbone.parameters()}
    rest = [p for p in model.parameters() if p.requires_grad and id(p) not in of_backbone]
    return torch.optim.AdamW(
        [
            {'params': rest, 'factor': 1.0},
            {'params': backbone, 'factor': config.backbone_factor},
        ],
        lr=config.learning_rate,
        weight_decay=config.weight_decay,
    )
