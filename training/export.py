"""The verb ``export``: checkpoint to one ONNX file, its card and what it must give."""

from __future__ import annotations

import json
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tyro.conf import Positional

from selfocc_core.errors import SelfOccError
from selfocc_core.files import read_text, write_atomically
from selfocc_core.model_card import DepthSpec, GridSpec, InputSpec, ModelCard, TrainingRecord

if TYPE_CHECKING:
    from selfocc_core.backends import ModelInputs
    from selfocc_core.cameras import Rig
    from training.checkpoint import Checkpoint
    from training.config import Preset
    from training.deployed import DeployedModel


@dataclass(frozen=True)
class Export:
    """Write a trained network as one ONNX file with its model card.

    Example: selfocc export runs/mine/model.ckpt --out mine.onnx

    For one vehicle, faster: selfocc export runs/mine/model.ckpt --rig rig.yaml --out mine.onnx
    """

    checkpoint: Positional[Path]
    """Checkpoint that ``selfocc train`` wrote."""
    out: Path = Path('model.onnx')
    """Model file; beside it are written the card as ``<name>.card.json``, and as
    ``<name>.golden.npz`` inputs with the outputs that any runtime must give."""
    rig: Path | None = None
    """Rig file (YAML) to specialise the model for: its calibration becomes constant, which saves
    time but cannot follow the vehicle's motion between the shutters of its cameras."""
    version: str = '0.1.0'
    """Version of the model, for its card."""
    limits: str = ''
    """What the model is not good at, for its card."""
    metrics: Path | None = None
    """``metrics.json`` of a replay, whose scores the card shall quote."""

    def run(self) -> None:
        """Export, and check that ONNX Runtime gives what torch gives."""
        from selfocc_core.backends.onnxruntime import OnnxRuntimeBackend
        from selfocc_core.cameras import Rig
        from selfocc_core.engine.golden import write_golden
        from training.checkpoint import Checkpoint
        from training.export_parity import (
            check_parity,
            example_inputs,
            output_names,
            torch_outputs,
        )

        rig = None if self.rig is None else Rig.from_yaml(self.rig)
        checkpoint = Checkpoint.load(self.checkpoint)
        model = _deployed(checkpoint)
        size = checkpoint.preset.model.input
        inputs = example_inputs(size.cameras, size.height, size.width, rig=rig)
        expected = torch_outputs(model, inputs)
        with tempfile.TemporaryDirectory() as folder:
            draft = Path(folder) / self.out.name
            _write(model, inputs, output_names(model), draft, rig)
            card = self._card(checkpoint, draft, rig)
            card.write_for(draft)
            check_parity(expected, OnnxRuntimeBackend(draft), inputs)
            write_atomically(self.out, draft.read_bytes())
        card.write_for(self.out)
        write_golden(self.out, inputs)
        print(f'wrote {self.out} ({self.out.stat().st_size / 1e6:.1f} MB), card and golden file')

    def _card(self, checkpoint: Checkpoint, path: Path, rig: Rig | None) -> ModelCard:
        from training.onnx_program import OPSET

        card = card_of(checkpoint, path, self.out.stem)
        return card.model_copy(
            update={
                'version': self.version,
                'opset': OPSET,
                'rig_hash': None if rig is None else rig.content_hash,
                'metrics': _scores(self.metrics),
                'limits': self.limits,
            }
        )


def _deployed(checkpoint: Checkpoint) -> DeployedModel:
    from training.deployed import DeployedModel
    from training.model.selfocc import SelfOcc

    _check_field(checkpoint.preset)
    network = SelfOcc(checkpoint.preset.model)
    network.load_state_dict(checkpoint.model)
    return DeployedModel(network, checkpoint.preset).eval()


def _write(
    model: DeployedModel, inputs: ModelInputs, outputs: list[str], path: Path, rig: Rig | None
) -> None:
    import torch

    from training.deployed import RigModel
    from training.exported import exported_form
    from training.onnx_program import write_onnx

    model = exported_form(model)
    tensors = {name: torch.from_numpy(array) for name, array in vars(inputs).items()}
    if rig is None:
        write_onnx(model, tensors, outputs, path)
    else:
        for_rig = RigModel(model, tensors.pop('image_from_ego')).eval()
        write_onnx(for_rig, tensors, outputs, path)


def _check_field(preset: Preset) -> None:
    if preset.render.weights == 'density':
        raise SelfOccError(
            f'preset {preset.name} learns a density, which has no signed distance to export: '
            'train with --config.render.weights neus, or measure the checkpoint itself with '
            '"selfocc benchmark --model model.ckpt"'
        )


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
