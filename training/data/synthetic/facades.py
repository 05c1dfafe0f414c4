"""Facade textures: windows in rows on brick or render, and shop fronts for the ground floor."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from training.data.synthetic.noise import fractal
from training.data.synthetic.textures import brick, plaster

FloatArray = NDArray[np.float64]
PIXELS_PER_M = 32
WINDOWS, FLOORS = 4, 3


@dataclass(frozen=True)
class Facade:
    """A periodic facade.

    Attributes:
        image: [H,W,3] in 0..255, the first row is the top.
        bay_m: width of one window bay in metres.
        floor_m: height of one floor in metres.
        repeat_m: size of the image (u, v) in metres.
    """

    image: FloatArray
    bay_m: float
    floor_m: float
    repeat_m: tuple[float, float]


def window_facade(rng: np.random.Generator) -> Facade:
    """Draw a facade of `WINDOWS` x `FLOORS` windows, each a little different."""
    bay_m, floor_m = rng.uniform(2.0, 3.6), rng.uniform(2.7, 3.3)
    width, height = round(bay_m * PIXELS_PER_M), round(floor_m * PIXELS_PER_M)
    image = _wall(rng, height * FLOORS, width * WINDOWS)
    shape = rng.uniform(0.32, 0.78), rng.uniform(0.42, 0.66)
    frame = rng.uniform(60, 245) * np.ones(3)
    for floor in range(FLOORS):
        for bay in range(WINDOWS):
            cell = image[floor * height : (floor + 1) * height, bay * width : (bay + 1) * width]
            _draw_window(rng, cell, shape, frame)
    if rng.uniform() < 0.6:
        image[::height][:] *= 0.6
        for floor in range(FLOORS):
            image[floor * height : floor * height + 5] = rng.uniform(120, 220)
    return Facade(image, bay_m, floor_m, (bay_m * WINDOWS, floor_m * FLOORS))


def shop_facade(rng: np.random.Generator) -> Facade:
    """Draw a row of `WINDOWS` shop fronts or doors, one floor high."""
    bay_m, floor_m = 3.2, 3.4
    width, height = round(bay_m * PIXELS_PER_M), round(floor_m * PIXELS_PER_M)
    image = _wall(rng, height, width * WINDOWS)
    for bay in range(WINDOWS):
        cell = image[:, bay * width : (bay + 1) * width]
        _draw_door(rng, cell) if rng.uniform() < 0.35 else _draw_shop(rng, cell)
    return Facade(image, bay_m, floor_m, (bay_m * WINDOWS, floor_m))


def _wall(rng: np.random.Generator, height: int, width: int) -> FloatArray:
    if rng.uniform() < 0.45:
        # 4 m of bricks at this image's resolution.
        source = cv2.resize(brick(rng), (128, 128), interpolation=cv2.INTER_AREA)
    else:
        source = plaster(rng)
    color = np.array([rng.uniform(0.75, 1.15), rng.uniform(0.72, 1.05), rng.uniform(0.6, 1.0)])
    stain = 1.0 + 0.07 * fractal(rng, (height, width), 1.2)
    tiled = np.tile(source, (1 + height // source.shape[0], 1 + width // source.shape[1], 1))
    wall = tiled[:height, :width] * color * stain[..., None]
    return np.asarray(np.clip(wall, 0.0, 255.0), np.float64)


def _draw_window(
    rng: np.random.Generator, cell: FloatArray, shape: tuple[float, float], frame: FloatArray
) -> None:
    rows, columns = cell.shape[:2]
    half_w, half_h = int(columns * shape[0] / 2), int(rows * shape[1] / 2)
    x, y = columns // 2, int(rows * 0.48)
    cell[y - half_h - 4 : y + half_h + 3, x - half_w - 3 : x + half_w + 3] = frame
    pane = cell[y - half_h : y + half_h, x - half_w : x + half_w]
    pane[:] = _glass_pane(rng, pane.shape[0], pane.shape[1])
    _draw_covering(rng, pane)
    pane[:, half_w - 1 : half_w + 1] = frame
    if shape[1] > 0.5:
        pane[half_h // 2 : half_h // 2 + 2] = frame
    cell[y + half_h + 2 : y + half_h + 6, x - half_w - 6 : x + half_w + 6] = frame * 0.85
    cell[y + half_h + 6 : y + half_h + 9, x - half_w - 5 : x + half_w + 6] *= 0.6


def _glass_pane(rng: np.random.Generator, rows: int, columns: int) -> FloatArray:
    ramp = np.linspace(rng.uniform(70, 150), rng.uniform(25, 60), rows)[:, None, None]
    tint = np.array([rng.uniform(0.7, 1.0), rng.uniform(0.85, 1.0), rng.uniform(0.95, 1.25)])
    return np.broadcast_to(ramp * tint, (rows, columns, 3))


def _draw_covering(rng: np.random.Generator, pane: FloatArray) -> None:
    """Curtains, a roller blind, a lamp inside, or nothing."""
    rows, columns = pane.shape[:2]
    kind, color = rng.integers(0, 4), rng.uniform(120, 240, 3)
    if kind == 0:
        pane[:, : columns // 4] = color
        pane[:, -(columns // 4) :] = color
    elif kind == 1:
        pane[: int(rows * rng.uniform(0.2, 0.9))] = color * 0.9
    elif kind == 2:
        pane[rows // 2 :] = np.array([230.0, 190.0, 120.0]) * rng.uniform(0.6, 1.0)


def _draw_door(rng: np.random.Generator, cell: FloatArray) -> None:
    rows, columns = cell.shape[:2]
    left, right, top = columns // 3, columns * 2 // 3, int(rows * 0.28)
    cell[top - 5 :, left - 5 : right + 5] = rng.uniform(150, 230)
    cell[top:, left:right] = rng.uniform(25, 150, 3)
    cell[top + 8 : top + 26, left + 6 : right - 6] = (70, 84, 96)
    cell[top + 36 : rows - 10, left + 6 : right - 6] *= 0.75


def _draw_shop(rng: np.random.Generator, cell: FloatArray) -> None:
    rows, columns = cell.shape[:2]
    sign_top, sign_bottom, sill = int(rows * 0.06), int(rows * 0.24), int(rows * 0.86)
    cell[sign_top:sign_bottom, 3:-3] = rng.uniform(20, 230, 3)
    ink = rng.uniform(150, 255, 3) if rng.uniform() < 0.7 else rng.uniform(0, 60, 3)
    for left in range(10, columns - 14, int(rng.integers(8, 14))):
        top = sign_top + int(rng.integers(3, 8))
        cell[top : sign_bottom - 4, left : left + int(rng.integers(2, 7))] = ink
    cell[sign_bottom + 2 : sill, 5:-5] = rng.uniform(60, 200, 3)
    window = cell[sign_bottom + 6 : sill - 4, 9:-9]
    window[:] = _glass_pane(rng, window.shape[0], window.shape[1])
    for _ in range(9):
        x, y = (
            rng.integers(0, window.shape[1]),
            rng.integers(window.shape[0] // 3, window.shape[0]),
        )
        color = [float(c) for c in rng.uniform(40, 250, 3)]
        corner = (int(x + rng.integers(4, 20)), int(y + rng.integers(4, 26)))
        canvas = np.ascontiguousarray(window)
        cv2.rectangle(canvas, (int(x), int(y)), corner, color, -1)
        window[:] = canvas
