"""Colour of ray hits: mip-mapped textures, Lambert sun with shadow, sky light, haze, clouds."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from training.data.synthetic.atlas import PackedTextures
from training.data.synthetic.road_paint import METRES_PER_TEXEL
from training.data.synthetic.surface_table import SurfaceTable
from training.jit import compiled

FloatArray = NDArray[np.float32]


class Light(NamedTuple):
    """Illumination of a world; colours are factors on albedo 0..255.

    Attributes:
        sun: unit direction towards the sun [3].
        sun_color: direct light [3].
        sky_light: ambient light on a surface facing up [3].
        ground_light: ambient light on a surface facing down [3].
        horizon, zenith, cloud: colours of the sky in 0..255 [3].
        haze_m: distance over which haze takes 63 % of the contrast.
        clouds: index of the cloud texture.
        paint: index of the road paint texture.
        paint_from_uv: (scale v->column, offset, scale u->row, offset) of the road paint [4].
    """

    sun: FloatArray
    sun_color: FloatArray
    sky_light: FloatArray
    ground_light: FloatArray
    horizon: FloatArray
    zenith: FloatArray
    cloud: FloatArray
    haze_m: float
    clouds: int
    paint: int
    paint_from_uv: FloatArray


@compiled
def _add_bilinear(
    textures: PackedTextures,
    texture: int,
    level: int,
    u: float,
    v: float,
    share: float,
    color: FloatArray,
) -> None:
    """Add share times the texel colour (r, g, b, cover) at (u, v) to a colour [4]."""
    columns = textures.size[texture, level, 0]
    rows = textures.size[texture, level, 1]
    x, y = u * columns - 0.5, v * rows - 0.5
    x_floor, y_floor = np.floor(x), np.floor(y)
    right, up = x - x_floor, y - y_floor
    column, row = int(x_floor) % columns, int(y_floor) % rows
    next_column = column + 1 if column + 1 < columns else 0
    next_row = row + 1 if row + 1 < rows else 0
    low = textures.start[texture, level] + row * columns
    high = textures.start[texture, level] + next_row * columns
    texels = textures.texels
    for c in range(4):
        near = texels[low + column, c] * (1.0 - right) + texels[low + next_column, c] * right
        far = texels[high + column, c] * (1.0 - right) + texels[high + next_column, c] * right
        color[c] += share * (near * (1.0 - up) + far * up)


@compiled
def _sample(
    textures: PackedTextures, texture: int, lod: float, u: float, v: float, color: FloatArray
) -> None:
    """Write the colour [4] at (u, v), blended between two mip levels."""
    last = textures.size.shape[1] - 1
    lod = min(max(lod, 0.0), float(last))
    level = min(int(lod), last - 1)
    coarse = lod - level
    color[:] = 0.0
    _add_bilinear(textures, texture, level, u, v, 1.0 - coarse, color)
    if coarse > 0.0:
        _add_bilinear(textures, texture, level + 1, u, v, coarse, color)


@compiled
def _shade_sky(
    light: Light,
    textures: PackedTextures,
    direction: FloatArray,
    texel: FloatArray,
    color: FloatArray,
) -> None:
    up = max(direction[2], 0.0)
    climb = up**0.55
    u, v = direction[0] / (up + 0.18) * 0.12, direction[1] / (up + 0.18) * 0.12
    _sample(textures, light.clouds, 0.0, u, v, texel)
    cover = texel[0] / 255.0 * min(1.0, up * 5.0)
    for c in range(3):
        clear = light.horizon[c] * (1.0 - climb) + light.zenith[c] * climb
        color[c] = clear * (1.0 - cover) + light.cloud[c] * cover


@compiled
def _attribute(table: SurfaceTable, t: int, k: int, x: float, y: float, z: float) -> float:
    gradient = table.gradient
    rise = gradient[t, k, 0] * x + gradient[t, k, 1] * y + gradient[t, k, 2] * z
    return table.base[t, k] + rise  # type: ignore[no-any-return]


@compiled
def _albedo(
    light: Light,
    textures: PackedTextures,
    table: SurfaceTable,
    t: int,
    u: float,
    v: float,
    footprint_m: float,
    texel: FloatArray,
    color: FloatArray,
) -> None:
    lod = np.log2(max(footprint_m * table.density[t], 1e-3))
    _sample(textures, table.texture[t], lod, u, v, texel)
    for c in range(3):
        color[c] = texel[c] * table.tint[t, c]
    if table.paint[t] == 0:
        return
    across = v * light.paint_from_uv[0] + light.paint_from_uv[1]
    along = u * light.paint_from_uv[2] + light.paint_from_uv[3]
    lod = np.log2(max(footprint_m / METRES_PER_TEXEL, 1e-3))
    _sample(textures, light.paint, lod, across, along, texel)
    # The canvas is zero where nothing is painted, so its colour is already weighted by cover.
    cover = texel[3] / 255.0
    for c in range(3):
        color[c] = color[c] * (1.0 - cover) + texel[c]


@compiled
def sunward_hits(
    table: SurfaceTable,
    sun: FloatArray,
    origin: FloatArray,
    direction: FloatArray,
    distance: FloatArray,
    primitive: NDArray[np.int32],
) -> tuple[FloatArray, NDArray[np.int64]]:
    """Return start points [K,3] of shadow rays and the samples [K] they belong to."""
    start = np.empty((len(distance), 3), np.float32)
    sample = np.empty(len(distance), np.int64)
    count = 0
    for i in range(len(distance)):
        t = primitive[i]
        if t < 0:
            continue
        facing = table.facing[t]
        if facing[0] * sun[0] + facing[1] * sun[1] + facing[2] * sun[2] <= 0.0:
            continue
        for c in range(3):
            hit = origin[c] + distance[i] * direction[i, c]
            start[count, c] = hit + 0.004 * facing[c]
        sample[count] = i
        count += 1
    return start[:count], sample[:count]


@compiled
def shade(
    table: SurfaceTable,
    textures: PackedTextures,
    light: Light,
    origin: FloatArray,
    direction: FloatArray,
    distance: FloatArray,
    primitive: NDArray[np.int32],
    lit: NDArray[np.bool_],
    footprint: float,
    color: FloatArray,
) -> None:
    """Write the colour of every sample.

    Args:
        table: triangles.
        textures: packed textures.
        light: illumination.
        origin: camera position [3].
        direction: unit directions [N,3].
        distance: ray lengths in metres [N].
        primitive: triangle index or negative for sky [N].
        lit: whether the sun reaches the hit [N].
        footprint: width of a sample in radians.
        color: result in 0..255 [N,3].
    """
    texel = np.empty(4, np.float32)
    for i in range(len(distance)):
        t = primitive[i]
        if t < 0:
            _shade_sky(light, textures, direction[i], texel, color[i])
            continue
        x = origin[0] + distance[i] * direction[i, 0] - table.corner[t, 0]
        y = origin[1] + distance[i] * direction[i, 1] - table.corner[t, 1]
        z = origin[2] + distance[i] * direction[i, 2] - table.corner[t, 2]
        u, v = _attribute(table, t, 0, x, y, z), _attribute(table, t, 1, x, y, z)
        nx, ny = _attribute(table, t, 2, x, y, z), _attribute(table, t, 3, x, y, z)
        nz = _attribute(table, t, 4, x, y, z)
        length = max(np.sqrt(nx * nx + ny * ny + nz * nz), 1e-6)
        facing = table.facing[t]
        slant = facing[0] * direction[i, 0] + facing[1] * direction[i, 1]
        slant = abs(slant + facing[2] * direction[i, 2])
        width_m = distance[i] * footprint / np.sqrt(max(slant, 0.04))
        _albedo(light, textures, table, t, u, v, width_m, texel, color[i])
        sun = (nx * light.sun[0] + ny * light.sun[1] + nz * light.sun[2]) / length
        sun = max(sun, 0.0) * lit[i]
        up = 0.5 + 0.5 * nz / length
        haze = 1.0 - np.exp(-distance[i] / light.haze_m)
        for c in range(3):
            ambient = light.sky_light[c] * up + light.ground_light[c] * (1.0 - up)
            surface = color[i, c] * (light.sun_color[c] * sun + ambient)
            color[i, c] = surface * (1.0 - haze) + light.horizon[c] * haze


@compiled
def pixel_means(color: FloatArray, samples: int) -> NDArray[np.uint8]:
    """Return the mean of each group of samples as 0..255, [N/samples,3]."""
    pixels = np.empty((len(color) // samples, 3), np.uint8)
    for i in range(len(pixels)):
        for c in range(3):
            total = 0.0
            for k in range(samples):
                total += color[i * samples + k, c]
            pixels[i, c] = int(min(max(total / samples + 0.5, 0.0), 255.0))
    return pixels
