from __future__ import annotations

import numpy as np
import pytest
from surround_model import surround_model, write_surround_model

from selfocc_core import bag_messages as messages
from selfocc_core.bags import BagWriter
from selfocc_core.cameras import Rig, nuscenes_like_rig
from selfocc_core.engine.calibration import calibrate
from selfocc_core.engine.quantization import quantized_tensors
from selfocc_core.engine.scales import Scales
from selfocc_core.errors import SelfOccError
from selfocc_core.files import sha256_of

pytestmark = pytest.mark.deployment

RIG = Rig(tuple(nuscenes_like_rig(24, 16))[:2])
START_NS = 1_700_000_000 * 10**9


def write_drive(path, brightness, images=True):
    with BagWriter(path) as bag:
        transforms = messages.tf_message(
            [
                messages.transform_stamped(
                    'base_link', camera.frame_id, camera.ego_from_camera, START_NS
                )
                for camera in RIG
            ]
        )
        bag.write('/tf_static', transforms, START_NS)
        for camera in RIG:
            info = messages.camera_info(camera, START_NS)
            bag.write(f'/camera/{camera.name}/camera_info', info, START_NS)
        for step in range(5 if images else 0):
            for camera in RIG:
                stamp_ns = START_NS + step * 100_000_000
                image = np.full((16, 24, 3), brightness, np.uint8)
                topic = f'/camera/{camera.name}/image'
                bag.write(topic, messages.raw_image(image, stamp_ns, camera.frame_id), stamp_ns)
    return path


def test_scales_follow_the_images_of_the_drive(tmp_path):
    model = write_surround_model(tmp_path / 'm.onnx')
    dark = calibrate(model, write_drive(tmp_path / 'dark.mcap', 130), frame_sets=3)
    bright = calibrate(model, write_drive(tmp_path / 'bright.mcap', 250), frame_sets=3)
    assert list(dark.of_tensors) == quantized_tensors(surround_model())
    assert (dark.drive, dark.frame_sets) == ('dark.mcap', 3)
    # Pixels of brightness b enter the first convolution as (b - 120) / 120.
    assert dark.of_tensors['planes'] == pytest.approx(10 / 120 / 127, rel=0.01)
    assert bright.of_tensors['planes'] == pytest.approx(130 / 120 / 127, rel=0.01)


@pytest.mark.parametrize('scale', ['0.0', '-1.0', 'NaN', 'Infinity'])
def test_scales_that_quantize_nothing_are_refused(tmp_path, scale):
    """Divided by them, every activation would be no number, or have the other sign."""
    model = write_surround_model(tmp_path / 'm.onnx')
    good = Scales(model=sha256_of(model), drive='d', frame_sets=1, of_tensors={'planes': 0.5})
    good.save(tmp_path, model)
    path = Scales.path_for(tmp_path, model)
    path.write_text(path.read_text().replace('0.5', scale))
    with pytest.raises(SelfOccError, match='are damaged: calibrate again'):
        Scales.load(tmp_path, model)


def test_a_drive_without_images_is_refused(tmp_path):
    model = write_surround_model(tmp_path / 'm.onnx')
    drive = write_drive(tmp_path / 'none.mcap', 100, images=False)
    with pytest.raises(SelfOccError, match='image'):
        calibrate(model, drive)
