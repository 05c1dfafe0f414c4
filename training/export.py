"""The verb ``export``: checkpoint to one ONNX file and its card."""

from __future__ import annotations

import json
import logging
import tempfile
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from tyro.conf import Positional

from selfocc_core.backends import ModelInputs
from selfocc_core.errors import SelfOccError
from selfocc_core.files import read_text, write_atomically
from selfocc_core.model_card import DepthSpec, GridSpec, InputSpec, ModelCard, TrainingRecord

if TYPE_CHECKING:
    from training.checkpoint import Checkpoint
    from training.config import Preset
    from training.deployed import DeployedModel

OPSET = 18
_TOLERANCE = 1e-3


@dataclass(frozen=True)
class Export:
    """Write a trained network as one ONNX file with its model card.

    Example: selfocc export runs/mine/model.ckpt --out mine.onnx
    """

    checkpoint: Positional[Path]
    """Checkpoint that ``selfocc train`` wrote."""
    out: Path = Path('model.onnx')
    """Model file; the card is written beside it as ``<name>.card.json``."""
    version: str = '0.1.0'
    """Version of the model, for its card."""
    limits: str = ''
    """What the model is not good at, for its card."""
    metrics: Path | None = None
    """``metrics.json`` of a replay, whose scores the card shall quote."""

    def run(self) -> None:
        """Export, and check that ONNX Runtime gives what torch gives."""
        from training.checkpoint import Checkpoint
        from training.deployed import DeployedModel
        from training.model.selfocc import SelfOcc

        checkpoint = Checkpoint.load(self.checkpoint)
        _check_field(checkpoint.preset)
        network = SelfOcc(checkpoint.preset.model)
        network.load_state_dict(checkpoint.model)
        model = DeployedModel(network, checkpoint.preset).eval()
        with tempfile.TemporaryDirectory() as folder:
            draft = Path(folder) / self.out.name
            _write_onnx(model, draft)
            card = self._card(checkpoint, draft)
            card.write_for(draft)
            _check_parity(model, draft)
            write_atomically(self.out, draft.read_bytes())
            card.write_for(self.out)
        print(f'wrote {self.out} ({self.out.stat().st_size / 1e6:.1f} MB) and its card')

    def _card(self, checkpoint: Checkpoint, path: Path) -> ModelCard:
        card = card_of(checkpoint, path, self.out.stem)
        return card.model_copy(
            update={
                'version': self.version,
                'opset': OPSET,
                'metrics': _scores(self.metrics),
                'limits': self.limits,
            }
        )


def _check_field(preset: Preset) -> None:
    if preset.render.weights == 'density':
        raise SelfOccError(
            f'preset {preset.name} learns a density, which has no signed distance to export: '
            'train with --config.render.weights neus, or measure the checkpoint itself with '
            '"selfocc benchmark --model model.ckpt"'
        )


def example_inputs(cameras: int, height: int, width: int, seed: int = 0) -> ModelInputs:
    """Return inputs of random pixels on a nuScenes-like rig, one camera missing."""
    from selfocc_core.cameras import nuscenes_like_rig
    from selfocc_core.preprocess import Preprocessor

    rig = nuscenes_like_rig()
    projections = [Preprocessor(camera, height, width).input_from_ego for camera in rig]
    mask = np.ones(cameras, bool)
    mask[-1] = cameras == 1
    return ModelInputs(
        images=np.random.default_rng(seed).integers(0, 256, (cameras, height, width, 3), np.uint8),
        image_from_ego=np.array([projections[i % len(rig)] for i in range(cameras)], np.float32),
        camera_mask=mask,
    )


