"""Exported files: general and for one rig."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from small_run import small_preset

from selfocc_core.backends import ModelInputs, open_backend
from selfocc_core.backends.onnxruntime import CPU, _options
from selfocc_core.cameras import nuscenes_like_rig
from selfocc_core.engine.golden import Golden
from selfocc_core.engine.graph_modes import rewrite
from selfocc_core.engine.image_path import image_path
from selfocc_core.errors import SelfOccError
from selfocc_core.onnx_operators import DOMAIN, SURROUND
from selfocc_core.pipeline import OccupancyPipeline
from training.checkpoint import Checkpoint
from training.export import Export
from training.export_parity import check_parity, example_inputs
from training.model.selfocc import SelfOcc

pytestmark = pytest.mark.deployment


@pytest.fixture(scope='module')
def checkpoint(tmp_path_factory):
    """A network with everything that the shipped one has, of random weights."""
    preset = small_preset()
    torch.manual_seed(3)
    network = SelfOcc(preset.model)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    path = tmp_path_factory.mktemp('checkpoint') / 'model.ckpt'
    Checkpoint(preset, 0, 0, 'none', 'none', network.state_dict(), {}).save(path)
    return path


@pytest.fixture(scope='module')
def general(checkpoint, tmp_path_factory):
    path = tmp_path_factory.mktemp('general') / 'model.onnx'
    Export(checkpoint, path).run()
    return path


@pytest.fixture(scope='module')
def for_rig(checkpoint, tmp_path_factory):
    path = tmp_path_factory.mktemp('rig') / 'model.onnx'
    nuscenes_like_rig().to_yaml(path.with_name('rig.yaml'))
    Export(checkpoint, path, rig=path.with_name('rig.yaml')).run()
    return path


def size_of(path):
    card = open_backend(path).card
    return card.input.cameras, card.input.height, card.input.width


def test_attention_is_a_node_with_a_body(general):
    model = onnx.load(general)
    operators = [node.op_type for node in model.graph.node if node.domain == DOMAIN]
    assert operators == [SURROUND] * 4  # three planes and the lift
    assert [function.name for function in model.functions] == [SURROUND]
    assert not any(node.op_type == 'GridSample' for node in model.graph.node)


def test_the_golden_file_holds_what_the_model_gives(general):
    golden = Golden.load_for(general)
    outputs = open_backend(general).infer(golden.inputs)
    np.testing.assert_array_equal(outputs.sdf, golden.outputs.sdf)
    np.testing.assert_array_equal(outputs.depth, golden.outputs.depth)
    assert np.ptp(golden.outputs.sdf) > 0.1


def test_a_model_for_a_rig_has_no_calibration_among_its_inputs(for_rig):
    names = [value.name for value in onnx.load(for_rig).graph.input]
    assert names == ['images', 'camera_mask']
    assert open_backend(for_rig).card.rig_hash == nuscenes_like_rig().content_hash


def test_of_a_model_for_a_rig_only_what_the_images_say_is_left_to_compute(for_rig, tmp_path):
    options = _options(onnxruntime, for_rig, threads=1)
    options.optimized_model_filepath = str(tmp_path / 'optimized.onnx')
    onnxruntime.InferenceSession(str(for_rig), options, providers=[CPU])
    graph = onnx.load(tmp_path / 'optimized.onnx').graph
    known = {value.name for value in graph.initializer}
    assert not [node.op_type for node in graph.node if known.issuperset(node.input)]
    assert not [node for node in graph.node if node.op_type in ('NonZero', 'Softmax')]


def test_native_graphs_give_the_same_with_a_camera_absent(general, for_rig):
    for path in (general, for_rig):
        native = rewrite(onnx.load(path), 'native')
        session = onnxruntime.InferenceSession(native.SerializeToString(), providers=[CPU])
        golden = Golden.load_for(path)
        given = vars(golden.inputs)
        assert not given['camera_mask'].all()
        feeds = {value.name: given[value.name] for value in session.get_inputs()}
        sdf, depth = session.run(['sdf', 'depth'], feeds)
        np.testing.assert_allclose(sdf, golden.outputs.sdf, atol=1e-5)
        np.testing.assert_allclose(depth, golden.outputs.depth, atol=1e-2)


def test_of_a_model_for_a_rig_the_native_graph_knows_the_visible_pairs(general, for_rig):
    counts = []
    for path in (general, for_rig):
        names = [tensor.name for tensor in rewrite(onnx.load(path), 'native').graph.initializer]
        counts.append(len([name for name in names if '/pairs/' in name]))
    assert counts == [0, 4 * 5]  # three planes and the lift


@pytest.mark.parametrize('absent', [(), (0,), (1, 4), (0, 1, 2, 3, 4, 5)])
def test_both_flavours_agree_whatever_cameras_are_absent(general, for_rig, absent):
    inputs = example_inputs(*size_of(general), seed=5)
    mask = np.ones(6, bool)
    mask[list(absent)] = False
    inputs = ModelInputs(inputs.images, inputs.image_from_ego, mask)
    one, other = (open_backend(path).infer(inputs) for path in (general, for_rig))
    np.testing.assert_allclose(other.sdf, one.sdf, atol=1e-5)
    np.testing.assert_allclose(other.depth, one.depth, atol=1e-2)


def test_absent_cameras_are_as_if_they_were_not_in_the_network(checkpoint, general):
    """Torch leaves pairs of absent cameras out, the exported graph weighs their zeros."""
    from training.deployed import DeployedModel
    from training.export_parity import torch_outputs

    saved = Checkpoint.load(checkpoint)
    network = SelfOcc(saved.preset.model)
    network.load_state_dict(saved.model)
    inputs = example_inputs(*size_of(general), seed=6)
    inputs = ModelInputs(inputs.images, inputs.image_from_ego, np.arange(6) < 3)
    expected = torch_outputs(DeployedModel(network, saved.preset).eval(), inputs)
    check_parity(expected, open_backend(general), inputs)


def test_a_model_for_a_rig_refuses_another(for_rig):
    backend = open_backend(for_rig)
    OccupancyPipeline(backend, nuscenes_like_rig())
    with pytest.raises(SelfOccError, match='another rig'):
        OccupancyPipeline(backend, nuscenes_like_rig(320, 180))


def test_the_values_of_attention_are_made_of_the_images_alone(general, for_rig):
    """So engines take them in half precision, in the cameras' absence, too."""
    for path in (general, for_rig):
        model = onnx.load(path)
        features = {output for node in image_path(model) for output in node.output}
        values = [node.input[0] for node in model.graph.node if node.domain == DOMAIN]
        assert len(values) == 4
        assert features.issuperset(values)
