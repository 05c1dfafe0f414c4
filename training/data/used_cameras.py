"""Which cameras of a drive the network takes."""

from __future__ import annotations

from selfocc_core.cameras import Rig
from selfocc_core.errors import SelfOccError
from training.config import InputConfig


def used_cameras(rig: Rig, config: InputConfig, drive: str) -> Rig:
    """Return the cameras of a rig that a configuration names, in its order; without names all.

    Args:
        rig: The cameras of the drive.
        config: Images that the network takes.
        drive: What the drive is called in errors.

    Raises:
        SelfOccError: A named camera is missing, or their number is not that of the network.
    """
    missing = [name for name in config.camera_names if name not in rig.names]
    if missing:
        raise SelfOccError(
            f'{drive} has no camera "{missing[0]}": choose of {", ".join(rig.names)} with '
            '--config.model.input.camera-names'
        )
    if config.camera_names:
        rig = Rig(tuple(rig[name] for name in config.camera_names))
    if len(rig) != config.cameras:
        remedy = (
            'name those to use with --config.model.input.camera-names'
            if len(rig) > config.cameras
            else 'record all of them, their camera_info below one namespace'
        )
        raise SelfOccError(
            f'{drive} has {len(rig)} cameras ({", ".join(rig.names)}), the preset takes '
            f'{config.cameras}: {remedy}, or choose another preset'
        )
    return rig
