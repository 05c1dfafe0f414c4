from __future__ import annotations

from dataclasses import dataclass
from importlib.metadata import EntryPoint

import pytest

from selfocc_core import cli
from selfocc_core.errors import SelfOccError


@dataclass(frozen=True)
class Greet:
    """Say hello.

    Example: selfocc greet --name you
    """

    name: str = 'world'
    """Whom to greet."""

    def run(self) -> None:
        if self.name == 'nobody':
            raise SelfOccError('there is nobody to greet: give a name')
        if self.name == 'interrupt':
            raise KeyboardInterrupt
        if self.name == 'torch':
            raise ModuleNotFoundError(name='torch')
        print(f'hello {self.name}')


@dataclass(frozen=True)
class Farewell(Greet):
    """Say goodbye, in the manner that the line asks for."""

    words: str = ''
    """What to say."""

    @classmethod
    def default(cls, arguments):
        if 'rude' in arguments:
            raise SelfOccError('that would be rude: choose another name')
        return cls(words=f'goodbye after {len(arguments)} words')

    def run(self) -> None:
        print(f'{self.words}, {self.name}')


@pytest.fixture(autouse=True)
def _verbs(monkeypatch):
    verb = EntryPoint('greet', f'{__name__}:Greet', cli.GROUP)
    monkeypatch.setattr(cli, 'entry_points', lambda group: [verb])


def test_a_verb_runs_with_its_options(capsys):
    assert cli.main(['greet', '--name', 'you']) == 0
    assert capsys.readouterr().out == 'hello you\n'


@pytest.mark.parametrize(
    ('name', 'status', 'sentence'),
    [
        ('nobody', 1, 'selfocc greet: there is nobody to greet: give a name\n'),
        ('interrupt', 130, 'selfocc greet: interrupted\n'),
        ('torch', 1, 'selfocc greet: needs torch: pip install "selfocc_ros[train]"\n'),
    ],
)
def test_a_failure_is_one_sentence_on_stderr(capsys, name, status, sentence):
    assert cli.main(['greet', '--name', name]) == status
    assert capsys.readouterr() == ('', sentence)


def test_help_shows_verbs_and_options(capsys):
    assert cli.main(['--help']) == 0
    assert 'greet      Say hello.' in capsys.readouterr().out
    with pytest.raises(SystemExit) as ended:
        cli.main(['greet', '--help'])
    assert ended.value.code == 0
    out = capsys.readouterr().out
    assert 'Whom to greet' in out
    assert 'Example' in out


@pytest.mark.parametrize('arguments', [[], ['dance']])
def test_bad_usage_is_two(arguments):
    assert cli.main(arguments) == 2


def test_version(capsys):
    assert cli.main(['--version']) == 0
    assert capsys.readouterr().out.startswith('selfocc 0.')


def test_the_overview_says_what_a_verb_lacks(monkeypatch, capsys):
    verbs = (EntryPoint('hello', 'test_cli:Greet', cli.GROUP), EntryPoint('x', 'nowhere:X', 'g'))
    monkeypatch.setattr(cli, 'entry_points', lambda group: verbs)
    assert cli.main(['--help']) == 0
    printed = capsys.readouterr().out
    assert 'Say hello.' in printed
    assert 'cannot import nowhere' in printed


@pytest.fixture
def farewell(monkeypatch):
    verb = EntryPoint('say-farewell', f'{__name__}:Farewell', cli.GROUP)
    monkeypatch.setattr(cli, 'entry_points', lambda group: [verb])


@pytest.mark.usefixtures('farewell')
def test_defaults_may_depend_on_the_command_line(capsys):
    assert cli.main(['say-farewell', '--name', 'you']) == 0
    assert capsys.readouterr().out == 'goodbye after 2 words, you\n'
    assert cli.main(['say-farewell', '--words', 'so long']) == 0
    assert capsys.readouterr().out == 'so long, world\n'
    assert cli.main(['say-farewell', '--name', 'rude']) == 1
    sentence = 'selfocc say-farewell: that would be rude: choose another name\n'
    assert capsys.readouterr() == ('', sentence)


@pytest.mark.usefixtures('farewell')
def test_the_overview_has_room_for_long_names(capsys):
    assert cli.main(['--help']) == 0
    assert '  say-farewell Say goodbye, in' in capsys.readouterr().out
