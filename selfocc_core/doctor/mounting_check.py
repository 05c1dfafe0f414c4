"""Whether the places and directions of the cameras can be those of a vehicle."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from selfocc_core.cameras import Camera, Rig
from selfocc_core.doctor.finding import Finding, error, warning

_FARTHEST_M, _HIGHEST_M = 30.0, 5.0
_STEEPEST_UP_DEG, _STEEPEST_DOWN_DEG = 60.0, -75.0
_ROLLED_DEG = 30.0
_SAME_PLACE_M, _SAME_DIRECTION_DEG = 0.02, 2.0
_NOT_OPTICAL = 'an optical frame has z forward, x right, y down; is this the body frame?'
# Axis and sign of the direction that a word in a camera's name promises (x forward, y left).
_DIRECTIONS = {'front': (0, 1), 'back': (0, -1), 'rear': (0, -1), 'left': (1, 1), 'right': (1, -1)}


def heading_deg(camera: Camera) -> float:
    """Return where a camera looks: 0 ahead, 90 to the left."""
    x, y, _ = _axis(camera)
    return float(np.degrees(np.arctan2(y, x)))


def elevation_deg(camera: Camera) -> float:
    """Return how far a camera looks up."""
    return float(np.degrees(np.arcsin(np.clip(_axis(camera)[2], -1.0, 1.0))))


def mounting_faults(camera: Camera) -> Iterator[Finding]:
    """Yield what cannot be right about the place and the direction of a camera."""
    subject, rotation = f'camera {camera.name}', camera.ego_from_camera[:3, :3]
    if not np.allclose(rotation @ rotation.T, np.eye(3), atol=1e-3):
        yield error(subject, 'its rotation is not orthogonal: give a proper transform')
    elif np.linalg.det(rotation) < 0:
        yield error(subject, 'its rotation is mirrored (determinant -1): swap no single axis')
    yield from _place_faults(subject, camera.ego_from_camera[:3, 3])
    yield from _direction_faults(subject, camera)


def _axis(camera: Camera) -> NDArray[np.float64]:
    return np.asarray(camera.ego_from_camera[:3, 2], np.float64)


def _place_faults(subject: str, place_m: NDArray[np.float64]) -> Iterator[Finding]:
    x, y, z = place_m
    if np.abs(place_m).max() > _FARTHEST_M:
        yield error(
            subject,
            f"it sits at ({x:.1f}, {y:.1f}, {z:.1f}) m in the vehicle's frame: give metres, from "
            'base_link',
        )
    elif z <= 0:
        yield error(
            subject,
            f'it sits {-z:.2f} m below the ground: base_link must lie on the ground, below the '
            'rear axle',
        )
    elif z > _HIGHEST_M:
        yield warning(subject, f'it sits {z:.1f} m above the ground: is that so?')


def _direction_faults(subject: str, camera: Camera) -> Iterator[Finding]:
    elevation, rotation = elevation_deg(camera), camera.ego_from_camera[:3, :3]
    if elevation > _STEEPEST_UP_DEG:
        yield error(subject, f'it looks {elevation:.0f}° up, at the sky: {_NOT_OPTICAL}')
    elif elevation < _STEEPEST_DOWN_DEG:
        yield warning(
            subject, f'it looks {-elevation:.0f}° down, at the ground: is that so? {_NOT_OPTICAL}'
        )
    elif rotation[2, 1] > 0:
        yield error(
            subject,
            f'its image is upside down: turn the images, or correct the rotation; {_NOT_OPTICAL}',
        )
    elif abs(roll := np.degrees(np.arcsin(np.clip(rotation[2, 0], -1, 1)))) > _ROLLED_DEG:
        yield warning(
            subject,
            f'its image is rolled by {abs(roll):.0f}°: the model expects upright images; '
            f'{_NOT_OPTICAL}',
        )
    yield from _name_faults(subject, camera)


def _name_faults(subject: str, camera: Camera) -> Iterator[Finding]:
    """Yield a warning if a camera looks away from where its name says."""
    for word in camera.name.split('_'):
        index, sign = _DIRECTIONS.get(word, (0, 0))
        if sign * _axis(camera)[index] < -0.3:
            yield warning(
                subject,
                f'it looks {round(heading_deg(camera)):+d}° from ahead (left is positive), away '
                f'from the {word}: are y or the angles mirrored, or two cameras swapped?',
            )
            return


def twins(rig: Rig) -> Iterator[Finding]:
    """Yield pairs of cameras at the same place with the same direction."""
    for one, other in combinations(rig, 2):
        apart_m = np.linalg.norm(one.ego_from_camera[:3, 3] - other.ego_from_camera[:3, 3])
        cosine = np.clip(_axis(one) @ _axis(other), -1.0, 1.0)
        if apart_m < _SAME_PLACE_M and np.degrees(np.arccos(cosine)) < _SAME_DIRECTION_DEG:
            yield error(
                f'camera {other.name}',
                f'it sits where camera {one.name} does and looks the same way: give each its own '
                'transform',
            )
