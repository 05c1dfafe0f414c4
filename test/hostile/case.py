"""One hostile input and what is tried with it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from random import Random

from judging import Judge


@dataclass(frozen=True)
class Case:
    """A hostile input.

    Attributes:
        words: What is hostile in it.
        run: Tries entry points.
        names: What a refusal must name, one of them.
        leaves: Patterns of what a refused run may leave in the output folder.
    """

    words: str
    run: Callable[[Judge], None]
    names: tuple[str, ...] = ()
    leaves: tuple[str, ...] = ()


Make = Callable[[int, Random, Path], Case]
"""Makes the case of a number in a folder, by a generator of its own. What may be written by the
case lies in ``out`` in that folder, all else beside it."""


@dataclass(frozen=True)
class Family:
    """Cases of a kind.

    Attributes:
        make: Makes one.
        count: How many there are by default.
        most: How many there are at most; as many as one likes by default.
        least_factor: How many times as many cases as by default must be wanted for these to be.
    """

    make: Make
    count: int
    most: int | None = None
    least_factor: float = 0.0


Families = Mapping[str, Family]


def listed(cases: Mapping[str, Callable[[Path], Case]]) -> Family:
    """Return the family of cases that were thought of one by one.

    Args:
        cases: Make a case in a folder, by what is hostile in it.
    """
    makers = list(cases.items())

    def make(number: int, _: Random, folder: Path) -> Case:
        words, made = makers[number]
        case = made(folder)
        return Case(words, case.run, case.names, case.leaves)

    return Family(make, len(makers), len(makers))


def sound(cases: Mapping[str, Callable[[Path], Case]]) -> Family:
    """Return the family of inputs with which nothing is wrong, which must not be refused.

    Else cases that are made of them would be refused for nothing.

    Args:
        cases: Make a case in a folder, by what it is.
    """

    def accepted(make: Callable[[Path], Case], folder: Path) -> Case:
        case = make(folder)

        def run(judge: Judge) -> None:
            case.run(judge)
            if judge.refusals:
                judge.wrong.append(f'refuses what is sound: {judge.sentences}')

        return Case(case.words, run, case.names, case.leaves)

    return listed({f'sound: {words}': partial(accepted, make) for words, make in cases.items()})


def output_of(folder: Path) -> Path:
    """Return the only folder into which a case may write; it is made here."""
    out = folder / 'out'
    out.mkdir()
    return out
