"""Evaluation: a model over a recorded drive, scored by whatever the drive knows of the truth."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from selfocc_core.errors import SelfOccError

if TYPE_CHECKING:
    from selfocc_core.cameras import Rig
    from selfocc_core.evaluation.replay import ReplayStatistics


@dataclass(frozen=True)
class Evaluate:
    """Run a model over a recorded drive and say how good it is.

    In this process by default: every frame set, the same each time, as fast as the machine can.
    With --through-node as on the vehicle: over DDS into the node.

    Example: selfocc evaluate --bag drive.mcap --model mine.onnx --out out/evaluation
    """

    bag: Path
    """The drive: images, camera_info, /tf_static, odometry; as truth LiDAR, depth or voxels."""
    out: Path
    """Folder for metrics.json, report.md, report.html and occupancy.mcap."""
    model: Path | None = None
    """Model file (.onnx, its card beside it); default is the shipped model."""
    through_node: bool = False
    """Play the drive over DDS into the node instead, at its own pace; needs ROS."""
    threads: int | None = None
    """Threads of the runtime; default: every core. Only without --through-node."""

    def run(self) -> None:
        """Process the drive and write the report.

        Raises:
            SelfOccError: Drive or model cannot be used, or there is no ROS.
        """
        from selfocc_core.evaluation.replay_report import write_report
        from selfocc_core.evaluation.summary import print_summary
        from selfocc_core.files import move_files, temporary_folder_beside
        from selfocc_core.model_card import ModelCard
        from selfocc_core.rig_from_bag import rig_from_bag
        from selfocc_core.shipped_model import shipped_model

        self._check()
        model = shipped_model() if self.model is None else self.model
        ModelCard.load_for(model)
        rig = rig_from_bag(self.bag)
        with temporary_folder_beside(self.out) as folder:
            process = self._through_node if self.through_node else self._in_process
            statistics = process(rig, model, folder)
            metrics = write_report(self.bag, folder / 'occupancy.mcap', statistics, folder)
            move_files(folder, self.out)
        report = {'Report': self.out / 'report.html', 'Numbers': self.out / 'metrics.json'}
        print_summary(metrics, 'selfocc evaluate', report)

    def _check(self) -> None:
        if self.through_node and self.threads is not None:
            raise SelfOccError('--threads is for this process: leave it out with --through-node')
        if self.through_node and importlib.util.find_spec('rclpy') is None:
            raise SelfOccError(
                'there is no rclpy for --through-node: source a ROS 2 installation, or pip '
                'install "selfocc_ros[ros]"'
            )

    def _in_process(self, rig: Rig, model: Path, folder: Path) -> ReplayStatistics:
        from selfocc_core.backends import open_backend
        from selfocc_core.evaluation.in_process import process_drive

        backend = open_backend(model, self.threads)
        return process_drive(self.bag, rig, backend, model, folder / 'occupancy.mcap')

    def _through_node(self, rig: Rig, model: Path, folder: Path) -> ReplayStatistics:
        from selfocc_ros.replay import replay

        return replay(self.bag, rig, model, folder / 'occupancy.mcap', folder / 'node.log')
