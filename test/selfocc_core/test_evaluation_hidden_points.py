from __future__ import annotations

import numpy as np
import pytest

from selfocc_core.evaluation.hidden_points import beam_gap_rad, seen_points

SIZE = 360, 640
K = np.array([[500.0, 0, 319.5], [0, 500.0, 179.5], [0, 0, 1]])
# Optical frame: x right, y down, z ahead. The camera is 1.5 m above the ground, the LiDAR higher.
LIDAR = np.array([0.1, -0.4, -0.6])
GROUND_Y = 1.5
BOX = (-1.5, 1.0, -0.1, GROUND_Y, 8.0)  # left, right, top, bottom, depth
FAR_WALL_Z = 20.0


def beams(gap_deg=1.3, step_deg=0.33):
    up = np.radians(np.arange(-25, 8, gap_deg))
    around = np.radians(np.arange(-40, 40, step_deg))
    up, around = np.meshgrid(up, around, indexing='ij')
    return np.stack(
        [np.cos(up) * np.sin(around), -np.sin(up), np.cos(up) * np.cos(around)], -1
    ).reshape(-1, 3)


def scan(box=BOX):
    """Return where beams end: on the front of a box, on a far wall or on the ground."""
    rays = beams()
    with np.errstate(divide='ignore'):
        ground = np.where(rays[:, 1] > 0, (GROUND_Y - LIDAR[1]) / rays[:, 1], np.inf)
    ends = LIDAR + rays * np.minimum(ground, (FAR_WALL_Z - LIDAR[2]) / rays[:, 2])[:, None]
    on_box = LIDAR + rays * ((box[4] - LIDAR[2]) / rays[:, 2])[:, None]
    hits = within(on_box, box) & (on_box[:, 2] < ends[:, 2])
    return np.where(hits[:, None], on_box, ends)


def within(points, box):
    left, right, top, bottom, _ = box
    x, y, _ = points.T
    return (x >= left) & (x <= right) & (y >= top) & (y <= bottom)


def hidden_by(points, box):
    """Return which points lie behind the box, seen from the camera: by similar triangles."""
    scale = box[4] / points[:, 2]
    return (points[:, 2] > box[4] + 1e-6) & within(points * scale[:, None], box)


def in_image(points):
    u = K[0, 0] * points[:, 0] / points[:, 2] + K[0, 2]
    v = K[1, 1] * points[:, 1] / points[:, 2] + K[1, 2]
    return (u >= -0.5) & (u < SIZE[1] - 0.5) & (v >= -0.5) & (v < SIZE[0] - 0.5)


def test_the_gap_between_beams_is_found():
    """In the LiDAR's own frame, z up, whatever ends at different distances."""
    points = scan() - LIDAR
    upright = np.stack([points[:, 2], -points[:, 0], -points[:, 1]], -1)
    assert np.degrees(beam_gap_rad(upright)) == pytest.approx(1.3, abs=0.05)
    turned = upright[np.random.default_rng(0).permutation(len(upright))] * 3
    assert beam_gap_rad(turned) == pytest.approx(beam_gap_rad(upright))
    assert beam_gap_rad(np.empty((0, 3))) == 0.0
    assert beam_gap_rad(np.array([[1.0, 0, 0], [0, 0, 0]])) == 0.0


def test_what_the_lidar_sees_over_a_box_the_camera_does_not():
    points = scan()
    hidden, inside = hidden_by(points, BOX), in_image(points)
    assert hidden.sum() > 50
    seen = seen_points(points, K, SIZE, np.radians(1.3))
    assert not seen[~inside].any()
    assert (seen & hidden).sum() <= 0.02 * hidden.sum()
    visible = inside & ~hidden
    assert (seen & visible).sum() > 0.93 * visible.sum()
    # Nothing on the box itself is lost.
    assert seen[inside & (points[:, 2] == BOX[4])].all()


def test_without_the_drawn_size_most_hidden_points_would_count():
    points = scan()
    hidden = hidden_by(points, BOX) & in_image(points)
    assert seen_points(points, K, SIZE, 0.0)[hidden].mean() > 0.5


def test_ground_does_not_hide_the_next_ring_of_ground():
    points = scan(box=(50.0, 51.0, 0.0, 1.0, 8.0))
    ground = in_image(points) & (np.abs(points[:, 1] - GROUND_Y) < 1e-9)
    assert ground.sum() > 500
    assert seen_points(points, K, SIZE, np.radians(1.3))[ground].all()


def test_points_behind_beside_or_not_finite_are_not_seen():
    points = np.array([[0, 0, -5.0], [0, 0, 0.01], [9, 0, 5.0], [np.nan, 0, 5.0], [0, 0, 5.0]])
    assert seen_points(points, K, SIZE, 0.02).tolist() == [False, False, False, False, True]
    assert seen_points(np.empty((0, 3)), K, SIZE, 0.02).shape == (0,)
