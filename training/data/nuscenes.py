"""Scenes of nuScenes as training clips: the cameras around the vehicle, keyframes and sweeps.

Every image counts with the pose of the vehicle at its own shutter time; the reference of a frame
set is the front camera's. Trees without sweeps give keyframes alone, 2 in a second.
"""

from __future__ import annotations

from collections.abc import Mapping, Set
from pathlib import Path

import numpy as np

from selfocc_core.cameras import Rig
from selfocc_core.datasets.nuscenes_tables import (
    NuScenesTables,
    Row,
    camera_name,
    camera_of,
    find_scene,
    pose_of,
    read_tables,
    stamp_ns_of,
)
from selfocc_core.errors import SelfOccError, sentence_of
from selfocc_core.quoting import shown
from training.config import InputConfig
from training.data import video
from training.data.clip import Clip
from training.data.kept_video import VideoCache
from training.data.labels import LabelSource
from training.data.video import Video

CHANNELS = (
    'CAM_FRONT',
    'CAM_FRONT_RIGHT',
    'CAM_FRONT_LEFT',
    'CAM_BACK',
    'CAM_BACK_LEFT',
    'CAM_BACK_RIGHT',
)
# The cameras fire one after the other, as the LiDAR turns, 12 times a second: what is farther than
# half a turn from the front's stamp belongs to another frame set.
_TOLERANCE_NS = 45_000_000

FrameSetRows = tuple[Row, ...]


def read_clips(
    root: Path,
    config: InputConfig,
    scenes: str = '',
    labels: LabelSource | None = None,
    cache: VideoCache | None = None,
) -> list[Clip]:
    """Read scenes of a tree.

    Frame sets that lack a camera are left out, and sweeps that are not unpacked.

    Args:
        root: Folder that holds ``samples`` and ``v1.0-*``.
        config: Images that the network takes; of six cameras the first ``cameras`` in the order
            of ``CHANNELS``.
        scenes: Names with ``+`` between them; all by default.
        labels: Pseudo-labels, if there are any.
        cache: Where the decoded video is kept; in memory by default.

    Raises:
        SelfOccError: A table or file is missing or malformed, or there is no such scene.
    """
    tables = read_tables(root)
    try:
        names = scenes.split('+') if scenes else []
        found = [find_scene(tables, name) for name in names] or [*tables.rows['scene'].values()]
        rows = _rows_by_scene(tables, {scene['token'] for scene in found})
        videos = [_video(tables, s, rows[s['token']], config.cameras) for s in found]
    except SelfOccError as error:
        raise SelfOccError(f'nuScenes tree {root}: {shown(error, 1000)}') from error
    except (LookupError, ValueError, TypeError, ArithmeticError, OSError, RuntimeError) as error:
        raise SelfOccError(
            f'the nuScenes tables in {root} are malformed ({shown(sentence_of(error))}): '
            'unpack the tree again'
        ) from error
    if not videos:
        raise SelfOccError(f'the nuScenes tree {root} has no scene: unpack it again')
    return [clip for v in videos for clip in video.read_clips(v, config, labels, cache)]


def _rows_by_scene(tables: NuScenesTables, scenes: Set[str]) -> dict[str, dict[str, list[Row]]]:
    """Return the rows of sample_data by the tokens of scenes and by channel, in order of time."""
    found: dict[str, dict[str, list[Row]]] = {token: {} for token in scenes}
    for row in sorted(tables.rows['sample_data'].values(), key=stamp_ns_of):
        scene = tables.get('sample', row['sample_token'])['scene_token']
        channel = tables.channel(row)
        if scene in found and channel in CHANNELS and _is_there(tables, row):
            found[scene].setdefault(channel, []).append(row)
    return found


def _is_there(tables: NuScenesTables, row: Row) -> bool:
    """Return whether a row counts; a keyframe always does, so that a missing one is named."""
    return bool(row['is_key_frame']) or (tables.root / str(row['filename'])).is_file()


def _video(
    tables: NuScenesTables, scene: Row, rows: Mapping[str, list[Row]], cameras: int
) -> Video:
    channels = CHANNELS[:cameras]
    for channel in channels:
        if channel not in rows:
            raise SelfOccError(
                f'nuScenes scene "{scene["name"]}" in {tables.root} has no image of {channel}: '
                'unpack the tree again, or choose a preset for fewer cameras'
            )
    sets = _frame_sets(rows, channels)
    poses = np.array(
        [[pose_of(tables.get('ego_pose', r['ego_pose_token'])) for r in s] for s in sets]
    ).reshape(-1, len(channels), 4, 4)
    return Video(
        name=f'nuScenes {shown(scene["name"])}',
        drive=str(scene['name']),
        rig=Rig(tuple(camera_of(tables, rows[c][0], camera_name(c)) for c in channels)),
        stamps_ns=np.array([stamp_ns_of(s[0]) for s in sets], np.int64),
        files=tuple(tuple(tables.file(row) for row in s) for s in sets),
        world_from_ego=poses[:, 0],
        world_from_ego_at_shutter=poses,
    )


def _frame_sets(rows: Mapping[str, list[Row]], channels: tuple[str, ...]) -> list[FrameSetRows]:
    """Return, for each image of the front, the nearest image of every camera; complete sets."""
    stamps_ns = {c: np.array([stamp_ns_of(row) for row in rows[c]], np.int64) for c in channels}
    sets = []
    for reference_ns in stamps_ns[channels[0]]:
        nearest = {c: int(np.abs(stamps_ns[c] - reference_ns).argmin()) for c in channels}
        offsets_ns = [abs(stamps_ns[c][i] - reference_ns) for c, i in nearest.items()]
        if max(offsets_ns) <= _TOLERANCE_NS:
            sets.append(tuple(rows[c][i] for c, i in nearest.items()))
    return sets
