"""Which runtime executes a model: the best that is seen to work."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from selfocc_core.backends import Backend, ModelInputs, ModelOutputs
from selfocc_core.backends.closing import closed_on_error
from selfocc_core.backends.interface import blank_inputs, check_outputs
from selfocc_core.engine.golden import Golden
from selfocc_core.engine.parity import DEFAULT_PRECISION, Precision, judge
from selfocc_core.errors import SelfOccError, sentence_of
from selfocc_core.model_card import ModelCard

BackendName = Literal['tensorrt', 'onnxruntime-cuda', 'onnxruntime-cpu']
BACKENDS: tuple[BackendName, ...] = ('tensorrt', 'onnxruntime-cuda', 'onnxruntime-cpu')
"""Best first."""

AUTO = 'auto'

Report = Callable[[str], None]


def _silent(sentence: str) -> None:
    """Tell nobody."""


class ClosableBackend(Backend, Protocol):
    """A runtime that can let its model go."""

    @property
    def details(self) -> Mapping[str, str]:
        """What else there is to say of how it runs the model, for diagnostics and reports."""

    def close(self) -> None:
        """Let the model and its memory go."""


@dataclass(frozen=True, eq=False)
class ChosenBackend:
    """The runtime that was chosen, and what speaks against the better ones.

    Attributes:
        backend: The runtime.
        rejected: Why each better runtime was not taken, in a sentence.
    """

    backend: ClosableBackend
    rejected: Mapping[str, str]

    @property
    def name(self) -> str:
        """Name of the runtime."""
        return self.backend.name

    @property
    def details(self) -> Mapping[str, str]:
        """What else there is to say of how it runs the model, for diagnostics and reports."""
        return self.backend.details

    @property
    def card(self) -> ModelCard:
        """Card of the loaded model."""
        return self.backend.card

    def infer(self, inputs: ModelInputs) -> ModelOutputs:
        """Run the model once."""
        return self.backend.infer(inputs)

    def close(self) -> None:
        """Let the model go."""
        self.backend.close()


def choose_backend(
    model_path: Path, threads: int | None, wanted: str, precision: Precision, report: Report
) -> ChosenBackend:
    """Return the wanted runtime, or of ``auto`` the first that runs the model.

    Args:
        model_path: The ``.onnx`` file; its card lies beside it.
        threads: Threads of a runtime on the CPU.
        wanted: One of ``BACKENDS``, or ``auto``.
        precision: Precision of the features in an engine of TensorRT.
        report: Is told in sentences what happens.

    Raises:
        SelfOccError: There is no runtime of that name, it does not run the model, or none does.
    """
    if wanted not in {AUTO, *BACKENDS}:
        names = ', '.join((AUTO, *BACKENDS))
        raise SelfOccError(f'there is no backend "{wanted}": give one of {names}')
    ModelCard.load_for(model_path)  # an unusable model is no reason to try the next runtime
    *better, last = BACKENDS if wanted == AUTO else (wanted,)
    rejected: dict[str, str] = {}
    for name in better:
        try:
            backend = proven_backend(name, model_path, threads, precision, report)
            return ChosenBackend(backend, rejected)
        except Exception as error:  # a better runtime that is broken must not keep the others off
            rejected[name] = sentence_of(error)
    backend = proven_backend(last, model_path, threads, precision, report)
    return ChosenBackend(backend, rejected)


def proven_backend(
    name: str,
    model_path: Path,
    threads: int | None,
    precision: Precision = DEFAULT_PRECISION,
    report: Report = _silent,
) -> ClosableBackend:
    """Return a runtime that has run the model once.

    On a GPU it must also give the golden outputs, where the model comes with some; on the CPU they
    were made.

    Args:
        name: One of ``BACKENDS``.
        model_path: The ``.onnx`` file; its card lies beside it.
        threads: Threads of a runtime on the CPU.
        precision: Precision of the features in an engine of TensorRT.
        report: Is told in sentences what happens.

    Raises:
        SelfOccError: It cannot, or computes something else.
    """
    backend = _OPENERS[name](model_path, threads, precision, report)
    with closed_on_error(backend):
        if name == 'onnxruntime-cpu' or not Golden.path_for(model_path).is_file():
            check_outputs(backend.infer(blank_inputs(backend.card)), backend.card)
        else:
            tolerance: Precision = precision if name == 'tensorrt' else 'fp16'
            _check_golden(backend, Golden.load_for(model_path), tolerance)
    return backend


def _check_golden(backend: ClosableBackend, golden: Golden, tolerance: Precision) -> None:
    verdict = judge(golden.outputs, backend.infer(golden.inputs), tolerance)
    if not verdict.accepted:
        raise SelfOccError(
            f'it does not compute what the model does ({verdict.refusal}): report this with the '
            'output of "selfocc device-check"'
        )


def _tensorrt(
    model_path: Path, threads: int | None, precision: Precision, report: Report
) -> ClosableBackend:
    from selfocc_core.backends.tensorrt import TensorRtBackend

    return TensorRtBackend(model_path, precision, report)


def _onnxruntime_cuda(
    model_path: Path, threads: int | None, precision: Precision, report: Report
) -> ClosableBackend:
    from selfocc_core.backends.onnxruntime import OnnxRuntimeBackend

    return OnnxRuntimeBackend(model_path, threads, cuda=True)


def _onnxruntime_cpu(
    model_path: Path, threads: int | None, precision: Precision, report: Report
) -> ClosableBackend:
    from selfocc_core.backends.onnxruntime import OnnxRuntimeBackend

    return OnnxRuntimeBackend(model_path, threads)


_OPENERS: dict[str, Callable[[Path, int | None, Precision, Report], ClosableBackend]] = {
    'tensorrt': _tensorrt,
    'onnxruntime-cuda': _onnxruntime_cuda,
    'onnxruntime-cpu': _onnxruntime_cpu,
}
