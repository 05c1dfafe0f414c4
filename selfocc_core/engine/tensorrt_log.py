"""What TensorRT says, kept to be told with a refusal."""

from __future__ import annotations

from typing import Any

_LONGEST = 400


def collecting_logger(trt: Any, errors: list[str], everything: list[str]) -> Any:
    """Return a logger for TensorRT.

    Args:
        trt: The module.
        errors: Receives its errors, cut to a readable length.
        everything: Receives all that it says.
    """

    class CollectingLogger(trt.ILogger):  # type: ignore[misc]
        def __init__(self) -> None:
            trt.ILogger.__init__(self)

        def log(self, severity: Any, message: str) -> None:
            if severity in {trt.ILogger.Severity.ERROR, trt.ILogger.Severity.INTERNAL_ERROR}:
                errors.append(message[:_LONGEST])
            everything.append(message)

    return CollectingLogger()
