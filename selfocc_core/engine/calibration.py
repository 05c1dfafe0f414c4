"""Scales of the activations from a recorded drive, through ONNX Runtime on the CPU."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from selfocc_core.backends import ModelInputs, ModelOutputs
from selfocc_core.backends.interface import feeds_of
from selfocc_core.bag_messages import stamp_ns_of
from selfocc_core.engine.activation_histogram import ActivationHistogram
from selfocc_core.engine.onnx_library import load_model, onnx_library
from selfocc_core.engine.quantization import quantized_tensors
from selfocc_core.engine.scales import Scales
from selfocc_core.errors import SelfOccError
from selfocc_core.evaluation.drive import Drive, read_drive
from selfocc_core.evaluation.moments import frames_near, image_messages
from selfocc_core.files import sha256_of
from selfocc_core.frames import FrameSet
from selfocc_core.model_card import ModelCard
from selfocc_core.pipeline import OccupancyPipeline
from selfocc_core.progress import track

FRAME_SETS = 16


def calibrate(model_path: Path, drive_path: Path, frame_sets: int = FRAME_SETS) -> Scales:
    """Return the scales for a model, from frame sets spread over a drive.

    Images take the way they take on the vehicle, so that scales fit what the engine will see.

    Raises:
        SelfOccError: The model or the drive cannot be used, or do not fit each other.
    """
    drive = read_drive(drive_path)
    observer = ActivationObserver(model_path)
    pipeline = OccupancyPipeline(observer, drive.rig)
    moments = _frame_sets(drive, frame_sets)
    for frame_set in track(moments, 'Calibrating'):
        pipeline.process(frame_set, drive.trajectory)
    return Scales(
        model=sha256_of(model_path),
        drive=drive_path.name,
        frame_sets=len(moments),
        of_tensors=observer.scales(),
    )


class ActivationObserver:
    """A backend that notes which values the inputs of the convolutions take.

    Args:
        model_path: The ``.onnx`` file; its card lies beside it.

    Raises:
        SelfOccError: The model cannot be run, or has no convolution to quantize.
    """

    name = 'calibration'

    def __init__(self, model_path: Path) -> None:
        self._card = ModelCard.load_for(model_path)
        model = load_model(model_path)
        self._tensors = quantized_tensors(model)
        if not self._tensors:
            raise SelfOccError(
                f'model {model_path} has no convolution on its images to quantize: use fp16'
            )
        self._histograms = {name: ActivationHistogram() for name in self._tensors}
        self._session = _session(model, self._tensors)

    @property
    def card(self) -> ModelCard:
        """Card of the model."""
        return self._card

    def infer(self, inputs: ModelInputs) -> ModelOutputs:
        """Run the model once and note the values."""
        outputs = ['sdf', 'depth', 'semantics'] if self._card.classes else ['sdf', 'depth']
        found = self._session.run([*outputs, *self._tensors], feeds_of(inputs, self._card))
        for name, values in zip(self._tensors, found[len(outputs) :], strict=True):
            self._histograms[name].add(values)
        return ModelOutputs(*found[: len(outputs)])

    def scales(self) -> dict[str, float]:
        """Return the scale of each tensor for the values seen so far."""
        return {name: histogram.scale() for name, histogram in self._histograms.items()}


def _session(model: Any, tensors: Sequence[str]) -> Any:
    """Return a session that also gives the tensors, which a graph optimizer must not fuse away."""
    import onnxruntime as ort

    onnx = onnx_library()
    for name in tensors:
        model.graph.output.append(onnx.ValueInfoProto(name=name))
    options = ort.SessionOptions()
    options.log_severity_level = 3
    try:
        return ort.InferenceSession(
            model.SerializeToString(), options, providers=['CPUExecutionProvider']
        )
    except Exception as error:
        raise SelfOccError('ONNX Runtime cannot load the model: export it again') from error


def _frame_sets(drive: Drive, count: int) -> list[FrameSet]:
    """Return frame sets spread evenly over a drive."""
    anchor = drive.rig.names[0]
    stamps_ns = [stamp_ns_of(m) for camera, m in image_messages(drive) if camera == anchor]
    if not stamps_ns:
        raise SelfOccError(f'drive {drive.path} has no image of camera "{anchor}": record them')
    count = min(count, len(stamps_ns))
    chosen = [stamps_ns[(2 * k + 1) * len(stamps_ns) // (2 * count)] for k in range(count)]
    return [FrameSet(stamp_ns, frames) for stamp_ns, frames in frames_near(drive, chosen).items()]
