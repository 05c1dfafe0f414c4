"""The ``selfocc`` program: one verb for each job.

Verbs are entry points of the group ``selfocc.verbs``, so that this package does not need to know
the packages that provide them. A verb is a dataclass whose fields become options. If the defaults
of some options depend on others, it has a class method ``default(arguments)`` that returns the
instance with the defaults for a command line.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Protocol

from selfocc_core import __version__
from selfocc_core.errors import SelfOccError

GROUP = 'selfocc.verbs'


class Verb(Protocol):
    """What an entry point of the group must provide: a dataclass with this method."""

    def run(self) -> None:
        """Do the job.

        Raises:
            SelfOccError: The input is not usable.
        """


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the program and return its exit status: 0 well, 1 bad input, 2 bad usage."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    verbs = {verb.name: verb for verb in entry_points(group=GROUP)}
    if not arguments or arguments[0] in {'-h', '--help'}:
        print(_overview(verbs))
        return 0 if arguments else 2
    if arguments[0] == '--version':
        print(f'selfocc {__version__}')
        return 0
    if arguments[0] not in verbs:
        print(f'selfocc: there is no verb "{arguments[0]}"\n\n{_overview(verbs)}', file=sys.stderr)
        return 2
    return _run(verbs[arguments[0]], arguments[1:])


def _run(entry: EntryPoint, arguments: Sequence[str]) -> int:
    import tyro

    try:
        verb_class = entry.load()
        defaults = _defaults(verb_class, arguments)
        verb: Verb = tyro.cli(verb_class, args=arguments, prog=f'selfocc {entry.name}', **defaults)
        verb.run()
    except SelfOccError as error:
        print(f'selfocc {entry.name}: {error}', file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f'selfocc {entry.name}: interrupted', file=sys.stderr)
        return 130
    except ImportError as error:
        print(f'selfocc {entry.name}: {_missing(error)}', file=sys.stderr)
        return 1
    except BrokenPipeError:  # the reader, such as head, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    return 0


def _defaults(verb_class: Any, arguments: Sequence[str]) -> dict[str, Any]:
    if not hasattr(verb_class, 'default'):
        return {}
    return {'default': verb_class.default(arguments)}


_EXTRAS = {
    'torch': 'train',
    'onnx': 'train',
    'onnxscript': 'train',
    'embreex': 'synth',
    'numba': 'synth',
    'rclpy': 'ros',
    'rerun': 'view',
}


def _missing(error: ImportError) -> str:
    package = (error.name or '').split('.')[0]
    if package in _EXTRAS:
        return f'needs {package}: pip install "selfocc_ros[{_EXTRAS[package]}]"'
    return f'cannot import {error.name or "a package"} ({error}): install it'


def _overview(verbs: dict[str, EntryPoint]) -> str:
    lines = ['usage: selfocc VERB [options]     selfocc VERB --help shows an example', '']
    width = max(10, *map(len, verbs)) if verbs else 0
    lines += [f'  {name:<{width}} {_summary(verbs[name])}' for name in sorted(verbs)]
    return '\n'.join(lines)


def _summary(entry: EntryPoint) -> str:
    try:
        return (entry.load().__doc__ or '').strip().splitlines()[0]
    except ImportError as error:
        return _missing(error)
