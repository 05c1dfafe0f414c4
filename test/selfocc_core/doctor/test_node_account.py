from __future__ import annotations

from types import SimpleNamespace

from hypothesis import given
from hypothesis import strategies as st

from selfocc_core.doctor.node_account import NodeAccount
from selfocc_core.doctor.observation import CameraView, FrameSetsView


def status(name, message='', **values):
    pairs = [SimpleNamespace(key=k.replace('__', ' '), value=v) for k, v in values.items()]
    return SimpleNamespace(name=name, message=message, values=pairs)


def read(*statuses):
    return NodeAccount.read('surround', SimpleNamespace(status=list(statuses)))


def test_what_a_node_says_becomes_views():
    account = read(
        status('other: camera front', received='1'),
        status('surround: occupancy', published='90', age_s='0.1', cameras_missing='back, left'),
        status(
            'surround: camera front',
            'receiving',
            **{
                'received': '100',
                'rate_hz': '9.87',
                'age_s': '0.050',
                'clock_offset_s': '-0.200',
                'topic': '/front/image',
                'dropped: wrong size': '2',
                'dropped: frame set nobody listens': '5',
            },
        ),
        status('surround: camera back', 'frozen image', received='7', age_s='none'),
        status('surround: camera left', '', received='0', calibration='no camera_info'),
        status(
            'surround: inference',
            **{
                'frame_sets': '99',
                'published': '90',
                'in_progress': '1',
                'lost: nobody listens': '8',
                'model': 'tiny 0.1.0',
                'backend': 'tensorrt',
            },
        ),
    )
    dropped = {'wrong size': 2, 'frame set nobody listens': 5}
    cameras = account.cameras(['front', 'back', 'left', 'unheard'])
    assert cameras == {
        'front': CameraView(100, 9.87, 0.05, -0.2, dropped=dropped),
        'back': CameraView(7, problem='frozen image'),
        'left': CameraView(problem='', calibration_problem='no camera_info'),
    }
    assert account.frame_sets == FrameSetsView(
        99, 90, 1, {'nobody listens': 8}, {'wrong size': 2}, 0.1
    )
    assert account.inference == 'tiny 0.1.0 on tensorrt'
    assert account.topic('front') == '/front/image'
    assert account.topic('back') is None


def test_other_nodes_are_not_listened_to():
    assert read(status('surround_two: camera front')) is None
    assert NodeAccount({}, {}).frame_sets == FrameSetsView()
    assert NodeAccount({}, {}).inference == ''


@given(st.dictionaries(st.text(), st.text()), st.sampled_from(['camera front', 'inference']))
def test_nonsense_does_no_harm(values, name):
    account = read(status(f'surround: {name}', **values))
    assert len(account.cameras(['front'])) == (name == 'camera front')
    assert account.frame_sets.formed >= 0
