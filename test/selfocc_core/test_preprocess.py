from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from selfocc_core.cameras import Camera, intrinsic_matrix
from selfocc_core.errors import SelfOccError
from selfocc_core.preprocess import Preprocessor


def camera(width: int = 320, height: int = 180, **lens) -> Camera:
    k = intrinsic_matrix(250.0, 250.0, width / 2, height / 2)
    return Camera('front', 'f', width, height, k, np.eye(4), **lens)


def blob(center, width, height) -> np.ndarray:
    v, u = np.mgrid[:height, :width]
    bump = 255 * np.exp(-((u - center[0]) ** 2 + (v - center[1]) ** 2) / (2 * 6.0**2))
    return np.repeat(bump[..., None], 3, 2).astype(np.uint8)


def centroid(image) -> np.ndarray:
    weight = image[..., 0].astype(float) ** 2
    v, u = np.mgrid[: image.shape[0], : image.shape[1]]
    return np.array([(u * weight).sum(), (v * weight).sum()]) / weight.sum()


@settings(max_examples=25)
@given(
    st.floats(100, 220),
    st.floats(90, 140),
    st.sampled_from([(96, 176), (90, 160), (60, 160), (90, 120), (180, 320), (225, 400)]),
)
def test_the_matrix_says_where_a_pixel_goes(u, v, size):
    preprocess = Preprocessor(camera(), *size)
    image = preprocess(blob((u, v), 320, 180))
    assert image.shape == (*size, 3)
    expected = (preprocess.input_from_image @ (u, v, 1.0))[:2]
    if (expected > 18).all() and (expected < np.array(size[::-1]) - 18).all():
        np.testing.assert_allclose(centroid(image), expected, atol=0.15)


def test_same_size_changes_nothing():
    image = np.random.default_rng(1).integers(0, 255, (180, 320, 3), np.uint8)
    preprocess = Preprocessor(camera(), 180, 320)
    np.testing.assert_array_equal(preprocess(image), image)
    np.testing.assert_array_equal(preprocess.input_from_image, np.eye(3))


def test_the_crop_takes_from_the_top_and_from_both_sides_alike():
    tall = Preprocessor(camera(), 60, 160).input_from_image
    assert tall[1] @ (0, 179.5, 1) == pytest.approx(59.5)  # the lower edge stays
    wide = Preprocessor(camera(), 90, 120).input_from_image
    assert wide[0] @ (159.5, 0, 1) == pytest.approx(59.5)  # the middle stays


@pytest.mark.parametrize(
    ('model', 'coefficients'),
    [('plumb_bob', (-0.3, 0.1, 0.001, -0.001, 0.0)), ('equidistant', (0.05, -0.01, 0.0, 0.0))],
)
def test_undistorted_points_lie_where_the_pinhole_says(model, coefficients):
    lens = camera(distortion_model=model, distortion=coefficients)
    point, k = np.array([[[0.18, 0.11, 1.0]]]), lens.image_from_camera
    if model == 'equidistant':
        seen = cv2.fisheye.distortPoints(point[..., :2], k, np.array(coefficients))
    else:
        seen, _ = cv2.projectPoints(point, np.zeros(3), np.zeros(3), k, np.array(coefficients))
    image = Preprocessor(lens, 180, 320)(blob(seen.reshape(2), 320, 180))
    np.testing.assert_allclose(centroid(image), (k @ point[0, 0])[:2], atol=0.7)


def test_input_from_ego_is_the_whole_chain():
    preprocess = Preprocessor(camera(), 90, 160)
    np.testing.assert_allclose(
        preprocess.input_from_ego, preprocess.input_from_image @ camera().image_from_ego
    )


@pytest.mark.parametrize('shape', [(180, 319, 3), (180, 320), (180, 320, 4)])
def test_an_image_of_another_size_is_refused(shape):
    with pytest.raises(SelfOccError, match='camera "front" sent'):
        Preprocessor(camera(), 90, 160)(np.zeros(shape, np.uint8))


def test_edges_of_an_enlarged_image_show_the_edges_of_the_cameras():
    lens = camera(16, 12, distortion_model='plumb_bob', distortion=(1e-9, 0.0, 0.0, 0.0, 0.0))
    pixels = Preprocessor(lens, 48, 64).source_pixels()
    np.testing.assert_allclose(pixels[[0, -1], :, 1].T, [[0, 11]] * 64, atol=0.01)
    np.testing.assert_allclose(pixels[:, [0, -1], 0], [[0, 15]] * 48, atol=0.01)


@pytest.mark.parametrize('size', [(1600, 900), (1920, 1080), (3840, 2160), (1601, 901)])
def test_large_images_are_averaged_almost_exactly(size):
    """Halving first is a tenth of the work; a photograph has soft shapes and some noise."""
    width, height = size
    generator = np.random.default_rng(4)
    shapes = generator.integers(0, 236, (18, 32, 3), dtype=np.uint8)
    image = cv2.resize(shapes, size, interpolation=cv2.INTER_CUBIC)
    image += generator.integers(0, 20, image.shape, dtype=np.uint8)
    preprocess = Preprocessor(camera(width, height), 96, 176)
    resized = preprocess._resized_size
    exact = cv2.resize(image, resized, interpolation=cv2.INTER_AREA)[-96:, :176].astype(float)
    difference = np.abs(preprocess(image) - exact)
    assert difference.mean() < 0.5
    assert np.percentile(difference, 99) <= 3
