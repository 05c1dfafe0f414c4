"""Whether the recorded images of the cameras are in order and fit together."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from selfocc_core.cameras import Camera
from selfocc_core.doctor.finding import Finding, Level, error, ok, warning
from selfocc_core.doctor.recorded_images import RecordedCamera, RecordedSets
from selfocc_core.image_intake import DAMAGED_IMAGE
from selfocc_core.synchronizer import SynchronizerConfig

_GAP = 1.8  # periods from which on images are missing in between
_LOST_SHARE = 0.02
_SLOW = 0.5
_WHOLE_SHARE = 0.9
_S = 1e-9


def image_findings(
    recorded: Mapping[str, RecordedCamera], cameras: Mapping[str, Camera]
) -> Iterator[Finding]:
    """Yield what is wrong with the images of each camera, or that nothing is.

    Args:
        recorded: What was read of each camera.
        cameras: The calibration of those that have one.
    """
    usual_ns = float(np.median([_period_ns(camera) for camera in recorded.values()]))
    for name, camera in recorded.items():
        found = [
            *_stamp_faults(camera),
            *_gaps(camera),
            *_slowness(camera, usual_ns),
            *_picture_faults(camera),
            *_size_faults(camera, cameras.get(name)),
        ]
        for finding in found:
            yield Finding(finding.level, f'camera {name}', finding.sentence)
        if not found:
            yield ok(f'camera {name}', _description(camera))
    yield from _clocks(recorded)


def _description(camera: RecordedCamera) -> str:
    sizes = ' and '.join(f'{width}x{height}' for width, height in camera.sizes)
    period_ns = _period_ns(camera)
    rate = f' at {1e9 / period_ns:.1f} Hz' if period_ns > 0 else ''
    return f'{camera.count} images{f" of {sizes}" if sizes else ""}{rate} on {camera.topic}'


def _period_ns(camera: RecordedCamera) -> float:
    steps_ns = camera.steps_ns
    return float(np.median(steps_ns)) if len(steps_ns) else 0.0


def _stamp_faults(camera: RecordedCamera) -> Iterator[Finding]:
    stamps_ns, steps_ns = camera.stamps_ns, camera.steps_ns
    if len(stamps_ns) == 0:
        yield warning('', f'no image on {camera.topic} in what was looked at')
    elif not stamps_ns.any():
        yield error('', f'all stamps on {camera.topic} are 0: let the driver stamp its images')
    elif (wrong := int(np.sum(steps_ns <= 0))) > _LOST_SHARE * len(stamps_ns):
        yield error(
            '',
            f'{wrong} of {len(stamps_ns)} stamps on {camera.topic} do not increase: record each '
            'drive into a bag of its own, from one driver',
        )
    elif wrong:
        yield warning('', f'{wrong} of {len(stamps_ns)} images are out of order and are not used')


def _gaps(camera: RecordedCamera) -> Iterator[Finding]:
    """Yield that images are missing, by the usual distance of their stamps."""
    steps_ns, period_ns = camera.steps_ns, _period_ns(camera)
    if period_ns <= 0:
        return
    long_ns = steps_ns[steps_ns > _GAP * period_ns]
    lost = int(np.sum(np.round(long_ns / period_ns) - 1))
    if lost > _LOST_SHARE * (len(steps_ns) + lost):
        yield warning(
            '',
            f'{lost} of {len(steps_ns) + 1 + lost} images are missing, at most for '
            f'{long_ns.max() * _S:.1f} s: record with the profile fastdds_large_data.xml, to a '
            'fast disk, or compressed images',
        )


def _slowness(camera: RecordedCamera, usual_ns: float) -> Iterator[Finding]:
    period_ns = _period_ns(camera)
    if period_ns > 0 and usual_ns > 0 and usual_ns / period_ns < _SLOW:
        yield warning(
            '',
            f'{1e9 / period_ns:.1f} Hz, the others {1e9 / usual_ns:.1f} Hz: most frame sets will '
            'lack it; set its driver to the same rate',
        )


def _picture_faults(camera: RecordedCamera) -> Iterator[Finding]:
    for fault, count in camera.faults.items():
        detail = camera.damage if fault == DAMAGED_IMAGE else 'look at the lens and the exposure'
        level: Level = 'error' if count == camera.pictures else 'warning'
        yield Finding(
            level, '', f'{fault}: {count} of {camera.pictures} images looked at; {detail}'
        )


def _size_faults(camera: RecordedCamera, calibrated: Camera | None) -> Iterator[Finding]:
    if len(camera.sizes) > 1:
        yield error('', f'its images change their size: {_description(camera)}')
    elif calibrated is not None and camera.sizes:
        yield from _size_fault(next(iter(camera.sizes)), calibrated)


def _size_fault(size: tuple[int, int], camera: Camera) -> Iterator[Finding]:
    width, height = size
    if size == (camera.width, camera.height):
        return
    words = (
        f'its images are {width}x{height}, its calibration is for {camera.width}x{camera.height}'
    )
    is_scaled = abs(width * camera.height - height * camera.width) <= max(width, camera.width)
    if is_scaled:
        yield warning('', f'{words}: the node scales it, training does not; correct camera_info')
    else:
        yield error('', f'{words}: correct camera_info or the rig file')


def _clocks(recorded: Mapping[str, RecordedCamera]) -> Iterator[Finding]:
    """Yield cameras whose stamps are farther from the time of recording than the others'."""
    delays_ns = {
        name: float(np.median(camera.delays_ns))
        for name, camera in recorded.items()
        if len(camera.stamps_ns)
    }
    if not delays_ns:
        return
    usual_ns = float(np.median(list(delays_ns.values())))
    for name, delay_ns in delays_ns.items():
        late_ns = delay_ns - usual_ns
        if abs(late_ns) > SynchronizerConfig().tolerance_ns:
            yield warning(
                f'camera {name}',
                f'its stamps are {abs(late_ns) * _S:.2f} s {"behind" if late_ns > 0 else "ahead"} '
                "compared with the other cameras': synchronise the clocks, or let the driver "
                'stamp at the shutter',
            )


def set_findings(recorded: Mapping[str, RecordedCamera], sets: RecordedSets) -> Iterator[Finding]:
    """Yield how many frame sets the images form, and which cameras are missing in them."""
    if sets.count == 0:
        yield error(
            'frame sets',
            'the images form none: compare the stamps of the cameras, the first gives the moments',
        )
        return
    config = SynchronizerConfig()
    for name, missing in sets.missing.items():
        if missing == sets.count:
            yield error(
                f'camera {name}',
                f'it is in none of {sets.count} frame sets: its stamps are more than '
                f'{config.tolerance_ns * 1e-6:.0f} ms from the others, or it comes more than '
                f'{config.timeout_ns * 1e-6:.0f} ms late; synchronise the clocks',
            )
    words = f'{sets.complete} of {sets.count} are complete'
    windows = len(next(iter(recorded.values())).shutters_ns)  # at whose ends a set is cut off
    if sets.complete + windows >= _WHOLE_SHARE * sets.count:
        yield ok('frame sets', f'{words}, of {len(recorded)} cameras')
    else:
        listed = ', '.join(f'{name} in {count}' for name, count in sets.missing.most_common())
        yield warning('frame sets', f'{words}; missing are {listed}')
