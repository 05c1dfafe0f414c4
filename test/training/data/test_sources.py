from __future__ import annotations

from pathlib import Path

import pytest
from dataset_trees import IMAGES, write_kitti_drive, write_nuscenes, write_semantic_kitti

from selfocc_core.errors import SelfOccError
from training.data.sources import Source, drives_of, parse_source, read_clips


@pytest.mark.parametrize(
    ('text', 'source'),
    [
        ('d.mcap', Source('bag', Path('d.mcap'))),
        ('bag:d.mcap', Source('bag', Path('d.mcap'))),
        ('nuscenes:/n', Source('nuscenes', Path('/n'))),
        (
            'kitti-raw:a/b,frames=0:120,poses=p/p.txt',
            Source('kitti-raw', Path('a/b'), {'frames': '0:120', 'poses': 'p/p.txt'}),
        ),
        (
            'semantic-kitti:s/00,frames=:9',
            Source('semantic-kitti', Path('s/00'), {'frames': ':9'}),
        ),
        ('nuscenes:n,scenes=a+b', Source('nuscenes', Path('n'), {'scenes': 'a+b'})),
        (
            'bag:d,labels=l,labeller=a.b:c',
            Source('bag', Path('d'), {'labels': 'l', 'labeller': 'a.b:c'}),
        ),
    ],
)
def test_formats_and_options(text, source):
    assert parse_source(text) == source


@pytest.mark.parametrize(
    ('text', 'sentence'),
    [
        ('kitti:a', 'no data format "kitti": choose bag, kitti-raw, semantic-kitti, nuscenes'),
        (
            'kitti-raw:a,scenes=1',
            'kitti-raw has no option "scenes=1": it has frames, poses, labels and labe',
        ),
        ('kitti-raw:a,frames', 'has no option "frames"'),
        ('bag:a.mcap,frames=1:2', 'bag has no option "frames=1:2": it has labels and labeller'),
    ],
)
def test_what_is_not_known_is_refused(text, sentence):
    with pytest.raises(SelfOccError, match=sentence):
        parse_source(text)


def test_a_file_with_a_colon_in_its_name_is_a_bag(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path('10:30.mcap').touch()
    assert parse_source('10:30.mcap') == Source('bag', Path('10:30.mcap'))


def test_a_folder_of_drives_is_all_of_them(tmp_path):
    for name in ('b.mcap', 'a.mcap', 'notes.txt'):
        (tmp_path / name).touch()
    drive, sequence = write_kitti_drive(tmp_path), write_semantic_kitti(tmp_path)

    def found(format_name, path):
        return [d.path for d in drives_of(Source(format_name, path, {}))]

    assert found('bag', tmp_path) == [tmp_path / 'a.mcap', tmp_path / 'b.mcap']
    assert found('bag', tmp_path / 'b.mcap') == [tmp_path / 'b.mcap']
    for place in (drive, drive.parent, tmp_path):
        assert found('kitti-raw', place) == [drive]
    for place in (sequence, sequence.parent, tmp_path):
        assert found('semantic-kitti', place) == [sequence]
    (tmp_path / 'empty').mkdir()
    for name in ('bag', 'kitti-raw', 'semantic-kitti'):
        with pytest.raises(SelfOccError, match=f'holds no drive of the format {name}'):
            found(name, tmp_path / 'empty')
    with pytest.raises(SelfOccError, match='there is no training data at'):
        found('nuscenes', tmp_path / 'nowhere')


def test_options_reach_the_readers(tmp_path):
    drive, sequence = write_kitti_drive(tmp_path), write_semantic_kitti(tmp_path)
    tree = write_nuscenes(tmp_path / 'n', scenes=('one', 'two'))
    lengths = {
        text: [len(clip) for clip in read_clips(parse_source(text), IMAGES)]
        for text in (
            f'kitti-raw:{drive},frames=1:5',
            f'semantic-kitti:{sequence},frames=:3,poses=poses.txt',
            f'nuscenes:{tree},scenes=two',
            f'nuscenes:{tree}',
        )
    }
    assert list(lengths.values()) == [[4], [3], [7], [7, 7]]


def test_in_a_folder_bags_of_both_kinds_are_found(tmp_path):
    for name in ('b.mcap', 'a/metadata.yaml', 'a/a_0.db3', 'other/x.mcap'):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text('')
    assert [d.path.name for d in drives_of(Source('bag', tmp_path))] == ['a', 'b.mcap']
