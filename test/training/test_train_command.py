from __future__ import annotations

from importlib.metadata import EntryPoint
from pathlib import Path

import pytest
import torch

from selfocc_core import cli
from selfocc_core.errors import SelfOccError
from training.command import Train
from training.presets import PRESETS


@pytest.fixture(autouse=True)
def _verbs(monkeypatch):
    verb = EntryPoint('train', 'training.command:Train', cli.GROUP)
    monkeypatch.setattr(cli, 'entry_points', lambda group: [verb])


@pytest.fixture
def ran(monkeypatch):
    """What the program would have trained."""
    verbs = []

    def record(verb):
        verbs.append(verb)

    monkeypatch.setattr(Train, 'run', record)
    return verbs


def help_of(capsys, *arguments):
    with pytest.raises(SystemExit) as ended:
        cli.main(['train', *arguments, '--help'])
    assert ended.value.code == 0
    return ' '.join(capsys.readouterr().out.replace('│', ' ').split())


def test_help_shows_what_every_value_of_the_preset_means(capsys):
    shown = help_of(capsys, '--preset', 'kitti_raw_depth')
    assert '--config.render.columns INT Lattice: rays along u. (default: 152)' in shown
    smoothness = 'Weight of edge-aware smoothness of depth. (default: 0.01)'
    assert f'--config.losses.smoothness FLOAT {smoothness}' in shown
    assert '--config.model.encoder.layers INT Encoder layers. (default: 4)' in shown
    assert '(default: runs/kitti_raw_depth)' in shown


def test_help_names_every_preset(capsys):
    shown = help_of(capsys)
    assert all(f'{preset.name}: {preset.summary}' in shown for preset in PRESETS.values())


def test_any_value_can_be_overridden(ran):
    arguments = ['--config.losses.eikonal', '0.2', '--preset=method_tiny', '--seed', '3']
    assert cli.main(['train', *arguments, '--config.optimizer.steps', '7']) == 0
    (verb,) = ran
    assert (verb.config.name, verb.preset, verb.seed) == ('method_tiny', 'method_tiny', 3)
    assert (verb.config.losses.eikonal, verb.config.optimizer.steps) == (0.2, 7)
    assert verb.config.losses.hessian == PRESETS['method_tiny'].losses.hessian
    assert verb.config.model == PRESETS['method_tiny'].model


def test_without_a_preset_the_small_one_is_trained(ran):
    assert cli.main(['train']) == 0
    assert ran[0].config == PRESETS['selfocc-tiny']
    assert str(ran[0].out) == 'runs/selfocc-tiny'


def test_bag_and_bags_are_the_same(ran):
    for option in ('--bag', '--bags'):
        assert cli.main(['train', option, 'a.mcap', 'b.mcap']) == 0
    assert ran[0].bags == ran[1].bags == [Path('a.mcap'), Path('b.mcap')]


@pytest.mark.parametrize(
    ('arguments', 'sentence'),
    [
        (['--preset', 'nope'], 'there is no preset "nope": choose selfocc-tiny, '),
        (['--preset', 'nuscenes_occ'], 'never trains the stem of its backbone: give the weights'),
        ([], 'no drive to train on: give bags with --bags'),
        (['--bags', 'a.mcap', '--validation.samples', '0'], 'must be at least 1'),
        (['--resume', '--backbone-weights', 'x.pth'], 'leave out --backbone-weights'),
        (['--config.temporal.current-share', '0.9'], 'add to at most 1'),
    ],
)
def test_bad_input_is_one_sentence(capsys, arguments, sentence):
    assert cli.main(['train', *arguments]) == 1
    printed = capsys.readouterr()
    assert printed.err.startswith('selfocc train: ')
    assert printed.err.count('\n') == 1
    assert sentence in printed.err


def test_backbone_weights_are_loaded(monkeypatch, tmp_path, small_preset):
    """The weights of the file reach the network that is trained, and stay in a frozen stem."""
    from dataclasses import replace

    from training.model.selfocc import SelfOcc

    backbone = replace(small_preset.model.backbone, frozen_stem=True)
    preset = replace(small_preset, model=replace(small_preset.model, backbone=backbone))
    weights = SelfOcc(preset.model).backbone.state_dict()
    torch.save(weights, tmp_path / 'resnet.pth')
    trained = []

    class FakeTrainer:
        def __init__(self, config, clips, out, seed, **options):
            self.model = SelfOcc(config.model)

        def run(self):
            trained.append(self.model)

    monkeypatch.setattr('training.trainer.Trainer', FakeTrainer)
    monkeypatch.setattr('training.data.bag.read_clips', lambda *arguments, **options: [])
    verb = Train(
        bags=[tmp_path / 'drive.mcap'],
        config=preset,
        backbone_weights=tmp_path / 'resnet.pth',
    )
    verb.run()
    for name, value in trained[0].backbone.state_dict().items():
        assert torch.equal(value, weights[name])


def test_backbone_weights_of_another_network_are_refused(monkeypatch, tmp_path, small_preset):
    from training.model.selfocc import SelfOcc

    torch.save({'conv1.weight': torch.zeros(1)}, tmp_path / 'resnet.pth')

    class FakeTrainer:
        def __init__(self, config, clips, out, seed, **options):
            self.model = SelfOcc(config.model)

    monkeypatch.setattr('training.trainer.Trainer', FakeTrainer)
    monkeypatch.setattr('training.data.bag.read_clips', lambda *arguments, **options: [])
    with pytest.raises(SelfOccError, match='does not hold weights of this backbone'):
        Train(
            bags=[tmp_path / 'drive.mcap'],
            config=small_preset,
            backbone_weights=tmp_path / 'resnet.pth',
        ).run()
