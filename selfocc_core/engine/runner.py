"""What runs an engine file, for the check that every engine must pass."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from selfocc_core.backends import ModelInputs, ModelOutputs


class EngineRunner(Protocol):
    """Opens engine files on the device that they were built for."""

    def run(self, engine: Path, inputs: ModelInputs) -> ModelOutputs:
        """Open an engine, run it once and let it go.

        Raises:
            SelfOccError: The engine does not load or does not run on this device.
        """
