"""Published weights load by name and shape, or not at all."""

from __future__ import annotations

import json
import re
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from selfocc_core.errors import SelfOccError
from training.checkpoint import Checkpoint
from training.grid import NodeGrid
from training.import_checkpoint import ImportCheckpoint, import_weights
from training.model.selfocc import SelfOcc
from training.official_weights import NOT_PARAMETERS, to_our_names, translate
from training.presets import PRESETS

KEYS = Path(__file__).resolve().parents[3] / 'shared/data/parity/checkpoint_keys.json'
needs_keys = pytest.mark.skipif(not KEYS.is_file(), reason=f'needs ../{KEYS.name} of the method')

# Our names to the published ones, written apart from the table under test.
BACKWARDS = [
    (r'^backbone', 'img_backbone'),
    (r'^neck\.lateral_convs\.(\d)', r'img_neck.lateral_convs.\1.conv'),
    (r'^neck\.output_convs\.(\d)', r'img_neck.fpn_convs.\1.conv'),
    (r'^encoder\.queries\.', 'lifter.tpv_'),
    (r'^encoder\.level_embedding', 'encoder.level_embeds'),
    (r'^encoder\.camera_embedding', 'encoder.cams_embeds'),
    (r'^encoder\.positions\.', 'encoder.positional_encoding.position_layer_'),
    (r'\.cross_view\.', '.attentions.0.'),
    (r'\.image\.(\w+)\.output_proj', r'.attentions.1.attn_\1.output_proj'),
    (r'\.image\.(\w+)\.', r'.attentions.1.attn_\1.deformable_attention.'),
    (r'\.ffn\.0\.', '.ffns.0.layers.0.0.'),
    (r'\.ffn\.3\.', '.ffns.0.layers.1.'),
    (r'^decoder\.mlp', 'head.model.field.density_net'),
    (r'^sharpness\.exponent', 'head.model.field.deviation_network.variance'),
    (r'(tpv|layer|attn)_top', r'\1_hw'),
    (r'(tpv|layer|attn)_side', r'\1_zh'),
    (r'(tpv|layer|attn)_front', r'\1_wz'),
]


def published_name(ours: str) -> str:
    for pattern, replacement in BACKWARDS:
        ours = re.sub(pattern, replacement, ours)
    return ours


def published(preset) -> dict[str, torch.Tensor]:
    """Random weights of a preset as the authors of SelfOcc would have saved them."""
    state = SelfOcc(preset.model).state_dict()
    weights = {
        published_name(name): value[None] if 'queries' in name else value
        for name, value in state.items()
    }
    grid = preset.model.grid
    return weights | {
        'head.model.field_background': torch.zeros(1),
        'head.model.device_indicator_param': torch.zeros(0),
        'head.model.field.aabb': torch.tensor([grid.minimum_m, grid.maximum_m]),
    }


@pytest.fixture(scope='module')
def tiny():
    return PRESETS['method_tiny']


@pytest.fixture
def weights(tiny):
    return published(tiny)


def save(content, path: Path) -> Path:
    torch.save(content, path)
    return path


def as_distributed(weights):
    return {f'module.{name}': value for name, value in weights.items()}


@pytest.mark.parametrize(
    'wrap',
    [
        lambda w: w,
        lambda w: {'state_dict': w, 'epoch': 12, 'optimizer': {'state': {}}},
        lambda w: {'model': as_distributed(w)},
        lambda w: {'state_dict': as_distributed(w), 'global_iter': 5},
        lambda w: {'state_dict': w, 'best': np.float64(45.01), 'iterations': np.int64(7)},
    ],
)
def test_weights_arrive_under_our_names(weights, tiny, tmp_path, wrap):
    checkpoint = import_weights(save(wrap(weights), tmp_path / 'selfocc.pth'), tiny, 'selfocc x')
    network = SelfOcc(checkpoint.preset.model)
    network.load_state_dict(checkpoint.model)
    assert torch.equal(checkpoint.model['encoder.queries.side'], weights['lifter.tpv_zh'][0])
    assert torch.equal(
        checkpoint.model['encoder.layers.1.image.front.value_proj.weight'],
        weights['encoder.layers.1.attentions.1.attn_wz.deformable_attention.value_proj.weight'],
    )
    assert (checkpoint.step, checkpoint.command, checkpoint.optimizer) == (0, 'selfocc x', {})
    assert re.fullmatch(
        r'published SelfOcc weights selfocc\.pth \(sha256 [0-9a-f]{64}\)', checkpoint.data
    )
    assert checkpoint.preset == replace(tiny, model=replace(tiny.model, parity=True))


