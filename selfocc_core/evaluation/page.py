"""Pieces of a self-contained HTML page; nothing is loaded from outside."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from html import escape

import cv2
import numpy as np

from selfocc_core.frames import Image

STYLE = """
:root { color-scheme: light; --ink: #23262d; --soft: #6a7080; --line: #e2e5ec; --accent: #d6402f; }
* { box-sizing: border-box; }
body { margin: 0; background: #f3f4f7; color: var(--ink);
  font: 15px/1.5 system-ui, "Segoe UI", Roboto, "Helvetica Neue", sans-serif; }
main { max-width: 1240px; margin: 0 auto; padding: 32px 24px 64px; }
h1 { font-size: 28px; margin: 0 0 4px; letter-spacing: -0.01em; }
h2 { font-size: 20px; margin: 0 0 12px; }
h3 { font-size: 15px; margin: 20px 0 6px; }
p, figcaption { color: var(--soft); margin: 0 0 12px; max-width: 80ch; }
section { background: #fff; border: 1px solid var(--line); border-radius: 10px;
  padding: 22px 24px; margin-top: 20px; }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(170px, 1fr)); gap: 14px;
  margin-top: 20px; }
.tile { background: #fff; border: 1px solid var(--line); border-radius: 10px;
  padding: 14px 16px; }
.tile b { display: block; font-size: 26px; font-weight: 650; line-height: 1.25; }
.tile span { color: var(--soft); font-size: 13px; display: block; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums;
  margin: 4px 0 10px; }
th, td { text-align: right; padding: 6px 10px; border-bottom: 1px solid var(--line); }
th:first-child, td:first-child { text-align: left; }
th { color: var(--soft); font-weight: 500; font-size: 13px; }
td.best { font-weight: 650; }
figure { margin: 14px 0 0; }
figure img { width: 100%; height: auto; display: block; border-radius: 6px; }
.row { display: grid; gap: 16px; grid-template-columns: repeat(auto-fit, minmax(280px, 1fr)); }
figcaption { font-size: 13px; margin: 6px 0 0; }
.legend { width: 420px !important; margin-top: 10px; }
.swatch { display: inline-block; width: 11px; height: 11px; border-radius: 2px;
  margin: 0 4px 0 10px; vertical-align: -1px; }
pre { background: #f7f8fa; border: 1px solid var(--line); border-radius: 6px; padding: 12px;
  overflow-x: auto; font-size: 12.5px; }
svg text { fill: var(--soft); font-size: 12px; }
"""


def page(title: str, subtitle: str, body: Sequence[str]) -> str:
    """Return a complete page; ``body`` is HTML, the titles are plain text."""
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<title>{escape(title)}</title><style>{STYLE}</style></head><body><main>'
        f'<h1>{escape(title)}</h1><p>{escape(subtitle)}</p>'
        + '\n'.join(body)
        + '</main></body></html>\n'
    )


def section(title: str, *parts: str) -> str:
    """Return a section of HTML parts."""
    return f'<section><h2>{escape(title)}</h2>{"".join(parts)}</section>'


def paragraph(text: str) -> str:
    """Return a paragraph of plain text."""
    return f'<p>{escape(text)}</p>'


def tiles(items: Sequence[tuple[str, str, str]]) -> str:
    """Return the headline numbers: name, value, remark."""
    cells = (
        f'<div class="tile"><span>{escape(name)}</span><b>{escape(value)}</b>'
        f'<span>{escape(remark)}</span></div>'
        for name, value, remark in items
    )
    return f'<div class="tiles">{"".join(cells)}</div>'


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table of plain text; a cell that starts with ``*`` is set in bold."""
    head = ''.join(f'<th>{escape(cell)}</th>' for cell in header)
    body = ''.join(f'<tr>{"".join(_cell(cell) for cell in row)}</tr>' for row in rows)
    return f'<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>'


def _cell(text: str) -> str:
    if text.startswith('*'):
        return f'<td class="best">{escape(text[1:])}</td>'
    return f'<td>{escape(text)}</td>'


def photo(image: Image, caption: str) -> str:
    """Return an RGB image as a JPEG figure."""
    return _figure(image, '.jpg', [cv2.IMWRITE_JPEG_QUALITY, 86], caption)


def picture(image: Image, caption: str, css_class: str = '') -> str:
    """Return an RGB image as a PNG figure."""
    return _figure(image, '.png', [cv2.IMWRITE_PNG_COMPRESSION, 9], caption, css_class)


def _figure(
    image: Image, suffix: str, options: list[int], caption: str, css_class: str = ''
) -> str:
    _, encoded = cv2.imencode(suffix, cv2.cvtColor(image, cv2.COLOR_RGB2BGR), options)
    kind = 'jpeg' if suffix == '.jpg' else 'png'
    data = base64.b64encode(encoded.tobytes()).decode()
    note = f'<figcaption>{escape(caption)}</figcaption>' if caption else ''
    return (
        f'<figure><img class="{css_class}" alt="{escape(caption)}" '
        f'src="data:image/{kind};base64,{data}">{note}</figure>'
    )


def row(*parts: str) -> str:
    """Return HTML parts side by side."""
    return f'<div class="row">{"".join(parts)}</div>'


def color_key(colors: Sequence[tuple[str, Sequence[int]]]) -> str:
    """Return a legend of names and RGB colours."""
    entries = (
        f'<span class="swatch" style="background:rgb({r},{g},{b})"></span>{escape(name)}'
        for name, (r, g, b) in colors
    )
    return f'<p>{"".join(entries)}</p>'


def histogram(
    values: Sequence[float], unit: str, marks: Sequence[tuple[str, float]], bins: int = 28
) -> str:
    """Return an SVG histogram of values from zero up, with named vertical marks."""
    width, height, left, bottom = 1000, 220, 10, 30
    top_value = max(*values, 1e-9) * 1.05
    counts, _ = np.histogram(values, bins=bins, range=(0.0, top_value))
    scale_x, scale_y = (width - 2 * left) / top_value, (height - bottom - 24) / counts.max()
    step = (width - 2 * left) / bins
    floor = height - bottom
    bars = ''.join(
        f'<rect x="{left + i * step + 1:.1f}" y="{floor - n * scale_y:.1f}" '
        f'width="{step - 2:.1f}" height="{n * scale_y:.1f}" rx="2" fill="#7c8db5"/>'
        for i, n in enumerate(counts.tolist())
        if n
    )
    lines = ''.join(_mark(name, left + value * scale_x, floor) for name, value in marks)
    ticks = ''.join(
        f'<text x="{left + value * scale_x:.1f}" y="{height - 8}" text-anchor="middle">'
        f'{value:.0f} {escape(unit)}</text>'
        for value in np.linspace(0, top_value, 6)[1:-1]
    )
    axis = f'<line x1="{left}" x2="{width - left}" y1="{floor}" y2="{floor}" stroke="#c9cdd6"/>'
    return f'<svg viewBox="0 0 {width} {height}" role="img">{bars}{lines}{axis}{ticks}</svg>'


def _mark(name: str, x: float, floor: float) -> str:
    return (
        f'<line x1="{x:.1f}" x2="{x:.1f}" y1="18" y2="{floor}" stroke="#d6402f" '
        f'stroke-dasharray="4 3"/><text x="{x + 5:.1f}" y="26">{escape(name)}</text>'
    )
