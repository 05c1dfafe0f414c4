from __future__ import annotations

import json
from types import SimpleNamespace

import numpy as np
import onnx
import pytest
from mock_model import DEPTH_M, GROUND_HEIGHT_M, write_mock_model

from selfocc_core.backends import open_backend
from selfocc_core.cameras import Rig, nuscenes_like_rig
from selfocc_core.depth import depth_image, lattice_from_camera
from selfocc_core.errors import SelfOccError
from selfocc_core.files import sha256_of
from selfocc_core.frames import CameraFrame, FrameSet
from selfocc_core.model_card import DepthSpec, ModelCard
from selfocc_core.pipeline import OccupancyPipeline, classify, ego_motion
from selfocc_core.preprocess import Preprocessor
from selfocc_core.transforms import Trajectory
from selfocc_core.voxels import VoxelState

RIG = nuscenes_like_rig(80, 45)
SHAPE = (32, 32, 16)


@pytest.fixture
def model(tmp_path):
    return write_mock_model(tmp_path / 'mock.onnx', height=48, width=80, grid_shape=SHAPE)


def frame_set(names=RIG.names) -> FrameSet:
    image = np.full((45, 80, 3), 100, np.uint8)
    return FrameSet(0, {name: CameraFrame(name, 0, image) for name in names})


def change_card(model, **changes) -> None:
    path = ModelCard.path_for(model)
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_a_card_is_read_as_it_was_written(model):
    card = ModelCard.load_for(model)
    card.write_for(model)
    assert ModelCard.load_for(model) == card
    assert card.grid.to_grid().shape == SHAPE


def test_a_missing_model_is_named(tmp_path):
    with pytest.raises(SelfOccError, match='there is no model at'):
        open_backend(tmp_path / 'none.onnx')


def test_a_missing_card_is_named(model):
    ModelCard.path_for(model).unlink()
    with pytest.raises(SelfOccError, match='cannot read model card'):
        open_backend(model)


def test_a_card_of_another_file_is_refused(model):
    with model.open('ab') as stream:
        stream.write(b'\0')
    with pytest.raises(SelfOccError, match='describes another file'):
        open_backend(model)


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        ({'format': 2}, 'format 2'),
        ({'version': 'new'}, 'malformed: version'),
        ({'input': {'cameras': 0, 'height': 48, 'width': 80}}, r'malformed: input\.cameras'),
        ({'surprise': 1}, 'malformed: surprise'),
    ],
)
def test_a_malformed_card_is_one_sentence(model, changes, message):
    change_card(model, **changes)
    with pytest.raises(SelfOccError, match=message) as caught:
        open_backend(model)
    assert '\n' not in str(caught.value)


@pytest.mark.parametrize(
    'changes',
    [
        {'input': {'cameras': 5, 'height': 48, 'width': 80}},
        {'grid': {'minimum_m': [-1, -1, -1], 'maximum_m': [1, 1, 1], 'shape': [32, 32, 8]}},
        {'depth': {'height': 12, 'width': 21, 'near_m': 0.5, 'far_m': 60.0}},
    ],
)
def test_a_model_that_does_not_match_its_card_is_refused(model, changes):
    change_card(model, **changes)
    with pytest.raises(SelfOccError, match='its card says'):
        open_backend(model)


def test_a_file_that_is_no_model_is_refused(model):
    model.write_bytes(b'not an onnx file')
    change_card(model, onnx_sha256=sha256_of(model))
    with pytest.raises(SelfOccError, match='not a model that ONNX Runtime can load'):
        open_backend(model)


def test_a_model_without_depth_is_refused(model):
    proto = onnx.load(str(model))
    del proto.graph.output[1]
    onnx.save(proto, str(model))
    change_card(model, onnx_sha256=sha256_of(model))
    with pytest.raises(SelfOccError, match='"depth"'):
        open_backend(model)


def test_flat_ground_becomes_flat_ground(model):
    pipeline = OccupancyPipeline(open_backend(model), RIG)
    result = pipeline.process(frame_set())
    heights_m = result.grid.centers()[..., 2]
    known = result.states != VoxelState.UNKNOWN
    np.testing.assert_array_equal(
        result.states[known] == VoxelState.OCCUPIED, heights_m[known] <= GROUND_HEIGHT_M
    )
    assert 0.5 < known.mean() < 1.0
    assert list(result.depths) == list(RIG.names)
    assert (result.depths['back'].depth_m == DEPTH_M).all()


