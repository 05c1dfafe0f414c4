"""Rendered classes of the small presets against the labels of a 2-D network.

Like ``semantics`` (method section 3.8), but a ray is judged only by what it meets in the volume,
as colour is in ``proposals.rgb_loss``: the class of a house beyond the volume must not call for
something in it. Labels so say where things of a class begin and end, not whether there is one.
"""

from __future__ import annotations

from torch import Tensor

from selfocc_core.errors import SelfOccError
from training.rendering.edge_render import EdgeRendering


def class_loss(rendering: EdgeRendering, labels: Tensor) -> Tensor:
    """Return the mean ``-log p_label`` over labelled rays, each with the weight of what it meets.

    Args:
        rendering: Of a field with classes.
        labels: Class of each ray ``[R]`` int64; what is no class, such as 255, is left out.

    Raises:
        SelfOccError: The field has no classes.
    """
    if rendering.semantics is None:
        raise SelfOccError('the field has no classes: set losses.semantic to 0')
    hit = 1 - rendering.background
    probabilities = rendering.semantics / hit.clamp(min=1e-3)[:, None]
    known = (labels >= 0) & (labels < probabilities.shape[1])
    of_label = probabilities.gather(1, (labels * known)[:, None])[:, 0]
    cost = -of_label.clamp(1e-6, 1).log() * hit.detach()
    return (cost * known).sum() / known.sum().clamp(min=1)
