from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path

import pytest
import yaml

pytest.importorskip('rclpy')
from selfocc_core.errors import SelfOccError
from selfocc_core.synchronizer import SynchronizerConfig
from selfocc_ros.image_path import synchronizer_config
from selfocc_ros.parameter_table import parameter_table
from selfocc_ros.parameters import NodeParameters, changed, descriptor, is_live

CONFIG = Path(__file__).parents[2] / 'config' / 'surround.yaml'
README = Path(__file__).parents[2] / 'README.md'


def test_the_shipped_file_lists_every_parameter_with_its_default():
    listed = yaml.safe_load(CONFIG.read_text())['/**']['ros__parameters']
    defaults = {
        p.name: list(p.default) if isinstance(p.default, tuple) else p.default
        for p in fields(NodeParameters)
    }
    assert listed == defaults
    assert {n: type(v) for n, v in listed.items()} == {n: type(v) for n, v in defaults.items()}


def test_the_readme_lists_every_parameter():
    assert parameter_table() in README.read_text(), (
        'paste the output of python -m selfocc_ros.parameter_table into the README'
    )


def test_live_parameters_are_marked_in_the_shipped_file():
    comment = ''
    for line in CONFIG.read_text().splitlines():
        name = line.strip().split(':')[0]
        if line.strip().startswith('#'):
            comment = line
        elif name in {p.name for p in fields(NodeParameters)}:
            assert ('# live:' in comment) == is_live(name), name


def test_every_parameter_has_a_description_and_numbers_have_a_range():
    for parameter in fields(NodeParameters):
        described = descriptor(parameter)
        assert described.description.endswith('.')
        number = type(parameter.default) in {int, float}
        assert number == bool(described.integer_range or described.floating_point_range)


def test_lists_become_tuples_and_unknown_names_are_left_alone():
    parameters = changed(NodeParameters(), {'cameras': ['a', 'b'], 'use_sim_time': True})
    assert parameters.cameras == ('a', 'b')


@pytest.mark.parametrize(
    ('values', 'sentence'),
    [
        ({'cameras': []}, 'at least one'),
        ({'cameras': ['a', 'a']}, 'each camera once'),
        ({'image_transport': 'theora'}, 'raw or compressed'),
        ({'backend': 'gpu'}, 'give auto, tensorrt, .* or onnxruntime-cpu'),
        ({'engine_precision': 'fp8'}, 'give fp16, fp32 or int8'),
        ({'motion_source': 'gps'}, 'give odometry or tf'),
        ({'reference': 'last'}, 'give anchor or first'),
        ({'camera_offsets_ms': [0.0, 2.0]}, 'one for each of cameras'),
        ({'camera_offsets_ms': [10.0]}, 'one for each of cameras'),
        ({'camera_offsets_ms': [1.0, 0.0, 0.0, 0.0, 0.0, 0.0]}, 'must be 0 for the first'),
        ({'camera_offsets_ms': [0.0, float('nan'), 0.0, 0.0, 0.0, 0.0]}, 'within 1000 ms'),
        ({'cameras': ['front-left']}, 'part of topic names'),
        ({'save_folder': '~no such user/x'}, 'give a full path'),
        ({'model': '~no such user/x.onnx'}, 'give a full path'),
        ({'minimum_cameras': 7}, 'there are 6 cameras'),
        ({'height_band_low_m': 2.0}, 'must be below'),
    ],
)
def test_nonsense_is_refused(values, sentence):
    with pytest.raises(SelfOccError, match=sentence):
        changed(NodeParameters(), values)


def test_offsets_are_given_for_each_camera_or_there_are_none():
    assert NodeParameters().offsets_ms == dict.fromkeys(NodeParameters().cameras, 0.0)
    given = NodeParameters(cameras=('a', 'b'), camera_offsets_ms=(0.0, 12.5))
    assert given.offsets_ms == {'a': 0.0, 'b': 12.5}


def test_grids_are_saved_in_the_ros_folder_unless_told_otherwise(monkeypatch, tmp_path):
    monkeypatch.setenv('ROS_HOME', str(tmp_path))
    assert NodeParameters().save_path == tmp_path / 'selfocc_grids'
    assert NodeParameters(save_folder='/data/grids').save_path == Path('/data/grids')


def test_frame_sets_are_formed_as_in_an_evaluation_unless_told_otherwise():
    config = synchronizer_config(NodeParameters())
    assert replace(config, offsets_ns={}) == SynchronizerConfig()
