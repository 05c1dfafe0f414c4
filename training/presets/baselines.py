"""Models of others' ideas that ours is compared with, in everything else like ours."""

from __future__ import annotations

from dataclasses import replace

from training.presets.small import SELFOCC_TINY

# After SceneRF (arXiv 2212.02501): a density learned by volume rendering, the rendered depth
# warped into other images, no regulariser of a signed distance. Network, image size, data, steps,
# rays, colour loss, descriptors, swept volume, optimiser and supervising frames are those of
# selfocc-tiny, so that what differs is what SelfOcc claims to be better at. Not reproduced are
# SceneRF's spherical U-Net and its probabilistic ray sampling: this is no measurement of SceneRF.
SCENERF_LIKE = replace(
    SELFOCC_TINY,
    name='scenerf_like',
    summary='baseline for selfocc-tiny: density and plain reprojection, no SDF regularisers',
    render=replace(SELFOCC_TINY.render, weights='density'),
    losses=replace(
        SELFOCC_TINY.losses,
        photometric_form='reprojection',
        eikonal=0.0,
        hessian=0.0,
        sparsity=0.0,
    ),
)
