"""The verb `selfocc synth`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Synth:
    """Generate a drive through a procedural street as a ROS 2 bag.

    Six cameras with staggered stamps, camera_info, tf, odometry and a LiDAR; depth, classes and
    voxels as ground truth at 2 Hz. The same seed gives the same messages.

    Example: selfocc synth --seed 7 --seconds 10 --out drive.mcap --contact-sheet drive.png
    """

    seed: int
    """Number of the world: 0 or above."""
    out: Path
    """Bag to write: a .mcap file, or a directory for a rosbag2 with metadata.yaml."""
    seconds: float = 10.0
    """Length of the drive."""
    width: int = 352
    """Image width in pixels."""
    height: int = 198
    """Image height in pixels."""
    rate_hz: float = 10.0
    """Frame sets per second."""
    samples_per_pixel: int = 4
    """Rays per pixel: 1, 4, 9 or 16."""
    ground_truth: bool = True
    """Write depth, classes and voxels at 2 Hz."""
    all_semantics: bool = False
    """Write classes of every frame set, not at 2 Hz only; pseudo-labels are made of them."""
    lidar: bool = True
    """Write LiDAR sweeps."""
    raw: bool = False
    """Write raw images instead of JPEG."""
    workers: int = 0
    """Threads; 0 means one per core."""
    contact_sheet: Path | None = None
    """Write a PNG that shows the drive."""

    def run(self) -> None:
        """Render the drive.

        Raises:
            SelfOccError: an option cannot be used or a file cannot be written.
        """
        from training.data.synthetic.contact_sheet import write_contact_sheet
        from training.data.synthetic.drive import DriveConfig, DriveRenderer, write_drive

        drive = DriveRenderer(
            DriveConfig(
                seed=self.seed,
                seconds=self.seconds,
                width=self.width,
                height=self.height,
                rate_hz=self.rate_hz,
                samples_per_pixel=self.samples_per_pixel,
                ground_truth=self.ground_truth,
                all_semantics=self.all_semantics,
                lidar=self.lidar,
                raw=self.raw,
                workers=self.workers,
            )
        )
        if self.contact_sheet is not None:
            write_contact_sheet(drive, self.contact_sheet)
        write_drive(drive, self.out)
        print(f'{self.out}: {drive.timing.count} frame sets of world {self.seed}')
