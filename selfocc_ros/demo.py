"""The demonstration: a drive goes through DDS and the node, and a report says how good it was."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from selfocc_core.errors import SelfOccError

_SELFOCC = 'import sys; from selfocc_core.cli import main; sys.exit(main())'


@dataclass(frozen=True)
class Demo:
    """Play a drive into the node, record what it publishes, and score it.

    Example: a generated drive of an unseen world, and the real images of a nuScenes tree

        selfocc demo
        selfocc demo --nuscenes /data/nuscenes --out out/nuscenes
    """

    out: Path = Path('out/demo')
    """Folder for metrics.json, report.html, occupancy.mcap, and the drive that was played."""
    seed: int = 7
    """World of the generated drive; those from 1000 on are for training."""
    seconds: float = 10.0
    """Length of the generated drive."""
    nuscenes: Path | None = None
    """Play the keyframes of this nuScenes tree instead of a generated drive."""
    model: Path | None = None
    """Model file (.onnx, its card beside it); default is the shipped model."""
    rate: float = 1.0
    """Pace of the replay: 2 is twice as fast as the drive, as far as the machine can."""

    def run(self) -> None:
        """Make the drive, replay it, write the report.

        Raises:
            SelfOccError: There is no ROS, or drive or model cannot be used.
        """
        _check_ros()
        from selfocc_core.evaluation.summary import print_summary
        from selfocc_core.files import move_files, temporary_folder_beside

        model = self._model()
        with temporary_folder_beside(self.out) as folder:
            drive = folder / 'drive.mcap'
            self._make_drive(drive)
            metrics = _replay_and_report(drive, model, self.rate, folder)
            move_files(folder, self.out)
        files = {'Pictures': 'report.html', 'Numbers': 'metrics.json', 'Topics': 'occupancy.mcap'}
        named = {title: self.out / name for title, name in files.items()}
        print_summary(metrics, 'selfocc demo', named)

    def _model(self) -> Path:
        from selfocc_core.model_card import ModelCard
        from selfocc_core.shipped_model import shipped_model

        model = shipped_model() if self.model is None else self.model
        ModelCard.load_for(model)
        return model

    def _make_drive(self, drive: Path) -> None:
        if self.nuscenes is not None:
            from selfocc_core.datasets.nuscenes import write_bag

            write_bag(self.nuscenes, drive)
            return
        options = {'--seed': self.seed, '--seconds': self.seconds, '--out': drive}
        arguments = [str(part) for option in options.items() for part in option]
        made = subprocess.run([sys.executable, '-c', _SELFOCC, 'synth', *arguments], check=False)
        if made.returncode != 0:
            raise SelfOccError('the drive could not be generated: see the message above')


def _check_ros() -> None:
    if importlib.util.find_spec('rclpy') is None:
        raise SelfOccError(
            'there is no rclpy: source a ROS 2 installation, or pip install "selfocc_ros[ros]"'
        )


def _replay_and_report(
    drive: Path, model: Path, rate: float, folder: Path
) -> Mapping[str, object]:
    from selfocc_core.evaluation.replay_report import write_report
    from selfocc_core.rig_from_bag import rig_from_bag
    from selfocc_ros.replay import replay

    rig = rig_from_bag(drive)
    rig.to_yaml(folder / 'rig.yaml')
    recording = folder / 'occupancy.mcap'
    statistics = replay(drive, rig, model, recording, folder / 'node.log', rate)
    return write_report(drive, recording, statistics, folder)