def test_what_only_a_dead_camera_sees_is_unknown(model):
    pipeline = OccupancyPipeline(open_backend(model), RIG)
    whole = pipeline.process(frame_set()).states
    partial = pipeline.process(frame_set([n for n in RIG.names if n != 'back']))
    lost = (whole != VoxelState.UNKNOWN) & (partial.states == VoxelState.UNKNOWN)
    assert lost.any()
    assert (partial.grid.centers()[lost][:, 0] < 0).all()
    assert 'back' not in partial.depths
    nothing = pipeline.process(frame_set([]))
    assert (nothing.states == VoxelState.UNKNOWN).all()


def test_a_smaller_rig_fits_and_a_larger_does_not(model, tmp_path):
    pipeline = OccupancyPipeline(open_backend(model), Rig(RIG.cameras[:4]))
    assert len(pipeline.process(frame_set(RIG.names[:4])).depths) == 4
    small = write_mock_model(tmp_path / 's.onnx', cameras=2, height=48, width=80, grid_shape=SHAPE)
    with pytest.raises(SelfOccError, match='the rig has 6 cameras, model mock takes 2'):
        OccupancyPipeline(open_backend(small), RIG)


def test_a_model_made_for_another_rig_is_refused(model):
    card = open_backend(model).card

    def made_for(rig):
        return SimpleNamespace(card=card.model_copy(update={'rig_hash': rig.content_hash}))

    with pytest.raises(SelfOccError, match='another rig'):
        OccupancyPipeline(made_for(nuscenes_like_rig(160, 90)), RIG)
    OccupancyPipeline(made_for(RIG), RIG)


def test_a_late_shutter_is_compensated_by_odometry(model):
    """Driving 10 m/s, 50 ms later, a fixed point is half a metre nearer to the vehicle."""
    poses = np.tile(np.eye(4), (2, 1, 1))
    poses[1, 0, 3] = 1.0
    odometry = Trajectory(np.array([0, 10**8]), poses)
    late = ego_motion(odometry, 0, 5 * 10**7)
    np.testing.assert_allclose(late[:3, 3], (-0.5, 0, 0), atol=1e-12)
    np.testing.assert_array_equal(ego_motion(None, 0, 5 * 10**7), np.eye(4))
    pipeline = OccupancyPipeline(open_backend(model), RIG)
    image = np.zeros((45, 80, 3), np.uint8)
    shifted = FrameSet(0, {'front': CameraFrame('front', 5 * 10**7, image)})
    projection = pipeline._project(shifted, odometry)[0]
    expected = pipeline.preprocessors['front'].input_from_ego @ late
    np.testing.assert_allclose(projection, expected, rtol=1e-5, atol=1e-3)


def test_classify_compares_with_the_threshold():
    sdf = np.array([[[-1.0, 0.2, 0.5, -1.0]]], np.float32)
    visible = np.array([[[True, True, True, False]]])
    assert classify(sdf, visible, 0.2).tolist() == [[[1, 1, 0, 2]]]


def test_depth_at_the_far_end_is_infinite():
    spec = DepthSpec(height=2, width=2, near_m=0.5, far_m=60.0)
    lattice = np.array([[1.0, 58.0], [59.9, 60.0]], np.float32)
    image = depth_image(lattice, spec, Preprocessor(RIG['front'], 48, 80))
    assert np.isinf(image.depth_m).tolist() == [[False, False], [True, True]]


@pytest.mark.parametrize('size', [(48, 80), (44, 80), (30, 80), (96, 176)])
def test_depth_intrinsics_and_input_projection_agree(size):
    """A lattice cell looks where the centre of its pixels looks."""
    camera = RIG['front']
    preprocess = Preprocessor(camera, *size)
    spec = DepthSpec(height=size[0] // 2, width=size[1] // 2, near_m=0.5, far_m=60)
    lattice = lattice_from_camera(spec, preprocess)
    point = np.array([0.7, 0.3, 5.0])
    in_lattice = lattice @ point
    in_input = preprocess.input_from_image @ camera.image_from_camera @ point
    u_lattice, v_lattice = in_lattice[:2] / in_lattice[2]
    u_input, v_input = in_input[:2] / in_input[2]
    assert (u_lattice, v_lattice) == pytest.approx(((u_input - 0.5) / 2, (v_input - 0.5) / 2))
