"""ONNX Runtime on the CPU: runs everywhere."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from selfocc_core.backends import ModelInputs, ModelOutputs
from selfocc_core.errors import SelfOccError
from selfocc_core.model_card import ModelCard


class OnnxRuntimeBackend:
    """A model executed by ONNX Runtime.

    Args:
        model_path: The ``.onnx`` file; its card lies beside it.
        threads: Threads of the runtime; default is every core this process may use.

    Raises:
        SelfOccError: The model or its card is missing, damaged, or the two disagree.
    """

    name = 'onnxruntime-cpu'

    def __init__(self, model_path: Path, threads: int | None = None) -> None:
        import onnxruntime as ort

        self._card = ModelCard.load_for(model_path)
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads or len(os.sched_getaffinity(0))
        # Waiting threads must not spin: they would take the cores from image callbacks.
        options.add_session_config_entry('session.intra_op.allow_spinning', '0')
        options.log_severity_level = 3
        try:
            self._session = ort.InferenceSession(
                str(model_path), options, providers=['CPUExecutionProvider']
            )
        except Exception as error:
            raise SelfOccError(
                f'{model_path} is not a model that ONNX Runtime can load: export it again'
            ) from error
        _check_interface(self._session, self._card, model_path)

    @property
    def card(self) -> ModelCard:
        """Card of the loaded model."""
        return self._card

    def infer(self, inputs: ModelInputs) -> ModelOutputs:
        """Run the model once."""
        names = ['sdf', 'depth', 'semantics'] if self._card.classes else ['sdf', 'depth']
        outputs = self._session.run(
            names,
            {
                'images': inputs.images,
                'image_from_ego': inputs.image_from_ego,
                'camera_mask': inputs.camera_mask,
            },
        )
        return ModelOutputs(**dict(zip(names, outputs, strict=True)))


def _check_interface(session: Any, card: ModelCard, model_path: Path) -> None:
    n, h, w = card.input.cameras, card.input.height, card.input.width
    expected = {
        'images': [n, h, w, 3],
        'image_from_ego': [n, 3, 4],
        'camera_mask': [n],
        'sdf': list(card.grid.shape),
        'depth': [n, card.depth.height, card.depth.width],
    }
    if card.classes:
        expected['semantics'] = list(card.grid.shape)
    actual = {value.name: value.shape for value in (*session.get_inputs(), *session.get_outputs())}
    for name, shape in expected.items():
        if actual.get(name) != shape:
            raise SelfOccError(
                f'model {model_path} has "{name}" of shape {actual.get(name)}, but its card says '
                f'{shape}: export the model again'
            )
