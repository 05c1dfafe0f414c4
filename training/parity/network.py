"""The network beside the recorded arrays: from backbone features to the volume, and back."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor, nn

from selfocc_core.errors import SelfOccError
from training.config import (
    BackboneConfig,
    DecoderConfig,
    EncoderConfig,
    InputConfig,
    ModelConfig,
)
from training.field import Field
from training.grid import NodeGrid
from training.losses.sparsity import uniform_sdf
from training.model.cross_view_attention import CrossViewAttention
from training.model.encoder import Encoder, EncoderLayer
from training.model.planes import planes_of
from training.model.projection import Views
from training.model.selfocc import SelfOcc
from training.official_weights import NOT_PARAMETERS, to_our_names, translate
from training.parity.comparison import Comparison, relative_error
from training.parity.recording import Phase, Recording
from training.rendering.sampling import sample_volume

LEVELS = 4
_PLANE_NAMES = ('hw', 'zh', 'wz')


def model_config(recording: Recording) -> ModelConfig:
    """Return the configuration of the recorded network."""
    encoder = recording.setting('model', 'encoder')
    layer = encoder['transformerlayers'][0]
    cross_view, image = layer['attn_cfgs']
    zh, wz, hw = image['num_points']
    if zh != wz:
        raise SelfOccError('the recording has side planes with different numbers of anchors')
    head = recording.setting('model', 'head')
    color = min(3, head['color_dims'])
    return ModelConfig(
        input=InputConfig(cameras=encoder['num_cams']),
        backbone=BackboneConfig(
            depth=recording.setting('model', 'img_backbone', 'depth'),
            frozen_stem=recording.setting('model', 'img_backbone', 'frozen_stages') >= 0,
            levels=encoder['num_feature_levels'],
        ),
        encoder=EncoderConfig(
            dim=encoder['embed_dims'],
            heads=image['num_heads'],
            layers=encoder['num_layers'],
            top_anchors=hw,
            side_anchors=zh,
            self_points=cross_view['num_points'],
            feedforward=layer['feedforward_channels'],
            dropout=layer['ffn_dropout'],
            position_frequencies=encoder['positional_encoding']['num_freqs'][0],
        ),
        decoder=DecoderConfig(
            color=color > 0,
            class_names=tuple(f'class {i}' for i in range(head['color_dims'] - color)),
            layers=head['density_layers'],
        ),
        grid=recording.grid,
        parity=True,
    )


class Decoded(NamedTuple):
    """What the network computes on its way to the volume.

    Attributes:
        features: Of the backbone's stages ``[N, C, H, W]``.
        pyramid: Its levels ``[1, N, D, H, W]``.
        planes: ``[1, rows, columns, D]``.
        volume: ``[1, 1 + C, Y, X, Z]``.
    """

    features: list[Tensor]
    pyramid: list[Tensor]
    planes: list[Tensor]
    volume: Tensor


class RecordedNetwork:
    """A network with the recorded weights.

    Args:
        recording: The recorded arrays.

    Raises:
        SelfOccError: Weights are missing or left over.
    """

    def __init__(self, recording: Recording) -> None:
        self.recording = recording
        self.model = SelfOcc(model_config(recording))
        weights = {
            name.removeprefix('w/'): recording.array(name)
            for name in recording.arrays
            if name.startswith('w/')
        }
        self.has_backbone = any(name.startswith('img_backbone.') for name in weights)
        wrong = [name for name in weights if not translate(name) and name not in NOT_PARAMETERS]
        ours = {name: torch.from_numpy(w) for name, w in to_our_names(weights).items()}
        missing, unexpected = self.model.load_state_dict(ours, strict=False)
        wrong += [n for n in missing if self.has_backbone or not n.startswith('backbone.')]
        if wrong or unexpected:
            names = ', '.join([*wrong, *unexpected][:8])
            raise SelfOccError(f'the recorded weights do not fit the recorded network: {names}')

    def compare_geometry(self) -> Iterator[Comparison]:
        """Compare what depends on grid and calibration only."""
        encoder = self.model.encoder
        places = encoder.project_anchors(self._views())
        actual: dict[str, Tensor] = {}
        for plane, name, place in zip(planes_of('tpv'), _PLANE_NAMES, places, strict=True):
            anchors = encoder.get_buffer(f'{plane.name}_anchors')
            actual[f'mid/ref_3d_{name}'] = anchors.transpose(0, 1)
            actual[f'mid/pos_{name}'] = encoder.positions[plane.name]()
            actual[f'mid/refcam_{name}'] = place.references
            actual[f'mid/refmask_{name}'] = place.visible
        references = _cross_view(encoder).references
        yield from self._compare(actual | {'mid/cross_view_ref_points': references})

    def compare_network(self, phase: Phase) -> Iterator[Comparison]:
        """Compare features, planes and volume; leaves the volume in ``self.volume``."""
        with torch.set_grad_enabled(phase == 'train'), _Watched(self.model) as watched:
            decoded = self.decode(phase)
        self.volume: Tensor = decoded.volume[0]
        named = {
            **(self._named('backbone', decoded.features) if self.has_backbone else {}),
            **self._named('fpn', decoded.pyramid),
            **watched.arrays,
            **self._named('tpv', decoded.planes),
            'volume': decoded.volume,
            'inv_s': self.model.sharpness(),
        }
        named = {name: value.reshape(_shape(self.recording, f'{phase}/{name}', value))
                 for name, value in named.items()}  # fmt: skip
        yield from self._compare({f'{phase}/{name}': value for name, value in named.items()})

    def decode(self, phase: Phase, noise: Sequence[float] = (0.0, 0.0, 0.0, 0.0)) -> Decoded:
        """Run the network.

        Args:
            phase: Evaluation or training.
            noise: Standard deviation of what is added to the features of each stage of the
                backbone, relative to the largest of them.
        """
        self.model.train(phase == 'train')
        features, passed_on = self._features(phase, noise)
        pyramid = [level[None] for level in self.model.neck(passed_on)]
        planes = self.model.encoder(pyramid, self._views())
        return Decoded(features, pyramid, planes, self.model.decoder(planes))

    def compare_occupancy(self, phase: Phase) -> Iterator[Comparison]:
        """Compare distance and logits between the nodes, where occupancy is read off."""
        if f'{phase}/occ_xyz' not in self.recording:
            return
        grid = self.recording.grid
        rows, columns, layers = self.recording.array(f'{phase}/occ_sdf').shape
        # Both ends included: the original does not take the centres of the voxels.
        points = NodeGrid.box(
            grid.minimum_m, grid.maximum_m, (columns, rows, layers)
        ).node_positions()
        field = Field(self.volume, grid, self.model.config.decoder.color * 3)
        logits = sample_volume(field.semantics, points, grid) if len(field.semantics) else None
        actual = {f'{phase}/occ_xyz': points, f'{phase}/occ_sdf': uniform_sdf(field, points)}
        if logits is not None:
            actual[f'{phase}/occ_logits'] = logits.permute(1, 2, 3, 0)
        yield from self._compare(actual)

    def recorded_features(self, phase: Phase) -> list[Tensor]:
        """Return what the backbone's stages gave ``[N, C, H, W]``."""
        features = (self.recording.tensor(f'{phase}/backbone_{i}') for i in range(LEVELS))
        return [feature.flatten(0, -4) for feature in features]

    def _features(self, phase: Phase, noise: Sequence[float]) -> tuple[list[Tensor], list[Tensor]]:
        """Return the backbone's features, and what is passed on.

        Each stage starts from the recorded features of the one before, with the gradient of our
        own, so that rounding does not add up. Without recorded weights both are the recorded.
        """
        recorded = self.recorded_features(phase)
        if not self.has_backbone:
            return recorded, recorded
        features, passed_on = [], []
        x = self.model.backbone.stem(self.recording.tensor('in/imgs')[0])
        for stage, expected, level in zip(
            self.model.backbone.stages, recorded, noise, strict=True
        ):
            features.append(stage(x))
            disturbed = expected + level * expected.abs().max() * torch.randn_like(expected)
            x = disturbed + (features[-1] - features[-1].detach())
            passed_on.append(x)
        return features, passed_on

    @staticmethod
    def _named(name: str, tensors: Sequence[Tensor]) -> dict[str, Tensor]:
        return {f'{name}_{i}': tensor for i, tensor in enumerate(tensors)}

    def _views(self) -> Views:
        image_from_ego = self.recording.tensor('in/meta_lidar2img')[None, :, :3]
        height, width = self.recording.array('in/meta_img_shape').tolist()[:2]
        size = int(height), int(width)
        mask = torch.ones(image_from_ego.shape[:2], dtype=torch.bool)
        return Views(image_from_ego, mask, size, size)

    def _compare(self, actual: dict[str, Tensor]) -> Iterator[Comparison]:
        for key, value in actual.items():
            if key in self.recording:
                yield Comparison(key, relative_error(value, self.recording.array(key)))


