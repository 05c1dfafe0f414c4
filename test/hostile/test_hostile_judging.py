"""The judge sees what it is there for; else thousands of cases would prove nothing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import warnings

import pytest
from judging import Judge
from mutation import WEIRD_VALUES, spoilt_bytes, spoilt_text, spoilt_tree

from selfocc_core.errors import SelfOccError


def refuse(sentence):
    raise SelfOccError(sentence)


def judged(act, *names):
    judge = Judge(names)
    with judge.entry('it'):
        act()
    return judge.wrong


def test_a_sentence_that_names_the_file_is_well():
    assert judged(lambda: refuse('rig.yaml is no rig: correct it'), 'rig.yaml') == []
    assert judged(lambda: None) == []


@pytest.mark.parametrize(
    ('act', 'wrong'),
    [
        (lambda: int('nothing'), 'ValueError'),
        (lambda: refuse('rig.yaml\nis no rig'), 'not one printable line'),
        (lambda: refuse('rig.yaml \x1b[31m'), 'not one printable line'),
        (lambda: refuse('rig.yaml ' * 500), 'characters'),
        (lambda: refuse('it is no rig'), 'names none of'),
        (lambda: warnings.warn('overflow', RuntimeWarning, stacklevel=1), 'RuntimeWarning'),
    ],
)
def test_all_else_is_wrong(act, wrong):
    (found,) = judged(act, 'rig.yaml')
    assert wrong in found


@pytest.mark.parametrize(
    ('arguments', 'wrong'),
    [
        (['view', 'nowhere.mcap', '--png', 'a.png'], []),
        (['nothing'], ['status 2']),  # many lines: an overview
    ],
)
def test_a_command_ends_in_one_line(arguments, wrong):
    judge = Judge()
    judge.command(arguments)
    assert len(judge.wrong) == len(wrong)
    assert all(words in found for words, found in zip(wrong, judge.wrong, strict=True))
    assert judge.refusals == 1


_FAMILY = """
import os, pickle, sys
from pathlib import Path
from case import Case, Family, output_of
from selfocc_core.errors import SelfOccError

def refuse(judge):
    with judge.entry('it'):
        raise SelfOccError('no')

def make(act, refuses):
    def made(number, random, folder):
        out = output_of(folder)
        def run(judge):
            act(folder, out)
            if refuses:
                refuse(judge)
        return Case('words', run)
    return Family(made, 1)

FAMILIES = {
    'well': make(lambda folder, out: (out / 'a').touch(), False),
    'half': make(lambda folder, out: (out / 'a').touch(), True),
    'beside': make(lambda folder, out: (folder.parent / 'a').touch(), False),
    'elsewhere': make(lambda folder, out: Path(os.environ['ELSEWHERE']).touch(), False),
    'pickle': make(lambda folder, out: pickle.loads(pickle.dumps(Path)), False),
    'program': make(lambda folder, out: os.system('true'), False),
    'memory': make(lambda folder, out: len(b'1' * (650 * 2**20)), False),
    'exit': make(lambda folder, out: os._exit(7), False),
    'forbidden': make(lambda folder, out: _forbidden(folder), False),
    'well again': make(lambda folder, out: None, False),
}

def _forbidden(folder):
    path = folder / 'secret'
    path.write_text('')
    path.chmod(0)
    path.read_text()
"""


_PROGRAM = """
import sys
from pathlib import Path
folder, first = Path(sys.argv[1]), int(sys.argv[2])
sys.path.insert(0, str(folder))
import worker
worker.BATCHES['made up'] = ('made_up',)
worker._HEADROOM_BYTES['made up'] = 2**32
worker._STDOUT = sys.stdout
worker.work('made up', 2, 1.0, first, folder / 'root')
"""


def _said_of_made_up_cases(folder):
    """Return what the worker says last of each case; begun again after one that ends it."""
    said, first = {}, 0
    places = {'ELSEWHERE': str(folder / 'elsewhere'), 'PYTHONPATH': os.pathsep.join(sys.path)}
    while first >= 0:
        run = subprocess.run(
            [sys.executable, '-c', _PROGRAM, folder, str(first)],
            env=os.environ | places,
            capture_output=True,
            text=True,
            check=False,
        )
        *messages, last = [json.loads(line) for line in run.stdout.splitlines()]
        for message in (*messages, last)[: None if last['place'] >= 0 else -1]:
            said[message['case'].rsplit(' ', 2)[0]] = ''.join(message['said'])
        first = last['place'] + 1 or -1
    return said


def test_what_a_case_does_besides_is_seen(tmp_path):
    (tmp_path / 'made_up.py').write_text(_FAMILY)
    (tmp_path / 'root').mkdir()
    said = _said_of_made_up_cases(tmp_path)
    expected = {
        'half': 'leaves',
        'beside': 'leaves',
        'elsewhere': 'does what no reader does: open',
        'pickle': 'does what no reader does: pickle.find_class',
        'program': 'does what no reader does: os.system',
        'memory': 'MiB of memory',
        'exit': 'words',  # it was begun, and its process ended
        'forbidden': 'PermissionError',
    }
    assert {name: words for name, words in expected.items() if words not in said[name]} == {}
    assert said['well'] == said['well again'] == ''


def test_cases_are_the_same_for_the_same_seed():
    from random import Random

    data, text, tree = bytes(range(200)), 'a: 1\nb: [2, 3]\n', {'a': [1, 2], 'b': {'c': 'd'}}
    for seed in range(300):
        for spoil, sound in ((spoilt_bytes, data), (spoilt_text, text), (spoilt_tree, tree)):
            one, other = (spoil(sound, Random(seed)) for _ in range(2))  # noqa: S311
            assert repr(one) == repr(other)
            assert one[0]
    assert tree == {'a': [1, 2], 'b': {'c': 'd'}}
    assert len({repr(value) for value in WEIRD_VALUES}) > 50


def test_most_cases_spoil_something():
    from random import Random

    data = bytes(range(200)) * 3
    same = sum(spoilt_bytes(data, Random(seed))[1] == data for seed in range(500))  # noqa: S311
    assert same < 50
