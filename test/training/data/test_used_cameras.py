from __future__ import annotations

from dataclasses import replace

import pytest

from selfocc_core.cameras import nuscenes_like_rig
from selfocc_core.errors import SelfOccError
from training.config import InputConfig
from training.data.used_cameras import used_cameras

RIG = nuscenes_like_rig(64, 32)
SIX = InputConfig(6, 32, 64)


def test_without_names_all_cameras_are_used():
    assert used_cameras(RIG, SIX, 'bag x') is RIG


def test_named_cameras_are_used_in_their_order():
    config = replace(SIX, cameras=2, camera_names=('back', 'front'))
    rig = used_cameras(RIG, config, 'bag x')
    assert rig.names == ('back', 'front')
    assert rig['back'] == RIG['back']


def test_what_does_not_fit_the_rig_is_refused():
    config = replace(SIX, cameras=2, camera_names=('front', 'top'))
    with pytest.raises(SelfOccError, match='bag x has no camera "top": choose of front, '):
        used_cameras(RIG, config, 'bag x')
    with pytest.raises(SelfOccError, match=r'has 6 cameras .* the preset takes 3: name those'):
        used_cameras(RIG, replace(SIX, cameras=3), 'bag x')


@pytest.mark.parametrize('names', [('front',), ('front', 'front'), ('front', 'back', 'back_left')])
def test_names_must_be_as_many_as_cameras(names):
    with pytest.raises(SelfOccError, match=r'camera_names .* model\.input\.cameras says, 2'):
        replace(SIX, cameras=2, camera_names=names)