def _shape(recording: Recording, key: str, value: Tensor) -> Any:
    """Return the recorded shape if it holds as many values: planes may be flattened."""
    recorded = recording.arrays.get(key)
    fits = recorded is not None and recorded.size == value.numel()
    return recorded.shape if recorded is not None and fits else value.shape


def _first_layer(encoder: Encoder) -> EncoderLayer:
    return cast('EncoderLayer', encoder.layers[0])


def _cross_view(encoder: Encoder) -> CrossViewAttention:
    """Return the first cross-view attention; the original always has one."""
    return cast('CrossViewAttention', _first_layer(encoder).cross_view)


class _Watched:
    """Collects what the layers of the encoder compute."""

    def __init__(self, model: SelfOcc) -> None:
        self.arrays: dict[str, Tensor] = {}
        self.encoder = model.encoder

    def __enter__(self) -> _Watched:
        watched: dict[str, nn.Module] = {'enc_layer0_selfattn': _cross_view(self.encoder)}
        for j, attention in enumerate(_first_layer(self.encoder).image.values()):
            watched[f'enc_layer0_crossattn_plane{j}'] = attention
        self.handles = [m.register_forward_hook(self._keep(n)) for n, m in watched.items()]
        for i, layer in enumerate(self.encoder.layers):
            self.handles.append(layer.register_forward_hook(self._keep_planes(i)))
        return self

    def __exit__(self, *_: object) -> None:
        for handle in self.handles:
            handle.remove()

    def _keep(self, name: str) -> Any:
        def hook(_module: object, _inputs: object, output: Tensor) -> None:
            self.arrays[name] = output

        return hook

    def _keep_planes(self, layer: int) -> Any:
        def hook(_module: object, _inputs: object, output: Tensor) -> None:
            for j, plane in enumerate(self.encoder.unflatten(output)):
                self.arrays[f'enc_layer{layer}_plane{j}'] = plane

        return hook
