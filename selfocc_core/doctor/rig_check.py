"""Whether a rig can be that of a vehicle, and what a model sees through it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from selfocc_core.cameras import Camera, Rig
from selfocc_core.doctor.coverage_check import coverage
from selfocc_core.doctor.finding import Finding, error, ok
from selfocc_core.doctor.lens_check import field_of_view_deg, lens_faults
from selfocc_core.doctor.mounting_check import (
    elevation_deg,
    heading_deg,
    mounting_faults,
    twins,
)
from selfocc_core.errors import SelfOccError
from selfocc_core.model_card import ModelCard


def check_rig(rig: Rig | Path | str, card: ModelCard | None = None) -> list[Finding]:
    """Return what is right and wrong with a rig; never raises for what is in the file.

    Args:
        rig: The rig, or its file.
        card: The model that it is for: then also how much of its volume the cameras see.
    """
    if not isinstance(rig, Rig):
        try:
            rig = Rig.from_yaml(rig)
        except SelfOccError as problem:
            return [error('rig', str(problem))]
    findings = list(_size(rig, card))
    for camera in rig:
        findings += list(_camera(camera))
    findings += list(twins(rig))
    if card is not None:
        findings += list(coverage(rig, card))
    return findings


def _size(rig: Rig, card: ModelCard | None) -> Iterator[Finding]:
    names = ', '.join(rig.names)
    if card is None:
        yield ok('rig', f'{len(rig)} cameras: {names}')
    elif len(rig) > card.input.cameras:
        yield error(
            'rig',
            f'it has {len(rig)} cameras, and model {card.name} takes {card.input.cameras}: leave '
            'out some, or train a model for them',
        )
    elif card.rig_hash is not None and card.rig_hash != rig.content_hash:
        yield error(
            'rig',
            f'model {card.name} was exported for another rig: export it again for this one, or '
            'without a rig',
        )
    else:
        yield ok(
            'rig',
            f'{len(rig)} cameras for the {card.input.cameras} of model {card.name}: {names}',
        )


def _camera(camera: Camera) -> Iterator[Finding]:
    faults = [*mounting_faults(camera), *lens_faults(camera)]
    yield from faults
    if not faults:
        yield ok(
            f'camera {camera.name}',
            f'{camera.ego_from_camera[2, 3]:.2f} m above the ground, looks '
            f'{round(heading_deg(camera)):+d}° from ahead (left is positive) and '
            f'{round(elevation_deg(camera)):+d}° up, sees {field_of_view_deg(camera):.0f}° across',
        )