@pytest.mark.slow
def test_a_file_of_nuscenes_occ_is_imported_and_runs(tmp_path, capsys):
    preset = PRESETS['nuscenes_occ']
    path = save({'state_dict': published(preset)}, tmp_path / 'selfocc.pth')
    ImportCheckpoint(path, 'nuscenes_occ', tmp_path / 'model.ckpt').run()
    assert 'none missing, none left over' in capsys.readouterr().out
    checkpoint = Checkpoint.load(tmp_path / 'model.ckpt')
    assert checkpoint.preset.model.parity
    network = SelfOcc(checkpoint.preset.model).eval()
    network.load_state_dict(checkpoint.model)
    # The whole volume takes minutes; the images and one layer's worth of weights do not.
    with torch.no_grad():
        features = network.backbone(torch.zeros(1, 3, 64, 64))
        assert [level.shape[1] for level in network.neck(features)] == [96] * 4
        assert network.decoder.mlp(torch.zeros(5, 96)).shape == (5, 25)
        assert 0 < float(network.sharpness()) < 10


def test_an_imported_checkpoint_predicts_a_field(weights, tiny, tmp_path):
    ImportCheckpoint(
        save(weights, tmp_path / 'selfocc.pth'), 'method_tiny', tmp_path / 'model.ckpt'
    ).run()
    checkpoint = Checkpoint.load(tmp_path / 'model.ckpt')
    network = SelfOcc(checkpoint.preset.model).eval()
    network.load_state_dict(checkpoint.model)
    images = torch.zeros(1, 6, 96, 192, 3, dtype=torch.uint8)
    projections = torch.eye(4)[:3].expand(1, 6, 3, 4)
    with torch.no_grad():
        (field,) = network(images, projections, torch.ones(1, 6, dtype=torch.bool))
    assert field.volume.shape == (25, 17, 17, 9)
    assert bool(field.volume.isfinite().all())


@needs_keys
def test_the_names_and_shapes_of_the_original_load(tmp_path, tiny):
    shapes = json.loads(KEYS.read_text())
    model = replace(
        tiny.model,
        input=replace(tiny.model.input, cameras=2),
        grid=NodeGrid.box((-40.0, -40.0, -1.0), (40.0, 40.0, 5.4), (17, 17, 9)),
    )
    counts = 'num_batches_tracked'
    content = {
        name: torch.zeros(shape, dtype=torch.int64 if name.endswith(counts) else torch.float32)
        for name, shape in shapes.items()
    }
    content['head.model.field.aabb'] = torch.tensor([[-40.0, -40.0, -1.0], [40.0, 40.0, 5.4]])
    path = save(content, tmp_path / 'selfocc.pth')
    checkpoint = import_weights(path, replace(tiny, model=model))
    assert len(checkpoint.model) == len(shapes) - len(NOT_PARAMETERS)


@needs_keys
def test_every_name_of_the_original_is_known():
    names = json.loads(KEYS.read_text())
    assert [name for name in names if translate(name) is None] == list(NOT_PARAMETERS)
    translated = [translate(name) for name in names if name not in NOT_PARAMETERS]
    assert len(set(translated)) == len(translated)


def test_unknown_names_have_no_translation():
    for name in ('fc.weight', 'img_neck.lateral_convs.x.conv.bias', 'encoder.layers.0.norms'):
        assert translate(name) is None
    assert to_our_names({'fc.weight': torch.zeros(1)}) == {}


def missing(weights):
    del weights['encoder.layers.1.norms.2.bias']


def extra(weights):
    weights['img_backbone.fc.weight'] = torch.zeros(3, 5)


def wrong_shape(weights):
    weights['lifter.tpv_zh'] = torch.zeros(1, 7, 24)


def two_samples(weights):
    weights['lifter.tpv_zh'] = torch.zeros(2, 153, 24)


def wrong_type(weights):
    weights['encoder.level_embeds'] = weights['encoder.level_embeds'].long()


def the_same_twice(weights):
    name = 'encoder.layers.0.attentions.1.attn_hw.{}output_proj.bias'
    weights[name.format('deformable_attention.')] = weights[name.format('')]


def too_large_for_its_type(weights):
    weights['encoder.level_embeds'] = torch.full((4, 24), 1e300, dtype=torch.float64)


def strange_name(weights):
    weights['fc\nweight'] = torch.zeros(1)


def on_no_device(weights):
    weights['encoder.level_embeds'] = torch.zeros(4, 24, device='meta')


def not_finite(weights):
    weights['encoder.level_embeds'] = torch.full((4, 24), torch.nan)


def other_range(weights):
    weights['head.model.field.aabb'] = torch.tensor([[-51.2, -40, -1], [51.2, 40, 5.4]])


def no_range(weights):
    del weights['head.model.field.aabb']


