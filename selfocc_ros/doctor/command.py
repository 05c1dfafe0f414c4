"""The verb ``selfocc doctor``."""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from selfocc_core.errors import SelfOccError

if TYPE_CHECKING:
    from rich.console import Console

    from selfocc_core.doctor.finding import Finding
    from selfocc_core.model_card import ModelCard


@dataclass(frozen=True)
class Doctor:
    """Say why nothing appears, or check a bag or a rig before driving.

    Looks from outside at a running node: its state, the topics it reads and who publishes them,
    quality of service, calibration, what it loses and why. A bag or a rig file is checked without
    ROS. The exit status is 0 if there is no error.

    Example: a running node; a recorded drive; the calibration of a vehicle

        selfocc doctor
        selfocc doctor --bag drive.mcap --json findings.json
        selfocc doctor --rig rig.yaml --model mine.onnx
    """

    node: str = '/surround'
    """Full name of the running node."""
    bag: Path | None = None
    """Check this recorded drive instead: a .mcap file or a bag folder."""
    rig: Path | None = None
    """Check this rig file instead; with a bag, its cameras instead of the bag's calibration."""
    model: Path | None = None
    """Model file (.onnx, its card beside it) that rig or bag are for; default is the shipped."""
    json: Path | None = None
    """Write the findings to this file, too."""
    seconds: float = 5.0
    """How long to look at a running node; that all is well is seen earlier."""

    def run(self) -> None:
        """Look, show and write.

        Raises:
            SelfOccError: An option has no meaning, there is no ROS, the file cannot be written, or
                a finding is an error: then it is the first of these.
        """
        from rich.console import Console

        from selfocc_core.doctor.finding import first_error
        from selfocc_core.doctor.page import show, to_json
        from selfocc_core.files import write_atomically

        console = Console()
        checked, findings = self._look(console)
        show(checked, findings, console)
        if self.json is not None:
            write_atomically(self.json, to_json(checked, findings))
        reason = first_error(findings)
        if reason is not None:
            raise SelfOccError(str(reason))

    def _look(self, console: Console) -> tuple[str, Sequence[Finding]]:
        if self.bag is not None:
            return f'bag {self.bag}', self._look_at_bag(self.bag)
        if self.rig is not None:
            return f'rig {self.rig}', self._look_at_rig(self.rig)
        return f'node {self.node}', self._look_at_node(console)

    def _look_at_bag(self, bag: Path) -> Sequence[Finding]:
        from selfocc_core.cameras import Rig
        from selfocc_core.doctor.bag_check import check_bag

        rig = None if self.rig is None else Rig.from_yaml(self.rig)
        return check_bag(bag, rig, self._card())

    def _look_at_rig(self, rig: Path) -> Sequence[Finding]:
        from selfocc_core.doctor.rig_check import check_rig

        return check_rig(rig, self._card())

    def _card(self) -> ModelCard:
        from selfocc_core.model_card import ModelCard
        from selfocc_core.shipped_model import shipped_model

        return ModelCard.load_for(self.model or shipped_model())

    def _look_at_node(self, console: Console) -> Sequence[Finding]:
        if self.model is not None:
            raise SelfOccError('--model needs --bag or --rig: a running node has its own')
        if not (math.isfinite(self.seconds) and self.seconds > 0):
            raise SelfOccError('--seconds must be more than 0')
        if not self.node.startswith('/') or self.node.endswith('/'):
            raise SelfOccError(f'--node {self.node} is not a full name: give one like /surround')
        if importlib.util.find_spec('rclpy') is None:
            raise SelfOccError(
                'there is no rclpy to look at a running node: source a ROS 2 installation, or '
                'check a bag with --bag or a rig file with --rig'
            )
        from rich.status import Status

        from selfocc_ros.doctor.outside import examine

        with Status('', console=console) as status:
            return examine(self.node, self.seconds, status.update)
