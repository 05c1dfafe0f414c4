"""The README's table of parameters, made from the dataclass: ``python -m`` prints it."""

from __future__ import annotations

from dataclasses import Field, fields
from typing import Any

from selfocc_ros.parameters import NodeParameters


def parameter_table() -> str:
    """Return the parameters as a Markdown table."""
    lines = ['| parameter | default | range | |', '|---|---|---|---|']
    lines += [_row(parameter) for parameter in fields(NodeParameters)]
    return '\n'.join(lines)


def _row(parameter: Field[Any]) -> str:
    default, limits = parameter.default, parameter.metadata['limits']
    shown = ', '.join(map(str, default)) if isinstance(default, tuple) else str(default).lower()
    between = f'{limits[0]:g} to {limits[1]:g}' if limits else ''
    live = ' Changes live.' if parameter.metadata['live'] else ''
    description = parameter.metadata['description']
    code = f'`{shown}`' if shown else ''
    return f'| `{parameter.name}` | {code} | {between} | {description}{live} |'


if __name__ == '__main__':
    print(parameter_table())
