from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from selfocc_core.cameras import nuscenes_like_rig
from selfocc_core.datasets.encoded_image import read_encoded_image, read_image_of
from selfocc_core.errors import SelfOccError


@pytest.fixture(scope='module')
def path(tmp_path_factory):
    return tmp_path_factory.mktemp('images') / 'image'


def encoded(suffix: str, width: int, height: int, channels: int) -> bytes:
    rng = np.random.default_rng(width * height)
    picture = rng.integers(0, 256, (height, width, channels), np.uint8)
    return cv2.imencode(suffix, picture)[1].tobytes()


@given(
    st.sampled_from(['.jpg', '.png']), st.integers(1, 70), st.integers(1, 70),
    st.sampled_from([1, 3]),
)  # fmt: skip
def test_the_size_is_that_of_the_decoded_image(path, suffix, width, height, channels):
    content = encoded(suffix, width, height, channels)
    path.write_bytes(content)
    image = read_encoded_image(path)
    assert (image.width, image.height) == (width, height)
    assert image.format == {'.jpg': 'jpeg', '.png': 'png'}[suffix]
    assert image.data.tobytes() == content


def test_other_kinds_of_jpeg_are_read(path):
    picture = np.zeros((40, 24, 3), np.uint8)
    for flags in ([cv2.IMWRITE_JPEG_PROGRESSIVE, 1], [cv2.IMWRITE_JPEG_RST_INTERVAL, 2]):
        content = cv2.imencode('.jpg', picture, flags)[1].tobytes()
        # Bytes 0xFF before a marker are padding; a large part may come before the size.
        thumbnail = b'\xff\xff\xe1\x40\x00' + b'\xff' * 0x3FFE
        path.write_bytes(content[:2] + thumbnail + content[2:])
        image = read_encoded_image(path)
        assert (image.width, image.height) == (24, 40)


@given(st.sampled_from(['.jpg', '.png']), st.floats(0, 0.99))
def test_what_is_cut_off_is_refused(path, suffix, share):
    content = encoded(suffix, 30, 20, 3)
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(SelfOccError, match='damaged or neither JPEG nor PNG'):
        read_encoded_image(path)


@given(st.binary(max_size=200), st.sampled_from([b'\xff\xd8\xff', b'\x89PNG\r\n\x1a\n', b'']))
def test_noise_is_no_other_error(path, noise, start):
    path.write_bytes(start + noise + b'IEND\xff\xd9')
    try:
        image = read_encoded_image(path)
    except SelfOccError:
        return
    assert image.data.tobytes().startswith(start or b'never')


def test_the_size_has_to_be_that_of_the_calibration(path):
    camera = nuscenes_like_rig(32, 18).cameras[0]
    path.write_bytes(encoded('.png', 32, 18, 3))
    assert read_image_of(camera, path).width == 32
    path.write_bytes(encoded('.png', 18, 32, 3))
    with pytest.raises(SelfOccError, match='18x32 but camera "front" is calibrated for 32x18'):
        read_image_of(camera, path)
