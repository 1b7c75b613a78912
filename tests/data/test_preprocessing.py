"""Crops and the choice of captions."""

import numpy as np
import pytest
import tensorflow as tf

from babeldraw.data import raw
from babeldraw.data.picture_files.framing import frame_tensor


def ramp(height, width):
    """Red tells the row, green the column."""
    rows, columns = np.meshgrid(np.arange(height), np.arange(width), indexing="ij")
    return np.stack([rows, columns, 0 * rows], -1).astype(np.uint8)


def test_centre_crop_without_seed():
    image = frame_tensor(tf.constant(ramp(40, 80)), 40).numpy()
    np.testing.assert_array_equal(image, ramp(40, 80)[:, 20:60])


def test_area_resize_is_the_mean_of_boxes():
    source = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    image = frame_tensor(tf.constant(source), 16).numpy()
    mean = source.reshape(16, 4, 16, 4, 3).astype(float).mean((1, 3))
    assert np.abs(image - mean).max() <= 0.501


def test_random_crop_is_near_the_centre_and_never_flips():
    source = tf.constant(ramp(64, 128))
    crop = tf.function(lambda seed: frame_tensor(source, 64, seed=seed))
    left = []
    for seed in range(60):
        image = crop(tf.constant([seed, 1])).numpy()
        assert image.shape == (64, 64, 3) and image.dtype == np.uint8
        assert (np.diff(image[..., 1].astype(int), axis=1) >= 0).all()  # no flip
        left.append(int(image[0, 0, 1]))
    assert 24 <= min(left) < 29 and 35 < max(left) <= 40  # [3/8, 5/8] of a margin of 64


def test_random_crop_scales_up_to_nine_eighths():
    source = tf.constant(ramp(200, 200))
    crop = tf.function(lambda seed: frame_tensor(source, 64, seed=seed))
    spans = []
    for seed in range(60):
        image = crop(tf.constant([seed, 2])).numpy().astype(int)
        spans.append(image[0, -1, 1] - image[0, 0, 1])
    assert max(spans) >= 194  # whole picture
    assert 170 <= min(spans) < 182  # 8/9 of it


@pytest.mark.parametrize("shape", [(8, 8), (5, 300), (300, 5), (64, 65)])
def test_odd_shapes(shape):
    for seed in (None, tf.constant([1, 2])):
        image = frame_tensor(tf.constant(ramp(*shape)), 64, seed=seed)
        assert image.shape == (64, 64, 3)


def test_crops_of_pictures_without_a_name_differ_from_picture_to_picture():
    def corner(caption, crop):
        example = raw.RawExample(ramp(64, 128), (caption, "words"), name="")
        return tuple(raw.framed(example, 32, crop)[0, 0])

    corners = {corner(f"thing {index}", 0) for index in range(8)}
    assert len(corners) > 4
    assert corner("thing 0", 0) == corner("thing 0", 0)
    assert len({corner("thing 0", crop) for crop in range(8)}) > 4


def test_same_seed_same_crop():
    source = tf.constant(ramp(90, 120))
    first, again, other = (
        frame_tensor(source, 64, seed=tf.constant([seed, 0])).numpy() for seed in (5, 5, 6)
    )
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()
