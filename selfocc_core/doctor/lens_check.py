"""Whether intrinsics and distortion can be those of a lens."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from selfocc_core.cameras import Camera
from selfocc_core.doctor.finding import Finding, error, warning

_NARROWEST_DEG, _WIDE_DEG = 15.0, 100.0
_CENTRAL = 0.25  # share of the side by which a principal point may be off the middle
_LONGEST_RATIO = 1.1  # of the focal lengths
_STEPS = 2000


def field_of_view_deg(camera: Camera) -> float:
    """Return the horizontal angle that the image covers, by its lens model."""
    edges = np.array([-0.5, camera.width - 0.5])
    distances = np.abs(edges - camera.image_from_camera[0, 2]) / camera.image_from_camera[0, 0]
    if camera.distortion_model != 'equidistant':
        return float(np.degrees(np.arctan(distances)).sum())
    theta, distorted = _equidistant_curve(camera)
    return float(np.degrees(np.interp(distances, distorted, theta)).sum())


def lens_faults(camera: Camera) -> Iterator[Finding]:
    """Yield what cannot be right about the intrinsics of a camera."""
    subject, k = f'camera {camera.name}', camera.image_from_camera
    yield from _principal_point_faults(subject, camera)
    ratio = k[0, 0] / k[1, 1]
    if max(ratio, 1 / ratio) > _LONGEST_RATIO:
        yield warning(
            subject,
            f'fx is {k[0, 0]:.0f} and fy {k[1, 1]:.0f} pixels: was K scaled with its image?',
        )
    yield from _angle_faults(subject, camera)
    if not _reaches_corner(camera):
        yield warning(
            subject,
            f'its {camera.distortion_model} coefficients fold the image before its corner: '
            'calibrate with points out to the corners, or use another lens model',
        )


def _principal_point_faults(subject: str, camera: Camera) -> Iterator[Finding]:
    size = np.array([camera.width, camera.height])
    center = camera.image_from_camera[:2, 2]
    words = f'its principal point ({center[0]:.0f}, {center[1]:.0f})'
    if np.any(center < 0) or np.any(center > size - 1):
        yield error(
            subject,
            f'{words} lies outside its {camera.width}x{camera.height} image: K is for another '
            'size; scale it, or correct the size',
        )
    elif np.any(np.abs(center - (size - 1) / 2) > _CENTRAL * size):
        yield warning(
            subject,
            f'{words} is far from the middle of its {camera.width}x{camera.height} image: is K '
            'for another size?',
        )


def _angle_faults(subject: str, camera: Camera) -> Iterator[Finding]:
    angle_deg = field_of_view_deg(camera)
    if angle_deg < _NARROWEST_DEG:
        yield warning(subject, f'it sees only {angle_deg:.0f}° across: is K for another size?')
    elif angle_deg > _WIDE_DEG and not any(camera.distortion):
        yield warning(
            subject,
            f'it sees {angle_deg:.0f}° across without distortion: unless its images are '
            'rectified, calibrate the lens',
        )


def _reaches_corner(camera: Camera) -> bool:
    """Whether the lens model grows steadily out to the farthest corner of the image."""
    if not any(camera.distortion):
        return True
    k, size = camera.image_from_camera, np.array([camera.width, camera.height])
    farthest = np.maximum(k[:2, 2], size - 1 - k[:2, 2]) / k[[0, 1], [0, 1]]
    curve = _equidistant_curve if camera.distortion_model == 'equidistant' else _radial_curve
    _, distorted = curve(camera)
    return bool(distorted[-1] >= np.linalg.norm(farthest))


def _equidistant_curve(camera: Camera) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return angles from the axis and where they fall, as far as that grows."""
    theta = np.linspace(0.0, np.pi, _STEPS)
    k1, k2, k3, k4 = camera.distortion or (0.0,) * 4
    squared = theta**2
    return _growing(
        theta, theta * (1 + squared * (k1 + squared * (k2 + squared * (k3 + squared * k4))))
    )


def _radial_curve(camera: Camera) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return distances from the axis before and after distortion, as far as that grows."""
    radius = np.linspace(0.0, 10.0, _STEPS)
    k1, k2, _, _, k3, k4, k5, k6 = (*camera.distortion, *(0.0,) * 8)[:8]
    squared = radius**2
    above = 1 + squared * (k1 + squared * (k2 + squared * k3))
    below = 1 + squared * (k4 + squared * (k5 + squared * k6))
    return _growing(radius, radius * above / np.where(below > 0, below, np.inf))


def _growing(
    x: NDArray[np.float64], y: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    falls = np.flatnonzero(np.diff(y) <= 0)
    end = int(falls[0]) + 1 if len(falls) else len(x)
    return x[:end], y[:end]