def _write_onnx(model: DeployedModel, path: Path) -> None:
    import onnx
    import torch

    # It tells of torchvision's operators, which are not used, and of its own deprecations.
    logging.getLogger('torch.onnx').setLevel(logging.ERROR)
    config = model.preset.model.input
    inputs = example_inputs(config.cameras, config.height, config.width)
    tensors = tuple(torch.from_numpy(array) for array in vars(inputs).values())
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter('ignore', FutureWarning)
        program = torch.onnx.export(
            model,
            tensors,
            input_names=['images', 'image_from_ego', 'camera_mask'],
            output_names=_outputs(model),
            opset_version=OPSET,
            dynamo=True,
            verbose=False,
        )
    if program is None:
        raise SelfOccError('torch did not produce an ONNX program: report this as a bug')
    program.save(str(path), external_data=False)
    proto = onnx.load(str(path))
    _strip_traces(proto)
    onnx.save(proto, str(path))
    onnx.checker.check_model(str(path), full_check=True)


def _outputs(model: DeployedModel) -> list[str]:
    has_classes = bool(model.preset.model.decoder.classes)
    return ['sdf', 'depth', 'semantics'] if has_classes else ['sdf', 'depth']


def _strip_traces(proto: Any) -> None:
    """Remove what torch notes of each node's origin: source lines and paths of this machine."""
    graph = proto.graph
    for part in (proto, graph, *graph.node, *graph.value_info, *graph.input, *graph.output):
        del part.metadata_props[:]
        part.doc_string = ''
    for initializer in graph.initializer:
        del initializer.metadata_props[:]


_QUOTED = ('occupancy_iou', 'depth_abs_rel', 'depth_abs_rel_in_volume')


def _scores(path: Path | None) -> dict[str, float]:
    if path is None:
        return {}
    try:
        metrics = json.loads(read_text(path, 'metrics'))
        return {name: round(float(metrics[name]), 4) for name in _QUOTED}
    except (ValueError, TypeError, KeyError) as error:
        raise SelfOccError(f'{path} is not the metrics.json of a replay with truth') from error


def card_of(checkpoint: Checkpoint, path: Path, name: str) -> ModelCard:
    """Return what a checkpoint says of its model, whose weights a file holds.

    Args:
        checkpoint: The checkpoint.
        path: File with the weights, for its hash.
        name: Name of the model.
    """
    from selfocc_core.files import sha256_of

    preset = checkpoint.preset
    model, output = preset.model.input, preset.output
    return ModelCard(
        name=name,
        version='0.0.0',
        onnx_sha256=sha256_of(path),
        opset=0,
        input=InputSpec(cameras=model.cameras, height=model.height, width=model.width),
        grid=GridSpec(**vars(output.grid)),
        threshold=preset.threshold,
        classes=preset.model.decoder.class_names,
        depth=DepthSpec(
            height=output.depth_height,
            width=output.depth_width,
            near_m=output.depth_near_m,
            far_m=output.depth_far_m,
        ),
        training=TrainingRecord(
            command=checkpoint.command,
            data=checkpoint.data,
            steps=checkpoint.step,
            seed=checkpoint.seed,
        ),
    )


def _check_parity(model: DeployedModel, path: Path) -> None:
    """Compare ONNX Runtime with torch, which takes another way through attention and lift.

    Raises:
        SelfOccError: They differ by more than 1e-3 of the range, or in 1e-3 of the labels.
    """
    import torch

    from selfocc_core.backends.onnxruntime import OnnxRuntimeBackend

    config = model.preset.model.input
    inputs = example_inputs(config.cameras, config.height, config.width, seed=1)
    with torch.no_grad():
        expected = model(*(torch.from_numpy(array) for array in vars(inputs).values()))
    actual = OnnxRuntimeBackend(path).infer(inputs)
    for name, torch_value in zip(_outputs(model), expected, strict=True):
        difference = _difference(torch_value.numpy(), getattr(actual, name))
        print(f'{name}: ONNX Runtime differs from torch by {difference:.1e}')
        if not difference <= _TOLERANCE:  # also when it is not a number
            raise SelfOccError(f'the exported {name} differs from torch: the export is not usable')


def _difference(expected: NDArray[Any], actual: NDArray[Any]) -> float:
    """Return the largest difference over the range, of labels the share that differs."""
    if expected.dtype == np.uint8:
        return float((expected != actual).mean())
    return float(np.abs(expected - actual).max() / np.ptp(expected))
