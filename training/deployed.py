"""The network as the vehicle runs it: tensors of the model file's contract in and out.

Of a density, whose values are no distances, the first output is a level in its place: minus the
opacity of a voxel over its edge, in -1..0. As for a distance, less is more solid and a voxel is
occupied where the level is at most the threshold.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from training.config import Preset
from training.field import Field
from training.grid import Axis
from training.model.interpolation import interpolation
from training.model.selfocc import SelfOcc
from training.rendering.edge_density import opacity_over
from training.rendering.edge_render import along, edge_weights, exit_depth, last_distance
from training.rendering.lattice import fixed_lattice
from training.rendering.rays import cast_rays, log_spaced_distances
from training.rendering.sampling import sample_by_gather
from training.rendering.weights import bin_centers

# Share of a ray that must leave the volume before it is said to have met nothing. A ray that may
# have met something gets its expected depth, with the exit from the volume for the rest.
_NOTHING_MET = 0.9


class DeployedModel(nn.Module):
    """Images and calibration to signed distance at voxel centres and depth on a lattice.

    Attributes:
        sharpness: ``inv_s`` of the rendering, the one that training ended with.
        far_m: Depth that stands for "nothing met".
    """

    ego_from_volume: Tensor
    interpolate_x: Tensor
    interpolate_y: Tensor
    interpolate_z: Tensor
    pixels: Tensor

    def __init__(self, network: SelfOcc, preset: Preset) -> None:
        super().__init__()
        self.network, self.preset = network, preset
        self.sharpness, self.far_m = _sharpness(network, preset), preset.output.depth_far_m
        for axis, matrix in zip('xyz', _interpolation(preset), strict=True):
            self.register_buffer(f'interpolate_{axis}', matrix, persistent=False)
        ego_from_volume = torch.tensor(preset.model.frame.ego_from_volume)
        self.register_buffer('ego_from_volume', ego_from_volume, persistent=False)
        model, output = preset.model, preset.output
        pixels = fixed_lattice(
            model.input.height, model.input.width, output.depth_height, output.depth_width
        )
        self.register_buffer('pixels', pixels, persistent=False)

    def forward(
        self, images: Tensor, image_from_ego: Tensor, camera_mask: Tensor
    ) -> tuple[Tensor, ...]:
        """Run the network.

        Args:
            images: RGB ``[N, H, W, 3]`` uint8.
            image_from_ego: Projections ``[N, 3, 4]`` to pixels of the network input.
            camera_mask: Which cameras are present ``[N]`` bool.

        Returns:
            ``sdf`` ``[X, Y, Z]`` in metres at the voxel centres, or the level of a density;
            ``depth`` ``[N, h, w]`` in metres along the optical axis, ``far_m`` where a ray meets
            nothing in the volume; and of a network with classes ``semantics`` ``[X, Y, Z]`` uint8,
            the likeliest class of each voxel.
        """
        image_from_volume = image_from_ego @ self.ego_from_volume
        (field,) = self.network(images.float()[None], image_from_volume[None], camera_mask[None])
        outputs = self._level(field), self._depth(field, image_from_volume)
        return (*outputs, self._labels(field)) if len(field.semantics) else outputs

    def _level(self, field: Field) -> Tensor:
        """Return what the threshold of the preset says occupied of, at the voxel centres."""
        values = self._voxels(field.sdf)
        if self.preset.render.weights == 'neus':
            return values
        edge_m = float(min(self.preset.output.grid.voxel_size_m))
        return -opacity_over(values, edge_m, self.sharpness)

    def _labels(self, field: Field) -> Tensor:
        """Return the class with the largest logit at each voxel centre."""
        logits = [self._voxels(logit) for logit in field.semantics]
        return torch.stack(logits).argmax(0).to(torch.uint8)

    def _voxels(self, volume: Tensor) -> Tensor:
        """Interpolate ``[Y, X, Z]`` trilinearly at the voxel centres, axis after axis."""
        along_z = volume @ self.interpolate_z.T
        along_x = torch.einsum('vx,yxz->yvz', self.interpolate_x, along_z)
        voxels = torch.einsum('vy,yxz->xvz', self.interpolate_y, along_x)
        return voxels if self.preset.model.frame.axes == 'ahead_left' else voxels.transpose(0, 1)

    def _depth(self, field: Field, image_from_volume: Tensor) -> Tensor:
        output, cameras = self.preset.output, len(image_from_volume)
        projections = image_from_volume[:, None].expand(-1, len(self.pixels), -1, -1)
        rays = cast_rays(self.pixels.repeat(cameras, 1), projections.reshape(-1, 3, 4))
        near_m, count = output.depth_near_m, output.depth_samples
        last_m = last_distance(rays, field.grid, near_m, self.far_m)
        distances = log_spaced_distances(near_m, last_m, count)
        depths = distances / rays.lengths()
        points = along(rays, depths)
        weights, background = edge_weights(
            sample_by_gather(field.sdf, points, field.grid),
            points,
            distances,
            field.grid,
            self.sharpness,
            self.preset.render.weights,
        )
        exits = exit_depth(rays, field.grid).clamp(max=self.far_m)
        depth = (weights * bin_centers(depths)).sum(1) + background * exits
        met = torch.where(background > _NOTHING_MET, self.far_m, depth)
        return met.view(cameras, output.depth_height, output.depth_width)


class RigModel(nn.Module):
    """The network for one rig: what depends on the calibration alone is constant.

    Args:
        model: The network.
        image_from_ego: Projections of the rig ``[N, 3, 4]`` to pixels of the network input.
    """

    image_from_ego: Tensor

    def __init__(self, model: DeployedModel, image_from_ego: Tensor) -> None:
        super().__init__()
        self.model = model
        self.register_buffer('image_from_ego', image_from_ego, persistent=False)

    def forward(self, images: Tensor, camera_mask: Tensor) -> tuple[Tensor, ...]:
        """Run the network as ``DeployedModel`` does."""
        outputs: tuple[Tensor, ...] = self.model(images, self.image_from_ego, camera_mask)
        return outputs


def _sharpness(network: SelfOcc, preset: Preset) -> float:
    """Return ``inv_s`` as training ended with it."""
    if preset.render.sharpness == 'scheduled':
        return preset.render.sharpness_end
    return float(network.sharpness().detach())


def _interpolation(preset: Preset) -> list[Tensor]:
    """Return linear interpolation matrices ``[voxels, nodes]`` for x, y, z of the volume."""
    frame, nodes = preset.model.frame, preset.model.field_grid
    x, y, z = (
        torch.from_numpy(preset.output.grid.axis_centers(axis)) - origin_m
        for axis, origin_m in enumerate(frame.origin_m)
    )
    places = (x, y, z) if frame.axes == 'ahead_left' else (-y, x, z)
    return [_interpolate_axis(*pair) for pair in zip(nodes.axes, places, strict=True)]


def _interpolate_axis(axis: Axis, places_m: Tensor) -> Tensor:
    index = axis.index_of(places_m).clamp(0, axis.nodes - 1)
    return interpolation(index, axis.nodes).float()