@pytest.mark.parametrize(
    ('damage', 'sentence'),
    [
        (missing, r'encoder\.layers\.1\.norms\.2\.bias \[24\] is missing'),
        (extra, r'img_backbone\.fc\.weight \[3, 5\] is unknown'),
        (wrong_shape, r'lifter\.tpv_zh is \[7, 24\], expected \[153, 24\]'),
        (two_samples, r'lifter\.tpv_zh is \[2, 153, 24\], expected \[153, 24\]'),
        (wrong_type, r'encoder\.level_embeds is torch\.int64, expected torch\.float32'),
        (the_same_twice, r'output_proj\.bias are the same parameter'),
        (other_range, r'head\.model\.field\.aabb is not \[\[-40'),
        (no_range, r'head\.model\.field\.aabb is missing'),
    ],
)
def test_what_does_not_fit_is_named_and_nothing_is_written(weights, tmp_path, damage, sentence):
    damage(weights)
    path = save(weights, tmp_path / 'selfocc.pth')
    with pytest.raises(SelfOccError, match=sentence) as refused:
        ImportCheckpoint(path, 'method_tiny', tmp_path / 'model.ckpt').run()
    assert 'choose the --preset that these weights were trained with' in str(refused.value)
    assert '\n' not in str(refused.value)
    assert not (tmp_path / 'model.ckpt').exists()


def test_weights_of_another_preset_are_refused_with_a_few_names(weights, tmp_path):
    path = save(weights, tmp_path / 'selfocc.pth')
    with pytest.raises(SelfOccError, match=r'; and \d+ more\)') as refused:
        import_weights(path, PRESETS['method_small'])
    assert str(refused.value).count(';') == 8


@pytest.mark.parametrize(
    ('damage', 'sentence'),
    [
        (not_finite, 'not finite in encoder.level_embedding'),
        (too_large_for_its_type, 'not finite in encoder.level_embedding'),
        (strange_name, 'no dictionary of named parameters'),
        (on_no_device, 'no dictionary of named parameters'),
    ],
)
def test_what_are_no_numbers_is_refused(weights, tmp_path, damage, sentence):
    damage(weights)
    path = save(weights, tmp_path / 'selfocc.pth')
    with pytest.raises(SelfOccError, match=sentence):
        ImportCheckpoint(path, 'method_tiny', tmp_path / 'model.ckpt').run()
    assert not (tmp_path / 'model.ckpt').exists()


def test_a_folder_is_no_place_for_a_checkpoint(weights, tmp_path):
    (tmp_path / 'model.ckpt').mkdir()
    path = save(weights, tmp_path / 'selfocc.pth')
    with pytest.raises(SelfOccError, match='cannot write'):
        ImportCheckpoint(path, 'method_tiny', tmp_path / 'model.ckpt').run()


class Bomb:
    def __reduce__(self):
        return (pytest.fail, ('a pickle was executed',))


@pytest.mark.parametrize(
    ('write', 'sentence'),
    [
        (lambda path: save({'state_dict': Bomb()}, path), 'is not a file of weights only'),
        (lambda path: path.write_bytes(b'not a checkpoint'), 'is not a file of weights only'),
        (lambda path: path.write_bytes(b''), 'is not a file of weights only'),
        (lambda path: None, 'there is no file'),
        (lambda path: save([torch.zeros(1)], path), 'is no dictionary of named parameters'),
        (lambda path: save({'model': {'a': 'b'}}, path), 'is no dictionary of named parameters'),
        (lambda path: save({}, path), 'is missing'),
    ],
)
def test_a_foreign_file_is_refused_unopened(tmp_path, write, sentence):
    write(tmp_path / 'selfocc.pth')
    with pytest.raises(SelfOccError, match=sentence):
        ImportCheckpoint(tmp_path / 'selfocc.pth', 'method_tiny', tmp_path / 'model.ckpt').run()
    assert not (tmp_path / 'model.ckpt').exists()


def test_an_archive_that_unpacks_to_too_much_is_not_unpacked(tmp_path, monkeypatch):
    monkeypatch.setattr('training.import_checkpoint._LARGEST_BYTES', 1 << 20)
    path = tmp_path / 'selfocc.pth'
    with zipfile.ZipFile(path, 'w', zipfile.ZIP_DEFLATED) as archive:
        archive.writestr('archive/data/0', bytes(2 << 20))
    assert path.stat().st_size < 1 << 20
    with pytest.raises(SelfOccError, match='is larger than'):
        import_weights(path, PRESETS['method_tiny'])


def test_an_unknown_preset_is_refused(tmp_path):
    with pytest.raises(SelfOccError, match='there is no preset "nope"'):
        ImportCheckpoint(tmp_path / 'selfocc.pth', 'nope').run()
