"""The rules of the house that a machine can check."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ('selfocc_core', 'selfocc_ros', 'training')
ROS = ('rclpy', 'sensor_msgs', 'nav_msgs', 'std_msgs', 'geometry_msgs', 'tf2_ros', 'cv_bridge')
LONGEST_FUNCTION = 60

FORBIDDEN = {
    'selfocc_core': ('torch', 'training', 'selfocc_ros', *ROS),
    'selfocc_ros': ('torch', 'training'),
    'training': (*ROS, 'selfocc_ros'),
    'training/data/synthetic': ('torch', *ROS, 'selfocc_ros'),
}


def modules(folder: str) -> list[Path]:
    return sorted((ROOT / folder).rglob('*.py'))


def imported(path: Path) -> Iterator[tuple[int, str]]:
    """Yield line and full name of everything that a module imports, anywhere in it."""
    for node in ast.walk(ast.parse(path.read_text(encoding='utf-8'))):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f'{path}:{node.lineno}: relative import'
            yield node.lineno, node.module or ''
            yield from ((node.lineno, f'{node.module}.{alias.name}') for alias in node.names)


def is_below(name: str, package: str) -> bool:
    return name == package or name.startswith(f'{package}.')


@pytest.mark.parametrize('folder', FORBIDDEN)
def test_packages_import_in_one_direction_only(folder):
    assert modules(folder)
    broken = [
        f'{path.relative_to(ROOT)}:{line} imports {name}'
        for path in modules(folder)
        for line, name in imported(path)
        if any(is_below(name, package) for package in FORBIDDEN[folder])
    ]
    assert broken == []


def test_the_generated_world_reaches_torch_by_no_detour():
    """Follow the imports of training.data.synthetic through our own modules."""
    seen, waiting = set(), modules('training/data/synthetic')
    while waiting:
        path = waiting.pop()
        if path in seen:
            continue
        seen.add(path)
        for line, name in imported(path):
            assert not is_below(name, 'torch'), f'{path}:{line} imports torch'
            if any(is_below(name, package) for package in PACKAGES):
                waiting += _files_of(name)


def _files_of(name: str) -> list[Path]:
    parts = name.split('.')
    stems = [ROOT.joinpath(*parts[:depth]) for depth in range(1, len(parts) + 1)]
    candidates = [p for stem in stems for p in (stem.with_suffix('.py'), stem / '__init__.py')]
    return [path for path in candidates if path.is_file()]


def test_no_function_is_longer_than_a_screen():
    long = [
        f'{path.relative_to(ROOT)}:{node.lineno} {node.name}: {node.end_lineno - node.lineno + 1}'
        for package in (*PACKAGES, 'launch')
        for path in modules(package)
        for node in ast.walk(ast.parse(path.read_text(encoding='utf-8')))
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
        and node.end_lineno - node.lineno + 1 > LONGEST_FUNCTION
    ]
    assert long == []


def test_every_module_postpones_annotations():
    missing = [
        str(path.relative_to(ROOT))
        for package in PACKAGES
        for path in modules(package)
        if _has_code(path) and '__future__.annotations' not in {n for _, n in imported(path)}
    ]
    assert missing == []


def _has_code(path: Path) -> bool:
    """Whether the module has more than a docstring."""
    return len(ast.parse(path.read_text(encoding='utf-8')).body) > 1


def test_nothing_unpickles_or_loads_unsafe_yaml():
    """Files may come from anywhere; a checkpoint is the user's own and is loaded weights-only."""
    broken = [
        f'{path.relative_to(ROOT)}:{line} {name}'
        for package in PACKAGES
        for path in modules(package)
        for line, name in imported(path)
        if is_below(name, 'pickle') or name in {'yaml.load', 'yaml.unsafe_load'}
    ]
    assert broken == []


def test_options_are_shown_without_torch():
    """Help is quick, and threads can be configured before torch is loaded."""
    pytest.importorskip('tyro')
    code = 'import sys, training.command; print("torch" in sys.modules)'
    command = [sys.executable, '-c', code]
    assert subprocess.check_output(command, cwd=ROOT, text=True).strip() == 'False'
