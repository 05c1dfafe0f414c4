"""What TensorRT says, kept to be told with a refusal."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from selfocc_core.plugin.last_error import take_last_error

_LONGEST = 400
_MOST_ERRORS = 20


def _nobody(message: str) -> None:
    """Hear nothing."""


def collecting_logger(trt: Any, errors: list[str], hear: Callable[[str], None] = _nobody) -> Any:
    """Return a logger for TensorRT.

    Args:
        trt: The module.
        errors: Receives its errors, cut to a readable length; the first few and the newest stay.
        hear: Is told all that it says but what is for those who debug TensorRT: megabytes.
    """
    severities = trt.ILogger.Severity

    class CollectingLogger(trt.ILogger):  # type: ignore[misc]
        def __init__(self) -> None:
            trt.ILogger.__init__(self)

        def log(self, severity: Any, message: str) -> None:
            if severity in {severities.ERROR, severities.INTERNAL_ERROR}:
                del errors[_MOST_ERRORS - 1 :]
                errors.append(message[:_LONGEST])
            if severity != severities.VERBOSE:
                hear(message)

    return CollectingLogger()


def reason_from(errors: Sequence[str]) -> str | None:
    """Return why TensorRT failed: what a plugin of ours raised, and what itself said.

    Args:
        errors: What it said; the first often is the cause, the last the consequence.
    """
    reasons = [take_last_error(), *errors[:1], *errors[-1:]]
    return '; '.join(dict.fromkeys(filter(None, reasons))) or None
