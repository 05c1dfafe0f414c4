"""TensorRT on an NVIDIA GPU: an engine built on the device from the model."""

from __future__ import annotations

import os
from contextlib import ExitStack
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from selfocc_core.backends import ModelInputs, ModelOutputs
from selfocc_core.backends.closing import closed_on_error
from selfocc_core.backends.engine_session import EngineSession
from selfocc_core.backends.interface import check_interface
from selfocc_core.cuda.driver import CudaDriver, open_driver
from selfocc_core.errors import SelfOccError
from selfocc_core.model_card import ModelCard

if TYPE_CHECKING:
    from collections.abc import Callable

    from selfocc_core.engine.builder import AcceptedEngine
    from selfocc_core.engine.parity import Precision


class TensorRtBackend:
    """A model executed by TensorRT.

    The engine comes from the cache, or is built, which takes minutes; ``selfocc build-engine``
    does it ahead. Engines lie in :func:`engine_folder`.

    Args:
        model_path: The ``.onnx`` file; card and golden file lie beside it.
        precision: Precision of the features.
        report: Is told in sentences what happens while an engine is built.

    Raises:
        SelfOccError: TensorRT, the device or a file is missing, the model and its card disagree,
            or no engine gives the golden outputs.
    """

    name = 'tensorrt'

    def __init__(
        self,
        model_path: Path,
        precision: Precision,
        report: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._card, self._precision = ModelCard.load_for(model_path), precision
        trt = tensorrt_with_plugins()
        self._opened = ExitStack()
        with closed_on_error(self._opened):
            self.driver = open_driver()
            self._opened.callback(self.driver.close)
            with self.driver.current():
                self.engine = _engine(model_path, precision, self.driver, report)
            self.session = EngineSession(self.driver, trt, self.engine.path)
            self._opened.callback(self.session.close)
            check_interface(self.session.shapes, self._card, model_path)

    @property
    def card(self) -> ModelCard:
        """Card of the loaded model."""
        return self._card

    @property
    def details(self) -> dict[str, str]:
        """What the engine is, why no better one was taken, and whether a CUDA graph is used."""
        return {
            'engine': f'{self.engine.mode}, {self._precision}',
            'CUDA graph': self.session.graph_state,
            **{f'engine not taken: {each.mode}': each.reason for each in self.engine.reasons},
        }

    def infer(self, inputs: ModelInputs) -> ModelOutputs:
        """Run the model once.

        Raises:
            SelfOccError: The device refuses.
        """
        return self.session.run(inputs)

    def close(self) -> None:
        """Give back the engine, its memory and the device; later calls do nothing."""
        self._opened.close()


class DeviceEngineRunner:
    """Runs engine files, for the check that every engine must pass before it is used.

    Args:
        driver: The device.
    """

    def __init__(self, driver: CudaDriver) -> None:
        self._driver = driver

    def run(self, engine: Path, inputs: ModelInputs) -> ModelOutputs:
        """Open an engine, run it once and let it go.

        Raises:
            SelfOccError: The engine does not load or does not run on this device.
        """
        session = EngineSession(self._driver, tensorrt_with_plugins(), engine, use_graph=False)
        with closed_on_error(session):
            outputs = session.run(inputs)
        session.close()
        return outputs


def tensorrt_with_plugins() -> Any:
    """Return the module ``tensorrt`` with all plugins registered that an engine may need.

    Raises:
        SelfOccError: It is not installed.
    """
    try:
        trt = import_module('tensorrt')
    except ImportError as error:
        raise SelfOccError(
            f'TensorRT for Python cannot be imported ({error}): install it, on a Jetson with '
            '"apt install python3-libnvinfer"'
        ) from error
    from selfocc_core.plugin.registration import register_plugins

    if hasattr(trt, 'init_libnvinfer_plugins'):  # NVIDIA's own
        trt.init_libnvinfer_plugins(None, '')
    register_plugins(trt)
    return trt


def engine_folder() -> Path:
    """Return where engines are kept: in the user's cache."""
    cache = os.environ.get('XDG_CACHE_HOME')
    return (Path(cache) if cache else Path.home() / '.cache') / 'selfocc' / 'engines'


def _engine(
    model_path: Path,
    precision: Precision,
    driver: CudaDriver,
    report: Callable[[str], None],
) -> AcceptedEngine:
    from selfocc_core.engine.builder import engine_for

    runner = DeviceEngineRunner(driver)
    return engine_for(model_path, precision, engine_folder(), runner, report=report)
