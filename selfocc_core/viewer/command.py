"""The verb ``selfocc view``."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tyro.conf import Positional

from selfocc_core.errors import SelfOccError

if TYPE_CHECKING:
    from selfocc_core.evaluation.drive import Drive
    from selfocc_core.evaluation.recording import Recording


@dataclass(frozen=True)
class View:
    """Look at a drive and at what the node made of it.

    Example: the drive of the demo in the rerun viewer, and one moment of it as a picture

        selfocc view out/demo/drive.mcap
        selfocc view out/demo/drive.mcap --png moment.png --at 4
    """

    drive: Positional[Path]
    """Recorded or generated drive: a .mcap file or a bag folder."""
    recording: Path | None = None
    """What the node published; default is occupancy.mcap beside the drive, where there is one."""
    png: Path | None = None
    """Write a picture of one moment instead of opening the viewer."""
    rrd: Path | None = None
    """Write a file for the rerun viewer instead of opening it."""
    at: float | None = None
    """Moment of the picture, in seconds since the drive began; default is the middle."""

    def run(self) -> None:
        """Show the drive, or write the files.

        Raises:
            SelfOccError: Options contradict each other, a bag cannot be used, or there is no
                display.
        """
        self._check_options()
        if self.png is not None:
            self._write_picture(self.png)
        if self.rrd is not None:
            self._write_rrd(self.rrd)
        if self.png is None and self.rrd is None:
            self._open_viewer()

    def _check_options(self) -> None:
        for path, suffix in ((self.png, '.png'), (self.rrd, '.rrd')):
            if path is not None and path.suffix != suffix:
                raise SelfOccError(f'{path} must end in {suffix}')
        if self.at is not None and self.png is None:
            raise SelfOccError('--at chooses the moment of a picture: give --png OUT.png with it')

    def _read(self) -> tuple[Drive, Recording]:
        from selfocc_core.evaluation.drive import read_drive

        return read_drive(self.drive), _read_recording(self._recording_path())

    def _recording_path(self) -> Path | None:
        beside = self.drive.parent / 'occupancy.mcap'
        if self.recording is None and beside.exists():
            return beside
        return self.recording

    def _write_picture(self, path: Path) -> None:
        from selfocc_core.files import write_atomically
        from selfocc_core.viewer.picture import picture
        from selfocc_core.viewer.recorded_grid import recorded_grid
        from selfocc_core.viewer.snapshot import snapshot
        from selfocc_core.visualization.png import encode_png

        drive, recording = self._read()
        moment = snapshot(drive, recording, self.at)
        clouds = recording.occupancy.values()
        grid = recorded_grid(clouds) if clouds else None
        title = f'{drive.path.name}, {moment.seconds:.1f} s into the drive'
        write_atomically(path, encode_png(picture(moment, title, drive.rig, grid)))
        print(path)

    def _write_rrd(self, path: Path) -> None:
        from selfocc_core.viewer.rerun_log import write_rrd

        write_rrd(*self._read(), path)
        print(path)

    def _open_viewer(self) -> None:
        from selfocc_core.viewer.rerun_log import open_viewer

        if sys.platform == 'linux' and not {'DISPLAY', 'WAYLAND_DISPLAY'} & os.environ.keys():
            raise SelfOccError(
                'there is no display: write a picture with --png OUT.png, or a file for the '
                'viewer with --rrd OUT.rrd'
            )
        open_viewer(*self._read())


def _read_recording(path: Path | None) -> Recording:
    from selfocc_core.bags import BagReader
    from selfocc_core.evaluation.recording import POINTS_TOPIC, Recording, read_recording

    if path is None:
        return Recording({}, {})
    with BagReader(path) as bag:
        bag.require([POINTS_TOPIC])
    return read_recording(path)
