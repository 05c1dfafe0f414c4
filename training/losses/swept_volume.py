"""Where the vehicle itself drove is free space (ours, for small networks)."""

from __future__ import annotations

import torch
from torch import Tensor

from training.field import Field
from training.rendering.sampling import sample_volume


def swept_volume_loss(field: Field, points: Tensor, clearance_m: float = 0.6) -> Tensor:
    """Keep free what the vehicle itself drove through.

    Args:
        field: The decoded field.
        points: Points ``[P, 3]`` inside the vehicle's body at its recorded poses, in the ego
            frame; at least ``clearance_m`` above the ground.
        clearance_m: Signed distance that is enough.
    """
    sdf = sample_volume(field.sdf[None], points, field.grid)[0]
    return torch.relu(clearance_m - sdf).mean()
