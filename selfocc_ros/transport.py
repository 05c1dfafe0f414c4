"""How images travel: quality of service, and the environment that carries large messages."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSProfile, ReliabilityPolicy
from rclpy.qos_overriding_options import QoSOverridingOptions

from selfocc_core.errors import SelfOccError

PROFILE = 'fastdds_large_data.xml'

# glibc hands blocks of this size back to the system and faults them in again for each image
# unless told not to: three times the processor time for the same images.
MALLOC = {
    'MALLOC_MMAP_THRESHOLD_': '536870912',
    'MALLOC_TRIM_THRESHOLD_': '536870912',
    'MALLOC_TOP_PAD_': '67108864',
}


def sensor_qos() -> QoSProfile:
    """Return the QoS for camera images: matches reliable and best-effort drivers alike."""
    return _qos(2, ReliabilityPolicy.BEST_EFFORT, DurabilityPolicy.VOLATILE)


def odometry_qos() -> QoSProfile:
    """Return the QoS for odometry: matches every publisher; two seconds at 50 Hz may wait."""
    return _qos(100, ReliabilityPolicy.BEST_EFFORT, DurabilityPolicy.VOLATILE)


def output_qos() -> QoSProfile:
    """Return the QoS of what the node publishes: matches every volatile subscriber."""
    return _qos(1, ReliabilityPolicy.RELIABLE, DurabilityPolicy.VOLATILE)


def reliable_qos(depth: int = 10) -> QoSProfile:
    """Return the QoS for small messages of which each counts."""
    return _qos(depth, ReliabilityPolicy.RELIABLE, DurabilityPolicy.VOLATILE)


def latched_qos(depth: int = 100) -> QoSProfile:
    """Return the QoS of /tf_static: late subscribers get what was published before."""
    return _qos(depth, ReliabilityPolicy.RELIABLE, DurabilityPolicy.TRANSIENT_LOCAL)


def overridable() -> QoSOverridingOptions:
    """Let the parameters ``qos_overrides.<topic>...`` change a topic's quality of service."""
    return QoSOverridingOptions.with_default_policies()


def _qos(depth: int, reliability: ReliabilityPolicy, durability: DurabilityPolicy) -> QoSProfile:
    return QoSProfile(
        history=HistoryPolicy.KEEP_LAST,
        depth=depth,
        reliability=reliability,
        durability=durability,
    )


def config_file(name: str) -> Path:
    """Return a file of ``config/``: beside the sources, or under ``share`` of the installation.

    Raises:
        SelfOccError: The installation is incomplete.
    """
    for folder in Path(__file__).resolve().parents:
        for candidate in (folder / 'config' / name, folder / 'share/selfocc_ros/config' / name):
            if candidate.is_file():
                return candidate
    raise SelfOccError(f'{name} is not installed with selfocc_ros: install the package again')


def large_message_environment() -> dict[str, str]:
    """Return the variables with which Fast DDS delivers large images without loss.

    By default its shared memory segment is smaller than one image and more than half of the images
    are lost. Both names of the variable are set: Fast DDS 2 (Jazzy) and 3 (Kilted) differ. What
    the user has set already stays.
    """
    profile = str(config_file(PROFILE))
    wanted = {
        'FASTDDS_DEFAULT_PROFILES_FILE': profile,
        'FASTRTPS_DEFAULT_PROFILES_FILE': profile,
        **MALLOC,
    }
    return {name: os.environ.get(name, value) for name, value in wanted.items()}


def child_environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return the environment for a child process that sends or receives images."""
    return {**os.environ, **large_message_environment(), **(extra or {})}
